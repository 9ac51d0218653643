"""Training steps per second and peak memory of a recipe: with the native activation, and with torch's operators.

    python benchmarks/training.py [--recipe mini] [--steps 12] [--rounds 3] [--threads N] [--json FILE]

Everything else in the step is the same: same weights, same crops of the recordings in tests/audio, discriminators at
work from the first step. Each figure comes from a process of its own; the variants take turns.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
VARIANTS = {"native": None, "plain": "torch"}


def measure(recipe_name: str, steps: int, threads: int) -> dict[str, float]:
    """Train a few steps in this process; the first two do not count."""
    import torch

    from xcodec.training.data.recordings import Recordings, Span
    from xcodec.training.recipe import Recipe
    from xcodec.training.trainer import Trainer

    torch.set_num_threads(threads)
    recipe = Recipe.read(recipe_name, ("adversarial.first_step=0", "adversarial.lead_steps=0"))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            recipe, Recordings([Span(path) for path in RECORDINGS * 20], "recordings"), folder, lambda _line: None
        )
        made = trainer.batches.following(0, trainer.position)
        seconds, audio = 0.0, 0.0
        for step in range(steps + 2):
            batch, _ = next(made)
            begin = time.perf_counter()
            trainer.train_step([batch])
            if step >= 2:
                seconds += time.perf_counter() - begin
                audio += batch.target.numel() / trainer.generator.output_rate
        made.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps_per_second": steps / seconds, "audio_seconds_per_second": audio / seconds, "peak_megabytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="mini")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.recipe, arguments.steps, arguments.threads)))
        return

    results: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    options = ["--recipe", arguments.recipe, "--steps", str(arguments.steps), "--threads", str(arguments.threads)]
    for _ in range(arguments.rounds):
        for name, kernel in VARIANTS.items():
            environment = os.environ | ({} if kernel is None else {"XCODEC_KERNEL": kernel})
            command = [sys.executable, __file__, "--here", *options]
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            results[name].append(json.loads(ran.stdout.splitlines()[-1]))
    print(f"{platform.machine()}, {arguments.threads} threads, torch {version('torch')}, recipe {arguments.recipe}\n")
    print("| activation | steps/s (range) | audio-s/s | peak memory, MB |\n|---|---|---|---|")
    for name, rounds in results.items():
        speeds = [each["steps_per_second"] for each in rounds]
        audio, peak = (
            statistics.median(each[key] for each in rounds) for key in ("audio_seconds_per_second", "peak_megabytes")
        )
        spread = f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})"
        print(f"| {name} | {spread} | {audio:.1f} | {peak:,.0f} |")
    ratios = [
        one["steps_per_second"] / other["steps_per_second"]
        for one, other in zip(results["native"], results["plain"], strict=True)
    ]
    print(f"\nnative over plain: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
