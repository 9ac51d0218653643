"""benchmarks/ that measure as others do, and all kinds of codecs by one command, on tiny models of random weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import builders
from evaluation_builders import BENCHMARKS, benchmark, save_recognizer, save_voices
from xcodec.audio import Audio

pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")

STAND_IN = """
from dataclasses import dataclass

class BaseCodec:
    def __init__(self):
        self.device = "cpu"
        self.setting = None
        self.config()

@dataclass
class ExtractedUnit:
    unit: object
    stuff_for_synth: object
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / script, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_seed_tts_eval_measures_each_recording_once_with_its_text(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lines with one prompt, the first with a recording that says its text."""
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    for name in ("prompt.wav", "said.wav"):
        Audio(builders.speech(1.0), 16_000).save(tmp_path / name)
    meta = tmp_path / "meta.lst"
    meta.write_text("a|\u4eca\u5929|prompt.wav|\u5929\u6c23\u597d|said.wav\nb|\u4eca\u5929|prompt.wav|\u5929\n")
    shown = run(
        *("seed_tts_eval.py", meta, "--language", "zh", "--model", model, "--json", tmp_path / "seed.json"),
        *("--asr", save_recognizer(tmp_path / "recognizer"), "--speaker", save_voices(tmp_path / "voices")),
    )
    assert shown.returncode == 0, shown.stderr
    truth, system = json.loads((tmp_path / "seed.json").read_text())["systems"]
    for each in (truth, system):
        assert [row["name"] for row in each["clips"]] == ["prompt.wav", "said.wav"]
    means = system["means"]
    assert (
        f"| {model} @ 50 | {means['cer']['value']:.2f} | {means['speaker_similarity']['value']:.3f} |" in shown.stdout
    )
    assert "UTMOS was not measured: give --utmos" in shown.stdout
    meta.write_text("a|b|c\n")
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(SystemExit, match=r"line 1: expected 4 or 5 fields with \| between; found 3"):
        benchmark("seed_tts_eval.py").clips_of(meta)


def test_one_command_compares_codecs_of_all_kinds_and_writes_the_page(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    Audio(builders.speech(0.6), 16_000).save(tmp_path / "recordings" / "a.wav")
    out = tmp_path / "compared"
    shown = run("compare_codecs.py", tmp_path / "recordings", out, "--asr", "none", "--workers", 0)
    assert shown.returncode == 0, shown.stderr
    report = json.loads((out / "report.json").read_text())
    random = [str(out / f"random-{name}") for name in ("encodec", "dac", "mimi", "xcodec")]
    names = [system["name"] for system in report["systems"] if system["name"] != "recordings"]
    absent = [missing["what"] for missing in report["missing"]]
    assert names == ["mini", *random, *(name for name in ("opus:6", "codec2:1300") if name not in absent)]
    for system in report["systems"]:
        if system["name"] in random:
            assert all(book["distinct"] > 0.4 * book["codes"] for book in system["codebooks"]), system["name"]
    of_mini = report["systems"][names.index("mini") - len(names)]["means"]
    assert all(
        of_mini["stoi"]["value"] > system["means"]["stoi"]["value"]
        for system in report["systems"]
        if system["name"] in random
    )
    assert all(name in (out / "report.html").read_text() for name in names)


def test_codec_superb_gets_units_and_a_recording_as_long_as_the_one_it_gave(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for the classes of its checkout that a codec is made of."""
    folder = tmp_path / "SoundCodec" / "base_codec"
    folder.mkdir(parents=True)
    (folder / "general.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XCODEC_MODEL", str(model))
    codec = benchmark("codec_superb/codec.py").Codec()
    assert codec.sampling_rate == 16_000
    for shape in ((24_000,), (24_000, 2), (2, 24_000)):
        found = codec.extract_unit({"audio": {"array": np.zeros(shape), "sampling_rate": 24_000}})
        assert tuple(found.unit.shape) == (1, 51)
        assert codec.decode_unit(found.stuff_for_synth).shape == (16_000,)


def test_results_are_means_by_system_and_folder_of_what_codec_superb_defines_alike() -> None:
    clips = [
        {"name": "speech/a.wav", "scores": {"stoi": 0.5, "pesq_wb": 1.0, "mel_distance": 3.0}},
        {"name": "speech/b.wav", "scores": {"stoi": 0.7, "pesq_wb": None}},
        {"name": "c.wav", "scores": {"stoi": 0.9, "pesq_wb": 2.0}},
    ]
    report = {
        "systems": [
            {"name": "recordings", "clips": [{"name": "c.wav", "scores": {"dnsmos_sig": 3.0}}]},
            {"name": "mini", "clips": clips},
        ]
    }
    found = benchmark("codec_superb/results.py").results(report)
    assert found.keys() == {"mini"}
    assert found["mini"]["speech"] == pytest.approx({"stoi": 0.6, "pesq": 1.0, "pesq-wb": 1.0})
    assert found["mini"]["overall"] == pytest.approx({"stoi": 0.7, "pesq": 1.5, "pesq-wb": 1.5})
