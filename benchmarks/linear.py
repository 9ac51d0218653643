"""float32 linear maps on the CPU: through oneDNN, as this package calls it, against torch's own, which calls MKL.

python benchmarks/linear.py [--threads 2] [--rounds 15]
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

from xcodec.modules.linear import linear

SHAPES = [
    (1, 1024, 4096),
    (50, 1024, 4096),
    (500, 1024, 1024),
    (500, 1024, 4096),
    (500, 4096, 1024),
    (6000, 1024, 1024),
]


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}, {arguments}\n"
    )
    print("| rows | in | out | GFLOP/s | over torch's |\n|---|---|---|---|---|")
    for rows, inputs, outputs in SHAPES:
        x, weight, bias = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
        times = [
            (seconds(lambda: linear(x, weight, bias)), seconds(lambda: F.linear(x, weight, bias)))  # noqa: B023
            for _ in range(arguments.rounds + 2)
        ][2:]
        ratios = sorted(theirs / ours for ours, theirs in times)
        speed = 2e-9 * rows * inputs * outputs / statistics.median(ours for ours, _ in times)
        print(
            f"| {rows} | {inputs} | {outputs} | {speed:.0f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
