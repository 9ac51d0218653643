"""The report of a data set of codes: what it says, and in a real Chromium that it shows and plays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_builders import browser, opened, silent_and_sharp
from builders import save_tiny
from cli_builders import run as run_program
from tokenize_builders import job_for, run, write_clips
from xcodec.codec import Codec
from xcodec.evaluation.data_set import Histogram, codebooks_of, measure_data_set
from xcodec.tokenization.sinks import as_lists
from xcodec.tokenization.tokens import Tokens

pytest.importorskip("PIL.Image", reason="needs pip install 'xcodec[eval]'")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips with a figure each, and two files that cannot be read; a run that tells a slow file."""
    folder = tmp_path_factory.mktemp("data")
    model = save_tiny(folder / "model")
    names = sorted(write_clips(folder, 8))
    for name in ("x.wav", "y.wav"):
        (folder / name).write_text("no audio")
    rows = [
        {"path": name, "id": name, "text": f"<{name}>", "snr": float(i)}
        for i, name in enumerate([*names, "x.wav", "y.wav"])
    ]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, folder / "tokens"), Codec.from_pretrained(model), folder / "m.jsonl")
    status = json.loads((folder / "tokens/status.json").read_text())
    slow = {"uri": "slow.wav", "start": 0.0, "seconds_to_read": 7.25, "seconds": 3.0}
    (folder / "tokens/status-1-of-2.json").write_text(json.dumps(status | {"slowest": [slow]}))
    return folder / "tokens"


@pytest.fixture(scope="module")
def page_file(output: Path) -> Path:
    told = run_program(
        "tokenize", "report", output, "-o", output.parent / "report.html", "-m", output.parent / "model",
        "--examples", 2, "--device", "cpu",
    )  # fmt: skip
    assert (told.code, told.err) == (0, "")
    return output.parent / "report.html"


def test_figures_are_those_of_the_rows(output: Path) -> None:
    tokens = Tokens(output)
    data = measure_data_set(tokens)
    rows = list(tokens.rows())
    seconds = [row.seconds for row in rows]
    assert data.lengths is not None
    assert (data.lengths.least, data.lengths.most) == (min(seconds), max(seconds))
    assert data.lengths.median == pytest.approx(np.median(seconds))
    assert sum(data.lengths.counts) == len(rows) == 8
    [quality] = data.quality
    assert (quality.name, quality.least, quality.most) == ("snr", 0.0, 7.0)
    [use] = data.codebooks
    ids = np.concatenate([row.codes[0] for row in rows])
    assert (use.codes, use.distinct) == (len(ids), len(set(ids.tolist())))
    [failures] = data.failures
    assert failures.count == 2
    assert [each.id for each in failures.examples] == ["x.wav", "y.wav"]
    assert data.slowest[0].uri == "slow.wav"


def test_codebooks_are_told_apart() -> None:
    codes = [np.array([[1, 2, 3], [4, 5, 6]]), np.array([[7], [8]])]
    found = [ids.tolist() for ids in codebooks_of(as_lists(codes, nested=True), 2)]
    assert found == [[1, 2, 3, 7], [4, 5, 6, 8]]


def test_values_that_are_missing_or_alike_are_counted() -> None:
    values = np.array([2.0, np.nan, 2.0])
    spread = Histogram.of("x", values)
    assert spread is not None
    assert (sum(spread.counts), spread.missing, spread.median) == (2, 1, 2.0)
    assert len(list(spread.bars())) == len(spread.counts)
    assert Histogram.of("x", np.array([np.nan])) is None


def test_the_page_needs_nothing_beside_it_and_keeps_texts_as_they_are(page_file: Path) -> None:
    text = page_file.read_text()
    assert "http" not in text.replace("http://www.w3.org", "")
    assert re.search("&lt;[ab]/clip-", text)
    assert not re.search("<[ab]/clip-", text)


def test_without_examples_no_model_is_needed(output: Path, tmp_path: Path) -> None:
    told = run_program("tokenize", "report", output, "-o", tmp_path / "r.html", "--examples", 0, "-m", "nowhere")
    assert (told.code, told.out) == (0, f"Wrote {tmp_path / 'r.html'}\n")
    assert "<audio" not in (tmp_path / "r.html").read_text()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_a_screen(chromium: Any, page_file: Path, width: int) -> None:
    with opened(chromium, page_file.as_uri(), viewport={"width": width, "height": 800}) as page:
        silent_and_sharp(page)


def test_the_page_shows_what_was_counted_and_plays_two_versions(chromium: Any, page_file: Path) -> None:
    with opened(chromium, page_file.as_uri()) as page:
        assert "8 recordings with codes" in page.locator("p.faint").first.inner_text()
        assert page.locator(".histogram").count() == 2
        assert "slow.wav" in page.locator("table", has_text="seconds to read").inner_text()
        first, _ = page.locator(".example").all()
        assert [each.get_attribute("data-name") for each in first.locator("figure").all()] == ["recording", "decoded"]
        first.locator(".position").focus()
        page.keyboard.press("2")
        assert first.locator(".heard").get_attribute("data-name") == "decoded"
