"""Linear maps on the CPU: through oneDNN, with weights as they are and packed, against torch's own.

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

from xcodec.modules.linear import Linear
from xcodec.modules.packing import pack_weights

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
    print("| rows | in | out | dtype | weight | GFLOP/s | over torch's |\n|---|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        for rows, inputs, outputs in SHAPES:
            x = torch.randn(rows, inputs, dtype=dtype)
            plain, packed = Linear(inputs, outputs).to(dtype), Linear(inputs, outputs).to(dtype)
            pack_weights(packed)
            contenders = [
                lambda: plain(x),  # noqa: B023
                lambda: packed(x),  # noqa: B023
                lambda: F.linear(x, plain.weight, plain.bias),  # noqa: B023
            ]
            times = [[seconds(run) for run in contenders] for _ in range(arguments.rounds + 2)][2:]
            for i, weight in enumerate(("plain", "packed")):
                ratios = sorted(each[2] / each[i] for each in times)
                speed = 2e-9 * rows * inputs * outputs / statistics.median(each[i] for each in times)
                print(
                    f"| {rows} | {inputs} | {outputs} | {str(dtype).removeprefix('torch.')} | {weight} | {speed:.0f} | "
                    f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
                )


if __name__ == "__main__":
    main()
