"""The report of an evaluation in a real Chromium, from disk: tracks play in sync, tables sort."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import builders
from browser_builders import browser, opened, silent_and_sharp
from xcodec import Audio
from xcodec.cli.app import app
from xcodec.evaluation import opinion

pytest.importorskip("PIL.Image", reason="needs pip install 'xcodec[eval]'")

MEANS = ".scroll >> nth=0"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings beside what is left of them at 8 kHz and at 2 kHz."""
    folder = tmp_path_factory.mktemp("report")
    for name, rate in (("recordings", 16_000), ("half", 8_000), ("eighth", 2_000)):
        (folder / name).mkdir()
        for clip, seconds in (("a", 1.0), ("b", 1.5)):
            audio = Audio(builders.speech(seconds), 16_000).resample(rate).resample(16_000)
            audio.save(folder / name / f"{clip}.wav")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opinion, "find_spec", lambda name: None)  # DNSMOS takes long
        patch.chdir(folder)
        arguments = ["evaluate", "recordings", "-r", "half", "-r", "eighth", "--asr", "none", "--html", "report.html"]
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.mark.parametrize("width", [360, 1280])
def test_the_report_fits_a_screen_and_every_control_has_a_name(chromium: Any, report: Path, width: int) -> None:
    with opened(chromium, report.as_uri(), viewport={"width": width, "height": 800}) as page:
        silent_and_sharp(page)


def test_the_tracks_of_a_clip_play_on_one_clock_and_know_how_long_they_are(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        first, second = page.locator(".example").all()
        assert first.locator(".time").inner_text() == "0.0 / 1.0 s"
        assert second.locator(".time").inner_text() == "0.0 / 1.5 s"
        assert first.locator(".heard").get_attribute("data-name") == "recording"
        first.locator(".position").focus()
        page.keyboard.press("2")
        assert first.locator(".heard").get_attribute("data-name") == "half"
        page.keyboard.press("Space")
        first.locator(".play.playing").wait_for()
        page.keyboard.press("x")
        assert first.locator(".heard").get_attribute("data-name") == "eighth"
        first.locator(".play:not(.playing)").wait_for()  # the end
        assert first.locator(".time").inner_text() == "1.0 / 1.0 s"
        first.locator(".play").click()
        first.locator(".play.playing").wait_for()
        second.locator(".play").click()
        second.locator(".play.playing").wait_for()
        assert first.locator(".play:not(.playing)").count() == 1  # one at a time


def test_a_table_sorts_by_the_column_that_is_pressed(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        table = page.locator(MEANS)
        names = table.locator("tbody th")
        assert names.all_inner_texts() == ["half", "eighth"]
        heading = table.locator("thead th").filter(has_text="mel distance")
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        assert names.all_inner_texts() == ["half", "eighth"]
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "descending"
        assert names.all_inner_texts() == ["eighth", "half"]
        table.locator("thead button").first.click()
        table.locator("thead button").first.click()
        assert names.all_inner_texts() == ["half", "eighth"]  # by name, descending
