"""Whether reading limits `xcodec tokenize`: processor time of decoding and resampling against that of the model.

    python benchmarks/reading.py [--clips 12] [--rounds 3] [--model mini] [--json FILE]

Clips of 2 to 35 seconds, with lengths as benchmarks/tokenization.py has them, are written as 16 kHz FLAC, 48 kHz FLAC,
48 kHz FLAC with two channels, and 44.1 and 48 kHz MP3. Each is read as a reader process reads it, and encoded as a
batch of the model's, on one thread; what counts is processor time per second of audio, the least of the rounds. Below 1
over the model's, a single reader process is ahead of a model with a core of its own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenization import RATE, RECORDINGS, lengths

KINDS = {
    "16 kHz FLAC": (16000, 1, "flac"),
    "48 kHz FLAC": (48000, 1, "flac"),
    "48 kHz FLAC, 2 channels": (48000, 2, "flac"),
    "44.1 kHz MP3": (44100, 1, "mp3"),
    "48 kHz MP3": (48000, 1, "mp3"),
}


def processor_seconds(work: Callable[[], object], rounds: int) -> float:
    """The least of some rounds, after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken[1:])


def measure(count: int, rounds: int, model: str | None) -> list[dict[str, Any]]:
    import numpy as np
    import torch

    from xcodec import Audio, Codec
    from xcodec.tokenization.sound import SoundReader

    torch.set_num_threads(1)
    speech = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS])
    clips = [
        Audio(np.resize(np.roll(speech, -4801 * i), int(seconds * RATE)), RATE)
        for i, seconds in enumerate(lengths(count))
    ]
    seconds = sum(clip.duration for clip in clips)
    codec = Codec.from_pretrained(model, device="cpu", encoder_only=True)
    encoding = processor_seconds(lambda: codec.encode(clips, batch_seconds=600.0), rounds) / seconds
    print(f"{count} clips, {seconds:.0f} s; the model: {1e3 * encoding:.2f} ms of a processor per second of audio")
    print("| | ms per second of audio | of that, resampling and mixing | over the model's |\n|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        reader = SoundReader(codec.sampling_rate, 3600.0, Path(temporary))
        nothing = dict.fromkeys(("byte_start", "byte_count", "duration", "channel", "file_size", "file_modified"))
        for name, (rate, channels, suffix) in KINDS.items():
            paths = []
            for i, clip in enumerate(clips):
                again = clip.resample(rate)
                paths.append(Path(temporary) / f"{name}-{i}.{suffix}")
                Audio(np.repeat(again.samples, channels, axis=0), rate).save(paths[-1])
            entries = [nothing | {"uri": str(path), "start": 0.0, "file_sha256": None} for path in paths]

            def read(entries: list[dict[str, Any]] = entries) -> None:
                for entry in entries:
                    [sound] = reader.read([entry])
                    assert isinstance(sound, tuple), sound

            def decode(paths: list[Path] = paths) -> None:
                for path in paths:
                    Audio.read(path)

            row = {"kind": name, "model": encoding}
            row["reading"] = processor_seconds(read, rounds) / seconds
            row["decoding"] = processor_seconds(decode, rounds) / seconds
            rows.append(row)
            print(
                f"| {name} | {1e3 * row['reading']:.2f} | {1e3 * (row['reading'] - row['decoding']):.2f} "
                f"| {row['reading'] / encoding:.2f} |",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="a folder or a hub id; else the built-in mini")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.clips, arguments.rounds, arguments.model)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
