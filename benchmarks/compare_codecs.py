"""Codecs of several kinds on the same recordings, by one command: `xcodec evaluate`, with checkpoints made for it.

    python benchmarks/compare_codecs.py RECORDINGS OUT [-m MODEL ...] [further options of xcodec evaluate]

Compares the built-in `mini`, small EnCodec, DAC and Mimi of transformers and a small X-Codec of this package, all four
of random weights with codebooks that speech uses (random_codecs.py), Opus at 6 kbit/s and Codec 2 at 1300 bit/s, and
writes OUT/report.html and OUT/report.json. What a random codec gives back is noise: it stands there for what noise
scores, and to show that the codecs of others run. Of trained codecs give their names by -m; they are compared as well.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from random_codecs import save_random_codec
from released import speech

from xcodec import Audio

BASELINES = ("opus:6", "codec2:1300")
RANDOM = ("encodec", "dac", "mimi", "xcodec")
SAMPLING_RATE = 16_000
SECONDS = 24.0  # of speech, whose latents become the random codecs' code vectors


def made(folder: Path) -> list[Path]:
    """Save the random checkpoints, the same at every call: one folder for each."""
    recording = Audio(speech(SECONDS, SAMPLING_RATE), SAMPLING_RATE)
    folders = [folder / f"random-{name}" for name in RANDOM]
    for name, each in zip(RANDOM, folders, strict=True):
        save_random_codec(name, each, recording)
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    arguments, others = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    models = ["mini", *map(str, made(arguments.out))]
    evaluate = [
        *(sys.executable, "-m", "xcodec", "evaluate", arguments.recordings),
        *(word for model in models for word in ("-m", model)),
        *(word for baseline in BASELINES for word in ("--baseline", baseline)),
        *("--html", arguments.out / "report.html", "--json", arguments.out / "report.json"),
        *others,
    ]
    raise SystemExit(subprocess.run(list(map(str, evaluate)), check=False).returncode)


if __name__ == "__main__":
    main()
