"""float32 attention on the CPU: the native kernel against torch's scaled_dot_product_attention, in turn in one run.

    python benchmarks/attention.py [--threads 2] [--rounds 5] [--steps 250 500 1500 6000]
    python benchmarks/attention.py --bfloat16          # what products of bfloat16 would leave of mini's codes

Sixteen heads of 64, as in X-Codec2's encoder and decoder, one clip. "relative keys" adds a bias by distance, which
torch takes as a mask of 512 queries at a time; making that mask is not counted. With --bfloat16 queries, keys and
values are rounded to it in mini's encoder, sums and all else stay float32; 90 seconds of tests/audio are encoded.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec import Audio, Codec, kernels

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
SECONDS = 90
HEADS, HEAD_DIM, BLOCK = 16, 64, 512
LEFT, DISTANCES = 64, 73  # of Wav2Vec2-BERT's relative keys


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def torchs(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> list[Tensor]:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if mask is None:
        return [F.scaled_dot_product_attention(q, k, v)]
    blocks = q.split(BLOCK, 2)
    return [F.scaled_dot_product_attention(block, k, v, attn_mask=mask[:, :, : block.shape[2]]) for block in blocks]


def bfloat16_codes() -> None:
    """Print how many of mini's codes stay where attention multiplies bfloat16."""
    samples = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS * 4])
    codec = Codec.from_pretrained("mini", device="cpu")
    audio = Audio(samples[: SECONDS * codec.sampling_rate], codec.sampling_rate)
    expected = codec.encode(audio).ids
    attention = kernels.attention

    def rounded(q: Tensor, k: Tensor, v: Tensor, *others: object) -> Tensor:
        return attention(*(x.bfloat16().float() for x in (q, k, v)), *others)

    with mock.patch.object(kernels, "attention", rounded):
        kept = int((codec.encode(audio).ids == expected).sum())
    print(f"{kept:,} of {expected.size:,} codes of {SECONDS} s stay")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 500, 1500, 6000])
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.bfloat16:
        bfloat16_codes()
        return
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}, "
        f"kernel {kernels.variant()}, {arguments}\n"
    )
    print("| steps | | GFLOP/s | over torch's |\n|---|---|---|---|")
    for steps in arguments.steps:
        q, k, v = torch.randn(3, 1, steps, HEADS, HEAD_DIM)
        table, mask = torch.randn(1, steps, HEADS, DISTANCES), torch.randn(1, HEADS, min(steps, BLOCK), steps)
        for name, biases in (("plain", (None, None)), ("relative keys", (table, mask))):
            times = [
                (
                    seconds(lambda: kernels.attention(q, k, v, biases[0], None, LEFT)),  # noqa: B023
                    seconds(lambda: torchs(q, k, v, biases[1])),  # noqa: B023
                )
                for _ in range(arguments.rounds + 1)
            ][1:]
            ratios = sorted(theirs / ours for ours, theirs in times)
            speed = 4e-9 * steps**2 * HEADS * HEAD_DIM / statistics.median(ours for ours, _ in times)
            print(
                f"| {steps:,} | {name} | {speed:.0f} | "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
