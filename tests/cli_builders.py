"""The program as people run it, and recordings in five formats."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

import builders
from waiting import PATIENCE
from xcodec.audio import Audio
from xcodec.cli.app import app

COMMANDS = ["encode", "decode", "reconstruct", "say", "detokenize", "train", "evaluate", "probe", "info", "convert"]
SPEECH = builders.RECORDINGS[1]  # austen-0880.wav: 16 kHz, mono, 47,840 samples, 150 codes
MIXED = ["a.flac", "a.wav", "x/b.ogg", "x/deep/c.mp3", "x/deep/d.opus"]


class Result:
    """What a run of the program left: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


def run(*arguments: object) -> Result:
    """The program, in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Result(result.exit_code, result.stdout, result.stderr)


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The program, in a process of its own."""
    command = [sys.executable, "-m", "xcodec", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, text=True, errors="surrogateescape", **pipes)  # type: ignore[call-overload]


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait for it, and give what it left."""
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out, err)


def mixed_recordings(folder: Path) -> Path:
    """A folder of speech in five formats, mono and stereo, at four rates, with a text file among them."""
    (folder / "x/deep").mkdir(parents=True)
    speech = Audio(builders.speech(2.0), 16000)
    left = speech.resample(44100).samples[0]
    Audio(np.stack([left, 0.5 * left]), 44100).save(folder / "a.wav")
    speech.resample(48000).save(folder / "a.flac")
    Audio(builders.speech(1.0), 16000).save(folder / "x/b.ogg")
    speech.resample(22050).save(folder / "x/deep/c.mp3")
    Audio(builders.speech(0.5), 16000).save(folder / "x/deep/d.opus")
    (folder / "notes.txt").write_text("no audio\n")
    return folder


def files_in(folder: Path) -> list[str]:
    """All files below a folder, half-written ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
