"""Convolutions of 7 taps on the CPU: the native kernels against oneDNN, in turn in one run.

    python benchmarks/convolutions.py [layers] [acoustic] [encode] [codes] [--threads 1] [--rounds 7]
                                      [--seconds 10] [--model released]

layers: those of X-Codec2's acoustic encoder at its released size, of so many seconds. Errors are root mean squares over
those of the exact result, of noise.

acoustic: that encoder as a whole, on speech, with random weights.

encode: all of encoding at that size, likewise; times on the clock.

codes: how many of the recordings in tests/audio are others with the kernel, of the model (a folder, or "released" with
random weights).

Weights are packed on both sides; times are the processor's.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
import torch.nn.functional as F
from check import processor_name
from released import RECORDINGS, prepared, random_model, speech
from torch import nn

import xcodec
from xcodec import Audio, kernels
from xcodec.models.acoustic import AcousticEncoder
from xcodec.models.auto import feature_extractor_of
from xcodec.modules.conv import MaskedConv1d, channels_last
from xcodec.modules.packing import pack_weights
from xcodec.modules.toom_conv import ToomConv1d

WHAT = ["layers", "acoustic", "encode", "codes"]
SHAPES = [(48, 16000), (96, 8000), (192, 4000), (384, 1000), (768, 250)]  # channels, steps a second


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """What a call takes, of the processor where no other clock is given."""
    start = clock()
    run()
    return clock() - start


def over(times: list[tuple[float, float]]) -> str:
    """The median of the ratios of the second time to the first, and their range."""
    ratios = sorted(theirs / ours for ours, theirs in times)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def compare_layers(rounds: int, length: float) -> None:
    print("| channels | steps | dilation | oneDNN, ms | kernel, ms | over oneDNN | error, oneDNN's | error, kernel's |")
    print("|---|---|---|---|---|---|---|---|")
    for channels, rate in SHAPES:
        for dilation in (1, 3, 9):
            steps, geometry = int(rate * length), {"dilation": dilation, "padding": 3 * dilation}
            x = channels_last(torch.randn(1, channels, steps))
            ours, plain = (kind(channels, channels, 7, **geometry) for kind in (ToomConv1d, MaskedConv1d))
            plain.load_state_dict(ours.state_dict())
            part = channels_last(x[..., :2000])
            exact = F.conv1d(part.double(), ours.weight.double(), ours.bias.double(), 1, 3 * dilation, dilation)
            for each in (ours, plain):
                pack_weights(each)
            times = [(seconds(lambda: ours(x)), seconds(lambda: plain(x))) for _ in range(rounds + 1)][1:]  # noqa: B023
            medians = [1e3 * statistics.median(each) for each in zip(*times, strict=True)]
            errors = " | ".join(f"{error(layer(part), exact):.1e}" for layer in (plain, ours))
            row = f"{channels} | {steps:,} | {dilation} | {medians[1]:.0f} | {medians[0]:.0f} | {over(times)}"
            print(f"| {row} | {errors} |", flush=True)


def without_kernel(model: nn.Module) -> nn.Module:
    """Let oneDNN do what the kernel would, and pack."""
    for module in model.modules():
        if isinstance(module, ToomConv1d):
            module.__class__ = MaskedConv1d
    pack_weights(model)
    return model


def compare_acoustic(rounds: int, length: float) -> None:
    config = xcodec.Xcodec2Config()
    ours, plain = (
        AcousticEncoder(config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size).eval()
        for _ in range(2)
    )
    plain.load_state_dict(ours.state_dict())
    without_kernel(plain)
    pack_weights(ours)
    wave = torch.from_numpy(speech(length, config.sampling_rate))[None, None]
    apart = error(ours(wave), plain(wave).double())
    times = [(seconds(lambda: ours(wave)), seconds(lambda: plain(wave))) for _ in range(rounds)]
    print(f"acoustic encoder of {length:g} s: {over(times)} times as fast, latents {apart:.1e} apart", flush=True)


def compare_encode(rounds: int, length: float) -> None:
    ours, plain = random_model("xcodec2"), random_model("xcodec2")
    without_kernel(plain)
    ours.pack_weights()
    clip = prepared(ours, "ours", length, 1)
    for model in (ours, plain):
        model.encode(**clip)
    times = []
    for _ in range(rounds):
        own, theirs = (seconds(lambda: each.encode(**clip), time.perf_counter) for each in (ours, plain))  # noqa: B023
        times.append((own, theirs))
    median = statistics.median(own for own, _ in times)
    print(f"encode of {length:g} s: {over(times)} times as fast, {length / median:.2f} times real time", flush=True)


def compare_codes(name: str) -> None:
    if name == "released":
        packed, plain = random_model("xcodec2"), random_model("xcodec2")
    else:
        packed, plain = (xcodec.Codec.from_pretrained(name, pack=False).model for _ in range(2))
    without_kernel(plain)
    packed.pack_weights()
    changed = total = 0
    extractor = feature_extractor_of(plain)
    for path in RECORDINGS:
        samples = Audio.read(path).resample(plain.sampling_rate).samples[0]
        inputs = extractor([samples], sampling_rate=plain.sampling_rate, return_tensors="pt")
        codes, expected = (each.encode(**inputs).audio_codes for each in (packed, plain))
        changed, total = changed + int((codes != expected).sum()), total + codes.numel()
    print(f"{name}: {changed} of {total:,} codes of {len(RECORDINGS)} recordings are others", flush=True)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=WHAT, default=WHAT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--model", default="released")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    torch_version = version("torch")
    print(
        f"{processor_name()}, {os.cpu_count()} cores, torch {torch_version}, kernel {kernels.variant()}, {arguments}\n"
    )
    if "layers" in arguments.what:
        compare_layers(arguments.rounds, arguments.seconds)
    if "acoustic" in arguments.what:
        compare_acoustic(arguments.rounds, arguments.seconds)
    if "encode" in arguments.what:
        compare_encode(arguments.rounds, arguments.seconds)
    if "codes" in arguments.what:
        compare_codes(arguments.model)


if __name__ == "__main__":
    main()
