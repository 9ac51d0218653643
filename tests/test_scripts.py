"""The demonstration and a benchmark, run as people run them, on a tiny model of random weights."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import builders
from evaluation_builders import save_predictor, save_recognizer, save_voices
from xcodec.audio import Audio
from xcodec.codes import Codes

pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")

ROOT = Path(__file__).parent.parent
SPEECH = builders.RECORDINGS[1]  # 47,840 samples, 150 codes
# A program in which `import pesq` fails, as where there was no compiler for it.
WITHOUT_PESQ = (
    "import pathlib, runpy, sys; sys.modules['pesq'] = None; script = sys.argv.pop(1); "
    "sys.path.insert(0, str(pathlib.Path(script).parent)); runpy.run_path(script, run_name='__main__')"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def run(script: str, *arguments: object, without_pesq: bool = False) -> subprocess.CompletedProcess[str]:
    program = ["-c", WITHOUT_PESQ] if without_pesq else []
    command = [sys.executable, *program, ROOT / script, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("without_pesq", [False, True], ids=["with pesq", "without pesq"])
def test_the_demonstration_writes_codes_speech_and_a_picture(model: Path, tmp_path: Path, without_pesq: bool) -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'xcodec[demo]'")
    if not without_pesq:
        pytest.importorskip("pesq", reason="needs pip install pesq")
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


def test_readers_are_joined_and_what_is_no_good_is_left_out(tmp_path: Path) -> None:
    spoken = builders.speech()
    wavs = tmp_path / "packages" / "festvox-ru" / "usr" / "wav"
    wavs.mkdir(parents=True)
    for i in range(4):
        Audio(spoken[None, i * 40000 : (i + 1) * 40000], 16000).save(wavs / f"{i}.wav")
    Audio(spoken[None, :40000], 16000).save(wavs / "again.wav")
    Audio(spoken[None, :20000], 8000).save(wavs / "low.wav")
    Audio((40 * spoken[None, :40000]).clip(-1, 1), 16000).save(wavs / "loud.wav")
    Audio(spoken[None, :40000] / 200, 16000).save(wavs / "still.wav")
    (wavs / "text.wav").write_text("no sound")
    (wavs.parent / "notes.txt").write_text("no recording")
    shown = run("scripts/readers.py", tmp_path / "packages", tmp_path / "speech")
    assert shown.returncode == 0, shown.stderr
    (told,) = [line for line in shown.stdout.splitlines() if line.startswith("festvox-ru")]
    assert "0.00 h of 1 readers" in told
    assert sorted(told.split("left out: ")[1].split(", ")) == [
        "1 clipped",
        "1 quiet",
        "1 sampled too low",
        "1 unreadable",
    ]
    assert "klettres-data: not in" in shown.stdout
    files = [Audio.read(path) for path in sorted((tmp_path / "speech" / "festvox-ru").iterdir())]
    assert all(4 * 16000 <= audio.num_samples <= 8 * 16000 for audio in files[:-1])
    assert 8 * 16000 < sum(audio.num_samples for audio in files) < 10.5 * 16000


@pytest.fixture(scope="module")
def librispeech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings in LibriSpeech's layout."""
    folder = tmp_path_factory.mktemp("librispeech") / "test-clean"
    chapter = folder / "19" / "198"
    chapter.mkdir(parents=True)
    texts = dict(line.split("\t") for line in SPEECH.with_name("transcripts.tsv").read_text().splitlines())
    lines = []
    for i, recording in enumerate((builders.RECORDINGS[1], builders.RECORDINGS[4])):
        Audio.read(recording).save(chapter / f"19-198-{i:04}.flac")
        lines.append(f"19-198-{i:04} {texts[recording.name].upper()}\n")
    (chapter / "19-198.trans.txt").write_text("".join(lines))
    return folder


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of writing the predictor
def test_table_1_is_measured_on_a_folder_of_librispeech_s_layout(
    librispeech: Path, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pesq", reason="needs pip install pesq")
    options = {
        "--model": model,
        "--asr": save_recognizer(tmp_path / "recognizer"),
        "--speaker": save_voices(tmp_path / "voices"),
        "--utmos": save_predictor(tmp_path / "predictor.jit"),
        "--json": tmp_path / "table1.json",
    }
    arguments = [part for option in options.items() for part in option]
    shown = run("benchmarks/table1.py", librispeech, *arguments)
    assert shown.returncode == 0, shown.stderr
    told = json.loads((tmp_path / "table1.json").read_text())
    truth, system = told["systems"]
    assert [row["name"] for row in system["clips"]] == ["19/198/19-198-0000.flac", "19/198/19-198-0001.flac"]
    means = {key: mean["value"] for key, mean in system["means"].items() if mean}
    keys = ("wer", "stoi", "pesq_wb", "pesq_nb", "speaker_similarity", "utmos")
    cells = [f"{means[key]:.{3 if key == 'stoi' else 2}f}" for key in keys]
    lines = shown.stdout.splitlines()
    assert f"| **{model} @ 50, measured** | {' | '.join(cells)} |" in lines
    assert "| X-Codec2 @ 50, published | 2.47 | .92 | 2.43 | 3.04 | .82 | 4.13 |" in lines
    words = sum(len(row.split()) - 1 for row in (librispeech / "19/198/19-198.trans.txt").read_text().splitlines())
    errors = sum(row["scores"]["wer"] * n / 100 for row, n in zip(truth["clips"], (8, 8), strict=True))
    assert words == 16
    assert truth["means"]["wer"]["value"] == pytest.approx(100 * errors / words)
    assert "Measured on 2 clips" in shown.stdout


def test_table_1_says_what_it_could_not_measure_and_what_it_expects(librispeech: Path, model: Path) -> None:
    shown = run("benchmarks/table1.py", librispeech, "--model", model, without_pesq=True)
    assert shown.returncode == 0, shown.stderr
    assert "PESQ-WB was not measured: pip install 'xcodec[eval]'" in shown.stdout
    assert "UTMOS was not measured: give --utmos" in shown.stdout
    shown = run("benchmarks/table1.py", model, "--model", model)
    assert shown.returncode == 1
    assert "no .flac files; expected LibriSpeech's layout" in shown.stderr
    assert "Traceback" not in shown.stderr
