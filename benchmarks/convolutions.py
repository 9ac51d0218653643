"""Convolutions of 7 taps on the CPU: the native kernels against oneDNN, in turn in one run.

    python benchmarks/convolutions.py [layers] [acoustic] [encode] [codes] [units] [--threads 1] [--rounds 7]
                                      [--seconds 10] [--model released]

layers: those of X-Codec2's acoustic encoder at its released size, of so many seconds. Errors are root mean squares over
those of the exact result, of noise.

acoustic: that encoder as a whole, on speech, with random weights.

encode: all of encoding at that size, likewise; times on the clock.

codes: how many of the recordings in tests/audio are others with the kernel, of the model (a folder, or "released" with
random weights).

units: residual units of few channels, which one kernel computes in the cache, against their layers one by one; then
all of encoding by an X-Codec2 of 12M parameters with random weights, and its codes. With how often memory was asked for
(page faults), and what passes through it.

Weights are packed on both sides; times are the processor's.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from check import processor_name
from released import RECORDINGS, prepared, random_model, save_small_xcodec2, speech
from torch import nn

import xcodec
from xcodec import Audio, Codec, kernels
from xcodec.models.acoustic import DILATIONS, AcousticEncoder, ResidualUnit, anti_aliased_snake_beta
from xcodec.models.auto import feature_extractor_of
from xcodec.modules.conv import MaskedConv1d, channels_last
from xcodec.modules.packing import pack_weights
from xcodec.modules.toom_conv import ToomConv1d

WHAT = ["layers", "acoustic", "encode", "codes", "units"]
SHAPES = [(48, 16000), (96, 8000), (192, 4000), (384, 1000), (768, 250)]  # channels, steps a second
NARROW = [(8, 16000), (16, 2000), (32, 250)]  # likewise, of the recipe xcodec2-small
PASSES = {"in the cache": 2, "by layers": 11}  # over memory: reads and writes of four layers, and of the sum


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


@contextmanager
def by_layers() -> Iterator[None]:
    """Let no kernel of few channels serve."""
    nothing = partial(mock.patch.object, kernels, return_value=False)
    with nothing("serves_narrow"), nothing("serves_planar"):
        yield


def faults(run: Callable[[], object]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def compare_units(rounds: int, length: float) -> None:
    print("| | by layers, ms | in the cache, ms | over layers | page faults a second of audio | MB, likewise |")
    print("|---|---|---|---|---|---|")
    for channels, rate in NARROW:
        for dilation in DILATIONS:
            unit = ResidualUnit(channels, dilation, anti_aliased_snake_beta).eval().requires_grad_(False)
            planar = torch.randn(1, channels, int(rate * length))
            last = channels_last(planar)
            traffic = [passes * 4e-6 * channels * rate for passes in (PASSES["by layers"], PASSES["in the cache"])]
            ours, theirs = partial(unit, planar), partial(unit, last)
            against_layers(f"{channels} channels, dilation {dilation}", ours, theirs, rounds, length, traffic)
    with tempfile.TemporaryDirectory() as folder:
        save_small_xcodec2(Path(folder))
        codec = Codec.from_pretrained(folder, device="cpu")
    audio = Audio(speech(length, codec.sampling_rate)[None], codec.sampling_rate)
    against_layers("encode, 12M parameters", lambda: codec.encode(audio), lambda: codec.encode(audio), rounds, length)
    changed = total = 0
    for path in RECORDINGS:
        codes = codec.encode(path).ids
        with by_layers():
            changed, total = changed + int((codes != codec.encode(path).ids).sum()), total + codes.size
    print(f"\n{changed} of {total:,} codes of {len(RECORDINGS)} recordings are others", flush=True)


def against_layers(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int,
    length: float,
    traffic: list[float] | None = None,
) -> None:
    """Print a row: what runs with the kernels of few channels, and what does without."""
    times, asked = [], []
    for _ in range(rounds + 1):
        own, own_faults = seconds(ours), faults(ours)
        with by_layers():
            other, other_faults = seconds(theirs), faults(theirs)
        times.append((own, other))
        asked.append((other_faults / length, own_faults / length))
    medians = [1e3 * statistics.median(each) for each in zip(*times[1:], strict=True)]
    counted = " to ".join(f"{statistics.median(each):,.0f}" for each in zip(*asked[1:], strict=True))
    passed = "" if traffic is None else " to ".join(f"{each:.1f}" for each in traffic)
    print(f"| {name} | {medians[1]:.1f} | {medians[0]:.1f} | {over(times[1:])} | {counted} | {passed} |", flush=True)


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
    if "units" in arguments.what:
        compare_units(arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
