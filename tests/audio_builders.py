"""Files of every kind, made with the programs that people make them with, and what FFmpeg says of them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

SPEECH = Path(__file__).parent / "audio" / "austen-0880.wav"  # 16 kHz, mono, 47,840 samples

PACKAGES = {"ffmpeg": "ffmpeg", "lame": "lame", "sox": "sox with libsox-fmt-all"}


def made(folder: Path, name: str, command: str) -> Path:
    """Run a command in which {in} is the speech and {out} the file to make; skip where the program is not there."""
    program = command.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: install {PACKAGES[program]}")
    path = folder / name
    parts = [part.replace("{in}", str(SPEECH)).replace("{out}", str(path)) for part in command.split()]
    done = subprocess.run(parts, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this {program} cannot make {name}: {done.stderr.strip().splitlines()[-1:]}")
    return path


def ffmpeg_samples(path: Path) -> np.ndarray:
    """Decode the first audio track with FFmpeg's program: shape (channels * samples,)."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg: install ffmpeg")
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)
