"""Files of every kind, made with the programs that people make them with, and what FFmpeg says of them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

STORED = Path(__file__).parent / "formats"
SPEECH = Path(__file__).parent / "audio" / "austen-0880.wav"  # 16 kHz, mono, 47,840 samples

PACKAGES = {"ffmpeg": "ffmpeg", "lame": "lame", "sox": "sox with libsox-fmt-all"}


def made(folder: Path, name: str, command: str) -> Path:
    """Run a command that makes a file; skip where its program is not there.

    Args:
        folder: to put it in.
        name: of the file.
        command: {in} is the speech, {out} the file to make, and {stored} the folder of files that cannot be made.
    """
    program = command.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}: install {PACKAGES[program]}")
    path = folder / name
    parts = [part.format_map({"in": SPEECH, "out": path, "stored": STORED}) for part in command.split()]
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


def flac(samples: np.ndarray, bits: int, sampling_rate: int = 16000) -> bytes:
    """Write whole numbers of so many bits as FLAC without compression, as RFC 9639 describes it: shape (samples,)."""
    block = 4096
    info = f"{block:016b}{block:016b}{0:048b}{sampling_rate:020b}{0:03b}{bits - 1:05b}{len(samples):036b}{0:0128b}"
    content = b"fLaC\x80" + (34).to_bytes(3, "big") + _packed(info)
    size = {8: 1, 12: 2, 16: 4, 20: 5, 24: 6}[bits]
    for number, first in enumerate(range(0, len(samples), block)):
        part = samples[first : first + block]
        header = _packed(f"{0x3FFE:014b}00{7:04b}{0:04b}{0:04b}{size:03b}0{number:08b}{len(part) - 1:016b}")
        header += _crc(header, 8, 0x07)
        verbatim = "".join(f"{int(sample) % (1 << bits):0{bits}b}" for sample in part)
        frame = header + _packed(f"0{1:06b}0{verbatim}")
        content += frame + _crc(frame, 16, 0x8005)
    return content


def _packed(bits: str) -> bytes:
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


def _crc(content: bytes, width: int, polynomial: int) -> bytes:
    value = 0
    for byte in content:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial * (value >> (width - 1))) & ((1 << width) - 1)
    return value.to_bytes(width // 8, "big")
