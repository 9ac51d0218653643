"""float32 attention on the CPU: the native kernel against torch's scaled_dot_product_attention, in turn in one run.

    python benchmarks/attention.py [--threads 2] [--rounds 5] [--steps 250 500 1500 6000]

Sixteen heads of 64, as in X-Codec2's encoder and decoder, one clip. "relative keys" adds a bias by distance, which
torch takes as a mask of 512 queries at a time; making that mask is not counted.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec import kernels

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


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 500, 1500, 6000])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
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
