"""`xcodec probe`: tables, JSON and a page, of codecs on the same clips."""

import json
import re
import shutil
from pathlib import Path

import pytest

import builders
from cli_builders import run
from probing_builders import FrameCoder
from xcodec import Audio
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.probing.page import page
from xcodec.probing.plot import axis_of, plot_of
from xcodec.probing.record import record
from xcodec.probing.robustness import Robustness
from xcodec.probing.run import Probing, probe_codecs
from xcodec.probing.shift import FrameShift
from xcodec.probing.usage import Usage

pytest.importorskip("scipy", reason="needs pip install 'xcodec[eval]'")
pytest.importorskip("jinja2", reason="needs pip install 'xcodec[eval]'")
pytest.importorskip("PIL.Image", reason="needs pip install 'xcodec[eval]'")


def recordings(folder: Path, seconds: float = 0.6) -> list[Clip]:
    """Two recordings, and one that is none."""
    folder.mkdir()
    for name, start in (("a", 0), ("b", 20_000)):
        Audio(builders.speech()[start : start + int(16_000 * seconds)], 16_000).save(folder / f"{name}.wav")
    (folder / "c.wav").write_bytes(b"no audio")
    return [Clip(f"{name}.wav", folder / f"{name}.wav") for name in "abc"]


@pytest.fixture(scope="module")
def probing(tmp_path_factory: pytest.TempPathFactory) -> Probing:
    clips = recordings(tmp_path_factory.mktemp("probing") / "recordings")
    coders = [FrameCoder(), FrameCoder(noise=2.0)]
    return probe_codecs(clips, coders, [Robustness(1), FrameShift(1), Usage()])


def test_codecs_are_held_against_each_other_and_the_one_with_noise_on_its_latents_is_worse(probing: Probing) -> None:
    clean, noisy = probing.names
    for key, better in (("unit_edit_distance.noise_30", -1), ("shift.agreement.hop", 1)):
        first, second = probing.figure(clean, key), probing.figure(noisy, key)
        assert first is not None
        assert second is not None
        assert (first.value - second.value) * better > 0
        assert (first.clips, second.clips) == (2, 2)
    assert probing.evaluation.clips == {"a.wav": 0.6, "b.wav": 0.6}
    assert [failure.clip for failure in probing.evaluation.failures] == ["c.wav"]


def test_the_record_has_every_figure_and_what_json_can_hold(probing: Probing) -> None:
    told = json.loads(json.dumps(record(probing)))
    assert told["format"] == "xcodec.probing"
    assert told["figures"]["frames"]["shift.agreement.hop"]["value"] == 100
    assert told["figures"]["frames"]["usage.paid"]["low"] is None
    assert {scale["key"] for probe in told["probes"] for scale in probe["scales"]} == set(told["figures"]["frames"])
    assert {row["name"] for row in told["systems"][0]["clips"]} == {"a.wav", "b.wav"}


def test_the_page_is_one_file_with_a_line_for_each_codec_in_every_plot(probing: Probing) -> None:
    text = page(probing)
    assert not re.search(r"""(src|href)=["']?(https?:|//|[\w/]+\.(js|css))""", text)
    charts = re.findall(r"<svg role=.*?</svg>", text, re.DOTALL)
    assert len(charts) == 3  # noise, gain, shift
    assert all(chart.count("<polyline") == 2 for chart in charts)
    assert "Not measured" not in text
    assert "c.wav" in text


def test_a_curve_of_less_than_two_figures_is_no_plot(probing: Probing) -> None:
    [curve] = probing.probes[1].curves
    assert plot_of(curve, Probing(probing.probes, probing.evaluation, probing.corpus)) is not None
    alone = type(curve)(curve.title, curve.axis, curve.points[:1])
    assert plot_of(alone, probing) is None


@pytest.mark.parametrize("values", [[0.0, 100.0], [0.52, 0.79], [5.0, 5.0], [-30.0, 4.0], [0.0, 0.0]])
def test_an_axis_holds_what_is_plotted_and_has_a_few_round_labels(values: list[float]) -> None:
    low, high, steps = axis_of(values, Robustness(1).scales[0])
    assert low <= min(values) <= max(values) <= high
    assert low < high
    assert 2 <= len(steps) <= 8
    assert (steps[0], steps[-1]) == (pytest.approx(low), pytest.approx(high))


def test_two_codecs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two codecs are called frames"):
        probe_codecs(recordings(tmp_path / "recordings"), [FrameCoder(), FrameCoder()], [Usage()])


def test_the_command_prints_tables_and_writes_reports_and_fails_for_a_file_that_is_no_audio(tmp_path: Path) -> None:
    recordings(tmp_path / "recordings")
    model = builders.save_tiny(tmp_path / "tiny", seed=0)
    probes = ["--probe", "shift", "--probe", "usage", "--probe", "speaker"]
    reports = ["--json", tmp_path / "probe.json", "--html", tmp_path / "probe.html"]
    result = run("probe", model, "--data", tmp_path / "recordings", *probes, *reports)
    assert result.code == 1
    assert "agreement, 1 hop [%]" in result.out
    assert "bits used of bits paid [%]" in result.out
    assert "speaker, " in result.out
    assert "--speakers FILE" in " ".join(result.out.split())
    assert "c.wav" in result.err
    assert json.loads((tmp_path / "probe.json").read_text())["format"] == "xcodec.probing"
    assert (tmp_path / "probe.html").read_text().startswith("<!DOCTYPE html>")
    again = run("probe", model, "--data", tmp_path / "recordings", *probes, *reports)
    assert again.code == 1
    assert "--overwrite" in again.err


def test_an_unknown_probe_and_nothing_to_read_are_named(tmp_path: Path) -> None:
    recordings(tmp_path / "recordings")
    unknown = run("probe", "mini", "--data", tmp_path / "recordings", "--probe", "ufo")
    assert unknown.code != 0
    assert "no probe 'ufo'" in unknown.err
    shutil.rmtree(tmp_path / "recordings")
    nothing = run("probe", "mini", "--data", tmp_path / "recordings")
    assert nothing.code != 0
    assert "recordings" in nothing.err
