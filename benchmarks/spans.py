"""What a span near the end of a long file costs: processor time of reading it, and of decoding the whole file.

    python benchmarks/spans.py [--minutes 10] [--seconds 2] [--rounds 5] [--json FILE]

The recordings in tests/audio are laid end to end, each time at another level, until they are so long. AAC, WebM and
Matroska are made with FFmpeg's program and left out where it is not installed; the least of several rounds is told.
"""

import argparse
import json
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from xcodec import Audio

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
SAVED = {"WAV": ".wav", "FLAC": ".flac", "Vorbis in Ogg": ".ogg", "Opus in Ogg": ".opus", "MP3": ".mp3"}
MADE = {
    "AAC in MP4": (".m4a", "-c:a", "aac"),
    "ALAC in MP4": (".alac.m4a", "-c:a", "alac"),
    "Opus in WebM": (".webm", "-c:a", "libopus"),
    "Vorbis in Matroska": (".mka", "-c:a", "libvorbis"),
}


def laid_end_to_end(seconds: float) -> Audio:
    speech = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS])
    levels = np.random.default_rng(0).uniform(0.2, 1.0, int(seconds * 16000 // len(speech)) + 1)
    return Audio(np.concatenate([level * speech for level in levels])[: round(seconds * 16000)], 16000)


def write_files(folder: Path, audio: Audio) -> dict[str, Path]:
    files = {name: folder / f"long{suffix}" for name, suffix in SAVED.items()}
    for path in files.values():
        audio.save(path)
    if shutil.which("ffmpeg"):
        for name, (suffix, *options) in MADE.items():
            files[name] = folder / f"made{suffix}"
            command = ["ffmpeg", "-v", "error", "-y", "-i", str(files["WAV"]), *options, str(files[name])]
            subprocess.run(command, check=True)
    return files


def least_processor_time(rounds: int, work: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        start = 60 * arguments.minutes - 5 - arguments.seconds
        print(f"{arguments.seconds:g} seconds that end 5 seconds before the end of {arguments.minutes:g} minutes\n")
        print("| file | the span, s | the whole, s | whole over span |\n|---|---|---|---|")
        for name, path in write_files(Path(temporary), laid_end_to_end(60 * arguments.minutes)).items():
            span = least_processor_time(
                arguments.rounds, lambda path=path: Audio.read(path, start=start, duration=arguments.seconds)
            )
            whole = least_processor_time(min(2, arguments.rounds), lambda path=path: Audio.read(path))
            rows.append({"file": name, "span": span, "whole": whole})
            print(f"| {name} | {span:.3f} | {whole:.2f} | {whole / span:.1f} |", flush=True)
    versions = {name: version(name) for name in ("soundfile", "soxr")}
    print(f"\n{platform.machine()}, {platform.system()}, {versions}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
