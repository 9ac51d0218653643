"""Training steps per second and peak memory of a recipe of X-Codec2: ours, and with transformers' layers.

    python benchmarks/training.py [--recipe xcodec2-small] [--set precision=float32] [--steps 12] [--rounds 3]
        [--threads N] [--json FILE]

Three generators: "native" is ours, "plain" ours with torch's operators in place of the native activation, and
"transformers" has the layers of transformers' Xcodec2Model, which are the authors', in place of ours. Everything else
in the step is the same: weights, crops of the recordings in tests/audio, losses (but for what a decoder's head is asked
for, which transformers' does not tell), the quantizer, discriminators at work from the first step, optimizers. Each
figure comes from a process of its own; the three take turns.
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

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
VARIANTS = ("native", "plain", "transformers")


def take_layers_of_transformers() -> None:
    """Let every generator that is built from here on hold transformers' layers, with the weights that ours had."""
    import transformers
    from torch import Tensor, nn

    from xcodec.training import trainer
    from xcodec.training.generators import Generator, build_generator
    from xcodec.training.recipe import Recipe

    class OneInput(nn.Module):
        """A part that knows of no `Time`, and whose output may be a named one."""

        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

        def forward(self, x: Tensor, *_: object) -> Tensor:
            made = self.part(x)
            return made if isinstance(made, Tensor) else made.last_hidden_state

    def build(recipe: Recipe) -> Generator:
        generator = build_generator(recipe)
        model = generator.model
        twin = transformers.Xcodec2Model(transformers.Xcodec2Config(**model.config.to_dict()))
        twin.load_state_dict(model.state_dict())
        for name in ("semantic_encoder", "semantic_adapter", "acoustic_encoder"):
            setattr(model, name, OneInput(twin.get_submodule(name)))
        model.acoustic_decoder = twin.acoustic_decoder
        for name in generator.frozen:
            model.get_submodule(name).requires_grad_(False)
        return generator

    trainer.build_generator = build


def measure(variant: str, recipe_name: str, settings: list[str], steps: int, threads: int) -> dict[str, float]:
    """Train a few steps in this process; the first two do not count."""
    import torch

    from xcodec import kernels
    from xcodec.training.data.recordings import Recordings, Span
    from xcodec.training.recipe import Recipe
    from xcodec.training.trainer import Trainer

    torch.set_num_threads(threads)
    if variant == "transformers":
        take_layers_of_transformers()
    if variant == "native" and kernels.variant() == kernels.TORCH:
        sys.exit("the native library is not built: `make` builds it")
    recipe = Recipe.read(
        recipe_name, ("adversarial.first_step=0", "adversarial.lead_steps=0", "loss.head=0", *settings)
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Recordings([Span(path) for path in RECORDINGS * 20], "recordings"), folder)
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
    parser.add_argument("--recipe", default="xcodec2-small", help="one that trains xcodec2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `xcodec train`")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        found = measure(arguments.variant, arguments.recipe, arguments.set, arguments.steps, arguments.threads)
        print(json.dumps(found))
        return

    results: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name in VARIANTS:
            environment = os.environ | ({"XCODEC_KERNEL": "torch"} if name == "plain" else {})
            command = [sys.executable, *sys.argv, "--variant", name]
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            results[name].append(json.loads(ran.stdout.splitlines()[-1]))
    versions = f"torch {version('torch')}, transformers {version('transformers')}"
    settings = " ".join([arguments.recipe, *arguments.set])
    print(f"{platform.machine()}, {arguments.threads} threads, {versions}, recipe {settings}\n")
    print("| layers | steps/s (range) | audio-s/s | peak memory, MB | native over it |\n|---|---|---|---|---|")
    native = [each["steps_per_second"] for each in results["native"]]
    for name, rounds in results.items():
        speeds = [each["steps_per_second"] for each in rounds]
        ratios = [one / other for one, other in zip(native, speeds, strict=True)]
        audio, peak = (
            statistics.median(each[key] for each in rounds) for key in ("audio_seconds_per_second", "peak_megabytes")
        )
        print(f"| {name} | {spread(speeds)} | {audio:.1f} | {peak:,.0f} | {spread(ratios)} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
