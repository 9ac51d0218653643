"""The demonstration and a benchmark, run as people run them, on a tiny model of random weights."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import builders
from evaluation_builders import save_predictor, save_recognizer, save_voices
from xcodec.audio import Audio
from xcodec.codes import Codes
from xcodec.models.auto import feature_extractor_of
from xcodec.training.data.recordings import Recordings
from xcodec_builders import tiny_xcodec

pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")

ROOT = Path(__file__).parent.parent
SPEECH = builders.RECORDINGS[1]  # 47,840 samples, 150 codes
# A program in which `import pesq` fails, as where there was no compiler for it.
WITHOUT_PESQ = (
    "import pathlib, runpy, sys; sys.modules['pesq'] = None; script = sys.argv.pop(1); "
    "sys.path.insert(0, str(pathlib.Path(script).parent)); runpy.run_path(script, run_name='__main__')"
)
SOUNDFONTS = Path("/usr/share/sounds/sf2")


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


def test_the_demonstration_plays_every_bandwidth(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'xcodec[demo]'")
    model = tiny_xcodec()
    model.save_pretrained(tmp_path / "tiny")
    feature_extractor_of(model).save_pretrained(tmp_path / "tiny")
    shown = run("scripts/demo.py", SPEECH, "--model", tmp_path / "tiny", "--output", tmp_path, without_pesq=True)
    assert shown.returncode == 0, shown.stderr
    *lower, highest = model.bandwidths
    for rate in lower:
        line = next(line for line in shown.stdout.splitlines() if line.startswith(f"{rate:g} kbit/s"))
        assert re.search(rf"STOI -?\d\.\d{{3}}: .*{SPEECH.stem}-{rate:g}\.wav", line)
        assert Audio.read(tmp_path / f"{SPEECH.stem}-{rate:g}.wav").num_samples == 47840
    assert f"{1000 * highest:g} bit/s" in shown.stdout
    assert (tmp_path / f"{SPEECH.stem}.png").stat().st_size > 50_000


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


COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: The team
License: GPL-3+

Files: data/music/*.wav
Copyright: 2011 Some One
           2012 An Other
License: GPL-3+ or CC-BY-SA-3.0

Files: data/music/closed.wav data/sfx/*
Copyright: A Third
License: CC-BY-NC-SA-3.0

Files: data/sfx/hit?door.wav
Copyright: None
License: CC0
 Text of the licence.
"""


def test_music_and_sounds_are_taken_where_a_package_s_copyright_lets(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "supertuxkart-data" / "usr" / "share"
    for name in ("music", "sfx"):
        (package / "games" / "supertuxkart" / "data" / name).mkdir(parents=True)
    (package / "doc" / "supertuxkart-data").mkdir(parents=True)
    (package / "doc" / "supertuxkart-data" / "copyright").write_text(COPYRIGHT)
    chance = np.random.default_rng(0)
    noise = chance.uniform(-0.3, 0.3, (1, 20 * 32000)).astype(np.float32)
    for name, seconds in {
        "music/open": 20,
        "music/closed": 19,
        "sfx/hit door": 5,
        "sfx/shot": 6,
        "other": 7,
    }.items():
        audio = Audio(noise[:, : seconds * 32000], 32000)
        audio.save(package / "games" / "supertuxkart" / "data" / f"{name}.wav")
    audio.save(package / "games" / "supertuxkart" / "data" / "music" / "again.wav")
    Audio(noise[:, :60000] / 100, 32000).save(package / "games" / "supertuxkart" / "data" / "music" / "still.wav")
    shown = run("scripts/sounds.py", "recordings", tmp_path / "packages", tmp_path / "general")
    assert shown.returncode == 0, shown.stderr
    (told,) = [line for line in shown.stdout.splitlines() if line.startswith("supertuxkart-data")]
    assert sorted(told.split("left out: ")[1].split(", ")) == ["1 quiet", "3 under other licences"]
    assert "naev-data: not in" in shown.stdout
    music = Recordings.of_manifest(tmp_path / "general" / "music.jsonl")
    assert sorted(music.seconds) == pytest.approx([7, 10, 10])
    sound = Recordings.of_manifest(tmp_path / "general" / "sound.jsonl")
    assert len(sound.seconds) == 1
    assert 5 < sound.seconds[0] < 5.5
    assert sound.excerpt(0, 0.0, 1.0).sampling_rate == 16000
    credits = (tmp_path / "general" / "credits.tsv").read_text().splitlines()
    assert credits[1:] == [
        "supertuxkart-data\tmusic/again.wav\tCC-BY-SA-3.0\t2011 Some One, 2012 An Other",
        "supertuxkart-data\tmusic/open.wav\tCC-BY-SA-3.0\t2011 Some One, 2012 An Other",
        "supertuxkart-data\tsfx/hit door.wav\tCC0\tNone",
    ]


def test_what_is_held_out_is_in_no_list(tmp_path: Path) -> None:
    theme = tmp_path / "packages" / "asterisk-moh-opsound-g722" / "usr" / "share" / "asterisk" / "moh"
    theme.mkdir(parents=True)
    for number in range(4):
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, (1, 10 * 16000)).astype(np.float32)
        Audio(noise, 16000).save(theme / f"{number}.wav")
    shown = run("scripts/sounds.py", "recordings", tmp_path / "packages", tmp_path / "general")
    assert shown.returncode == 0, shown.stderr
    files = sorted((tmp_path / "general" / "validation" / "music").iterdir())
    assert [Audio.read(path).duration for path in files] == [6, 6, 6]
    assert not list((tmp_path / "general").glob("*.jsonl"))


@pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(SOUNDFONTS.glob("*.sf2")),
    reason="needs apt-get install fluidsynth timgm6mb-soundfont",
)
def test_music_is_composed_and_played(tmp_path: Path) -> None:
    soundfont = min(SOUNDFONTS.glob("*.sf2"), key=lambda path: path.stat().st_size)  # any will do
    shown = run("scripts/sounds.py", "composed", tmp_path, "--hours", "0.01", "--soundfont", soundfont)
    assert shown.returncode == 0, shown.stderr
    music = Recordings.of_manifest(tmp_path / "composed.jsonl")
    assert 36 <= sum(music.seconds) < 120
    assert all(4 <= seconds <= 10 for seconds in music.seconds)


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
