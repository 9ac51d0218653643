"""Intelligibility and quality of a model's reconstructions: STOI and PESQ-WB, one row per recording.

    python benchmarks/quality.py [RECORDING ...] [--model FOLDER_OR_ID] [--json FILE]

Without recordings it takes the five in tests/audio, none of which the built-in model was trained on.
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

try:
    from pesq import pesq
    from pystoi import stoi
except ImportError as error:
    raise SystemExit(f"{error}; install what it needs: pip install 'xcodec[eval]' (pesq needs a C compiler)") from None

from xcodec import Audio, Codec

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
VERSIONS = {name: version(name) for name in ("xcodec", "torch", "pystoi", "pesq")}


def score(codec: Codec, path: Path) -> dict[str, float | int | str]:
    original = Audio.read(path).mono().resample(codec.sampling_rate)
    codes = codec.encode(original)
    again = codec.decode(codes)
    reference, reconstruction = original.samples[0], again.samples[0]
    return {
        "recording": path.stem,
        "seconds": round(original.duration, 2),
        "codes": codes.ids.shape[1],
        "distinct": len(np.unique(codes.ids)),
        "stoi": float(stoi(reference, reconstruction, original.sampling_rate)),
        "pesq_wb": float(pesq(original.sampling_rate, reference, reconstruction, "wb")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    codec = Codec.from_pretrained(arguments.model)
    rows = [score(codec, path) for path in arguments.recordings]
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("stoi", "pesq_wb")}

    print(f"{codec!r}\n{platform.machine()}, {platform.system()}, {VERSIONS}\n")
    print("| recording | seconds | codes | distinct | STOI | PESQ-WB |\n|---|---|---|---|---|---|")
    for row in rows:
        print("| {recording} | {seconds} | {codes} | {distinct} | {stoi:.3f} | {pesq_wb:.2f} |".format(**row))
    print(f"| mean | | | | {means['stoi']:.3f} | {means['pesq_wb']:.2f} |")
    if arguments.json:
        record = {"model": str(codec.identity), "versions": VERSIONS, "rows": rows, "means": means}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
