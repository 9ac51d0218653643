"""The report of an evaluation in a real Chromium, from disk: tracks play in sync, tables sort."""

import json
import sys
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
        patch.setattr(opinion, "find_spec", lambda name: None)  # DNSMOS takes long, and so does ViSQOL
        patch.setitem(sys.modules, "visqol.api", None)
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


def test_clips_and_systems_that_are_not_asked_for_are_hidden_everywhere(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        first, second = page.locator(".example").all()
        page.get_by_role("searchbox", name="Clips").fill("B.wav")
        assert not first.is_visible()
        assert second.is_visible()
        page.get_by_role("checkbox", name="half").uncheck()
        assert page.locator(f"{MEANS} >> tbody th:visible").all_inner_texts() == ["eighth"]
        assert second.locator("figure:visible").count() == 2
        second.locator(".position").focus()
        page.keyboard.press("x")  # the next that is shown
        assert second.locator(".heard").get_attribute("data-name") == "eighth"
        page.keyboard.press("2")  # hidden
        assert second.locator(".heard").get_attribute("data-name") == "eighth"
        page.get_by_role("checkbox", name="half").check()
        page.keyboard.press("x")
        page.get_by_role("searchbox", name="Clips").fill("")
        assert first.is_visible()


def test_spectrograms_change_to_what_differs_from_the_recording(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        card = page.locator("figure[data-name=eighth]").first
        page.get_by_role("checkbox", name="spectrograms of the difference").check()
        assert card.locator("img:visible").get_attribute("alt") == "what eighth differs by from the recording"
        assert page.locator("figure[data-name=recording] img:visible").first.get_attribute("alt") == (
            "spectrogram of recording"
        )
        page.get_by_role("checkbox", name="spectrograms of the difference").uncheck()
        assert card.locator("img:visible").get_attribute("alt") == "spectrogram of eighth"


def test_an_abx_test_is_blind_taken_by_keyboard_and_saved(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        page.get_by_text("A/B/X: can two").click()
        abx = page.locator(".abx")
        abx.locator("[name=first]").select_option("recording")
        abx.locator("[name=second]").select_option("eighth")
        abx.locator("[name=trials]").fill("3")
        abx.get_by_role("button", name="Begin").click()
        for trial in range(1, 4):
            assert abx.locator(".progress").inner_text() == f"Trial {trial} of 3"
            shown = abx.locator(".running").inner_text()
            assert not any(name in shown for name in ("recording", "eighth", "a.wav", "b.wav"))
            page.keyboard.press("Space")
            abx.locator(".play.playing").wait_for()
            page.keyboard.press("x")
            assert abx.locator(".switch :checked + span").inner_text().strip() == "X"
            page.keyboard.press("1")
        with page.expect_download() as saved:
            abx.get_by_text("Save as JSON").click()
        result = json.loads(Path(saved.value.path()).read_text())
        assert result["format"] == "xcodec.abx"
        assert [result["first"], result["second"], len(result["trials"])] == ["recording", "eighth", 3]
        for trial in result["trials"]:
            assert {trial["a"], trial["b"]} == {"recording", "eighth"}
            assert trial["answer"] == trial["a"]
            assert trial["correct"] == (trial["a"] == trial["x"])
        assert {trial["clip"] for trial in result["trials"]} == {"a.wav", "b.wav"}
        chance = [1, 7 / 8, 4 / 8, 1 / 8][result["correct"]]
        assert result["probability_by_chance"] == chance
        assert f"{result['correct']} of 3 right" in abx.locator(".result").inner_text()


def test_a_mushra_sheet_grades_every_system_with_a_hidden_reference_and_an_anchor(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri()) as page:
        page.get_by_text("MUSHRA: how good").click()
        mushra = page.locator(".mushra")
        mushra.locator("[name=listener]").fill("7")
        mushra.get_by_role("button", name="Begin").click()
        for clip in (1, 2):
            assert mushra.locator(".progress").inner_text() == f"Clip {clip} of 2"
            sliders = mushra.locator(".sliders input").all()
            assert len(sliders) == 4  # two systems, the recording, the anchor
            page.keyboard.press("Space")
            mushra.locator(".play.playing").wait_for()
            for i, slider in enumerate(sliders):
                assert mushra.locator(".done").is_disabled()
                slider.fill(str(60 + i))
                assert mushra.locator(".switch :checked + span").inner_text().split()[-1] == str(i + 1)
            mushra.locator(".done").click()
        with page.expect_download() as saved:
            mushra.get_by_text("Save as JSON").click()
        result = json.loads(Path(saved.value.path()).read_text())
        assert (result["format"], result["listener"], result["reliable"]) == ("xcodec.mushra", "7", False)
        for sheet in result["clips"]:
            assert sheet["scores"].keys() == {"hidden_reference", "half", "eighth", "anchor"}
            names = ["hidden_reference" if name == "recording" else name for name in sheet["order"]]
            assert [sheet["scores"][name] for name in names] == [60, 61, 62, 63]
        assert "would leave this listener out" in mushra.locator(".result").inner_text()


def test_open_tests_fit_a_telephone_and_their_controls_have_names(chromium: Any, report: Path) -> None:
    with opened(chromium, report.as_uri(), viewport={"width": 360, "height": 800}) as page:
        for name in ("abx", "mushra"):
            page.locator(f".{name} summary").click()
            page.locator(f".{name}").get_by_role("button", name="Begin").click()
        silent_and_sharp(page)
