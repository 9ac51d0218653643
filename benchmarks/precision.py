"""What less precision costs: codes equal to float32's, and decoded audio against float32's of the same codes.

    python benchmarks/precision.py [RECORDING ...] [--model FOLDER_OR_ID] [--variants bfloat16 float16 int8 compiled]
        [--json FILE]

Without recordings it takes the five in tests/audio. "compiled" is float32 with compiled layers.
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from xcodec import Audio, Codec, kernels

VARIANTS = ("bfloat16", "float16", "int8", "compiled")
RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--model")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recordings = [Audio.read(path) for path in arguments.recordings]
    reference = Codec.from_pretrained(arguments.model)
    codes = reference.encode(recordings)
    audio = [each.samples[0] for each in reference.decode(codes)]
    rows = []
    for variant in arguments.variants:
        options: dict[str, Any] = {"compile": True} if variant == "compiled" else {"dtype": variant}
        codec = Codec.from_pretrained(arguments.model, **options)
        equal = [a.ids == b.ids for a, b in zip(codes, codec.encode(recordings), strict=True)]
        found = [each.samples[0] for each in codec.decode(codes)]
        ratios = [10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)) for a, b in zip(audio, found, strict=True)]
        share = float(np.concatenate(equal, 1).mean())
        rows.append({"variant": variant, "equal": share, "decode_snr": float(np.mean(ratios))})
    versions = {name: version(name) for name in ("xcodec", "torch")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, kernel {kernels.variant()}"
    print(f"{reference!r}\n{machine}; {versions}\n")
    print("| | codes equal to float32's | decoded, over the difference to float32's |\n|---|---|---|")
    for row in rows:
        print("| {variant} | {equal:.1%} | {decode_snr:.1f} dB |".format(**row))
    if arguments.json:
        record = {"model": str(reference.identity), "machine": machine, "versions": versions, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
