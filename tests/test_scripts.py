"""The demonstration and the benchmark, run as people run them, on a tiny model of random weights."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import builders
from xcodec.audio import Audio
from xcodec.codes import Codes
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor

pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")

ROOT = Path(__file__).parent.parent
SPEECH = builders.RECORDINGS[1]  # 47,840 samples, 150 codes
# A program in which `import pesq` fails, as where there was no compiler for it.
WITHOUT_PESQ = "import runpy, sys; sys.modules['pesq'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    builders.tiny_model().save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)
    return folder


def run(script: str, *arguments: object, without_pesq: bool = False) -> subprocess.CompletedProcess[str]:
    program = ["-c", WITHOUT_PESQ] if without_pesq else []
    command = [sys.executable, *program, ROOT / script, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("without_pesq", [False, True], ids=["with pesq", "without pesq"])
def test_the_demonstration_writes_codes_speech_and_a_picture(model: Path, tmp_path: Path, without_pesq: bool) -> None:
    pytest.importorskip("matplotlib", reason="draws the picture")
    if not without_pesq:
        pytest.importorskip("pesq", reason="needs a C compiler")
    shown = run("scripts/demo.py", SPEECH, "--model", model, "--output", tmp_path, without_pesq=without_pesq)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert len(Codes.load(tmp_path / f"{SPEECH.stem}.codes")) == 150
    assert Audio.read(tmp_path / f"{SPEECH.stem}.wav").num_samples == 47840
    picture = (tmp_path / f"{SPEECH.stem}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000
    assert "150, 50 a second, 800 bit/s" in shown.stdout
    assert re.search(r"STOI -?\d\.\d{3}", shown.stdout)
    assert ("PESQ-WB 1." in shown.stdout) != without_pesq
    assert ("pip install pesq (needs a C compiler)" in shown.stdout) == without_pesq


def test_the_benchmark_measures_each_recording_and_their_means(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pesq", reason="needs a C compiler")
    record = tmp_path / "quality.json"
    shown = run("benchmarks/quality.py", SPEECH, builders.RECORDINGS[0], "--model", model, "--json", record)
    assert shown.returncode == 0, shown.stderr
    told = json.loads(record.read_text())
    assert [row["recording"] for row in told["rows"]] == [SPEECH.stem, builders.RECORDINGS[0].stem]
    assert told["rows"][0]["codes"] == 150
    for name in ("stoi", "pesq_wb"):
        assert told["means"][name] == pytest.approx(sum(row[name] for row in told["rows"]) / 2)
    table = [line for line in shown.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2 + 1
    assert table[-1] == f"| mean | | | | {told['means']['stoi']:.3f} | {told['means']['pesq_wb']:.2f} |"


def test_the_benchmark_says_how_to_get_what_it_measures_with(model: Path) -> None:
    shown = run("benchmarks/quality.py", SPEECH, "--model", model, without_pesq=True)
    assert shown.returncode == 1
    assert "pip install 'xcodec[eval]'" in shown.stderr
    assert "Traceback" not in shown.stderr
