"""X-Codec2's two encoders one after the other on all cores, against both at once on a core each.

    python benchmarks/branches.py [--seconds 2 5 10 30] [--batch 1] [--rounds 7]

At the released size, with random weights, packed, in float32; times are on the clock, the two ways in turn. "at best"
is the ratio if the shorter one's thread had gone on with the longer one's work.
"""

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import torch
from check import processor_name
from released import prepared, random_model

from xcodec import kernels


class Branches:
    """Both encoders of a model on a batch of clips.

    Args:
        model: an X-Codec2.
        seconds: of the clips.
        batch: how many of them.
        threads: of torch, in all, at least 2.
    """

    def __init__(self, model: torch.nn.Module, seconds: float, batch: int, threads: int) -> None:
        inputs = prepared(model, "ours", seconds, batch)
        self.model = model
        self.clips = model.clips(inputs["input_values"], inputs.get("padding_mask"))
        self.features = inputs.get("input_features")
        self.num_latents = self.clips.waveform.shape[-1] // model.latent_hop_length
        self.halves = [ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads // 2,)) for _ in "ab"]
        for half in self.halves:  # each has its number of threads before torch's is set to all again
            half.submit(int).result()
        torch.set_num_threads(threads)

    @torch.inference_mode()
    def semantic(self) -> float:
        """Run the semantic one: seconds."""
        start = time.perf_counter()
        self.model.semantic(self.model.semantic_states(self.clips, self.features))
        return time.perf_counter() - start

    @torch.inference_mode()
    def acoustic(self) -> float:
        """Run the acoustic one: seconds."""
        start = time.perf_counter()
        self.model.acoustic(self.clips, self.num_latents)
        return time.perf_counter() - start

    def one_after_the_other(self) -> float:
        """Run both on all cores: seconds."""
        return self.semantic() + self.acoustic()

    def at_once(self) -> tuple[float, float]:
        """Seconds until both are done, and those of both threads on average."""
        start = time.perf_counter()
        both = [half.submit(run) for half, run in zip(self.halves, (self.semantic, self.acoustic), strict=True)]
        each = [one.result() for one in both]
        return time.perf_counter() - start, statistics.mean(each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", nargs="+", type=float, default=[2, 5, 10, 30])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    if threads < 2:
        parser.error("both at once need two threads")
    print(
        f"{processor_name()}, {os.cpu_count()} cores, torch {version('torch')} with {threads} threads, kernel "
        f"{kernels.variant()}, {arguments}\n"
    )
    model = random_model("xcodec2")
    model.pack_weights()
    print("| clip | one after the other, s | at once, s | ratio | at best |\n|---|---|---|---|---|")
    for seconds in arguments.seconds:
        branches = Branches(model, seconds, arguments.batch, threads)
        branches.one_after_the_other()
        branches.at_once()
        rounds = [(branches.one_after_the_other(), *branches.at_once()) for _ in range(arguments.rounds)]
        ratios, best = sorted(a / b for a, b, _ in rounds), statistics.median(a / c for a, _, c in rounds)
        apart, together = (statistics.median(row[i] for row in rounds) for i in (0, 1))
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"| {arguments.batch} x {seconds:g} s | {apart:.2f} | {together:.2f} | {ratio} | {best:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
