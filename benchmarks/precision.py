"""What less precision costs, and what it brings: codes equal to float32's, quality, size and speed.

    python benchmarks/precision.py [RECORDING ...] [--model FOLDER_OR_ID] [--variants bfloat16 float16 int8 compiled]
        [--rounds N] [--json FILE]

Without recordings it takes the five in tests/audio. "compiled" is float32 with compiled layers. "decoded" compares the
audio of float32's codes by the magnitudes of frames of 1,024 samples, since a harmonic decoder's phase differs from
where less precision has decided on another pitch. STOI and PESQ are of a recording against what a variant makes of it,
there and back. Speed is processor time, of one thread, each run beside one in float32: the ratio's median and its least
and largest.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pesq import pesq
from pystoi import stoi

from xcodec import Audio, Codec, kernels

VARIANTS = ("bfloat16", "float16", "int8", "compiled")
RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
RATE = 16000  # of STOI and PESQ


def magnitudes(audio: Audio) -> np.ndarray:
    """Of the first channel, in frames of 1,024 samples, a quarter of that apart: float32 (513, frames)."""
    window = torch.hann_window(1024)
    return torch.stft(torch.tensor(audio.samples[0]), 1024, 256, window=window, return_complex=True).abs().numpy()


def quality(recordings: list[Audio], decoded: list[Audio]) -> tuple[float, float]:
    """Mean STOI and PESQ-WB."""
    pairs = [
        (a.resample(RATE).samples[0], b.resample(RATE).samples[0]) for a, b in zip(recordings, decoded, strict=True)
    ]
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in pairs]
    return (
        float(np.mean([stoi(a, b, RATE) for a, b in pairs])),
        float(np.mean([pesq(RATE, a, b, "wb") for a, b in pairs])),
    )


def weights_in_mb(codec: Codec) -> float:
    return sum(each.numel() * each.element_size() for each in codec.model.state_dict().values()) / 1e6


def seconds(run: Callable[[], Any]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def speeds(of_float: Callable[[], Any], of_variant: Callable[[], Any], rounds: int) -> list[float]:
    """How many times as fast, in each round; the order changes, so that neither is always the one that comes first."""
    ratios = []
    for i in range(rounds):
        if i % 2:
            ours, theirs = seconds(of_variant), seconds(of_float)
        else:
            theirs, ours = seconds(of_float), seconds(of_variant)
        ratios.append(theirs / ours)
    return ratios


def told(ratios: list[float]) -> str:
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--model")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reference = Codec.from_pretrained(arguments.model)
    recordings = [Audio.read(path).resample(reference.sampling_rate) for path in arguments.recordings]
    codes = reference.encode(recordings)
    audio = reference.decode(codes)
    rows = [row("float32", recordings, audio, weights_in_mb(reference), 1.0, None, [1.0], [1.0])]
    for variant in arguments.variants:
        options: dict[str, Any] = {"compile": True} if variant == "compiled" else {"dtype": variant}
        codec = Codec.from_pretrained(arguments.model, **options)
        own = codec.encode(recordings)
        equal = float(np.concatenate([a.ids == b.ids for a, b in zip(codes, own, strict=True)], 1).mean())
        found = codec.decode(codes)
        pairs = [(magnitudes(a), magnitudes(b)) for a, b in zip(audio, found, strict=True)]
        decoded = float(np.mean([10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)) for a, b in pairs]))
        encoding, decoding = (
            speeds(lambda: reference.encode(recordings), lambda: codec.encode(recordings), arguments.rounds),  # noqa: B023
            speeds(lambda: reference.decode(codes), lambda: codec.decode(codes), arguments.rounds),  # noqa: B023
        )
        there_and_back = codec.decode(own)
        rows.append(row(variant, recordings, there_and_back, weights_in_mb(codec), equal, decoded, encoding, decoding))
    versions = {name: version(name) for name in ("xcodec", "torch", "pystoi", "pesq")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, kernel {kernels.variant()}"
    print(f"{reference!r}\n{machine}; {versions}\n")
    print("| | codes equal to float32's | decoded | STOI | PESQ-WB | weights | encode, times float32 | decode |")
    print("|---|---|---|---|---|---|---|---|")
    for each in rows:
        shown = {**each, "encode": told(each["encode"]), "decode": told(each["decode"])}
        shown["decoded"] = "" if each["decode_snr"] is None else f"{each['decode_snr']:.1f} dB"
        scores = "{equal:.1%} | {decoded} | {stoi:.3f} | {pesq:.2f}".format(**shown)
        print(f"| {shown['variant']} | {scores} | {shown['mb']:.1f} MB | {shown['encode']} | {shown['decode']} |")
    if arguments.json:
        record = {"model": str(reference.identity), "machine": machine, "versions": versions, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


def row(
    variant: str,
    recordings: list[Audio],
    decoded: list[Audio],
    mb: float,
    equal: float,
    decode_snr: float | None,
    encode: list[float],
    decode: list[float],
) -> dict[str, Any]:
    mean_stoi, mean_pesq = quality(recordings, decoded)
    return {
        "variant": variant,
        "equal": equal,
        "decode_snr": decode_snr,
        "stoi": mean_stoi,
        "pesq": mean_pesq,
        "mb": mb,
        "encode": encode,
        "decode": decode,
    }


if __name__ == "__main__":
    main()
