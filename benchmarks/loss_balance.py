"""How hard each term of a recipe's loss pulls at the codec.

    python benchmarks/loss_balance.py RECIPE DATA ... [--set key=value ...] [--batches 8]

For each term its value, its weight, and the norm of the weighted term's gradient, in the decoder and in all that comes
before it: the mean over batches, and the norm of the mean gradient of the batches, which is what is left where batches
do not agree. Terms that pull much harder than others leave these no say, since the whole gradient is clipped. A model
that has learned is given by --set initialize_from=..., and a run's own weights by --set loss....
"""

import argparse
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from xcodec.training.data import open_dataset
from xcodec.training.data.mixture import Mixture
from xcodec.training.recipe import Recipe
from xcodec.training.trainer import Trainer

DECODER = "model.acoustic_decoder."


class Pull:
    """The gradients of a term in some parameters, over batches."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.sums: list[Tensor] = []

    def add(self, gradients: list[Tensor]) -> None:
        """Count those of a batch."""
        self.norms.append(norm(gradients))
        self.sums = [x + y for x, y in zip(self.sums, gradients, strict=True)] if self.sums else gradients

    def told(self) -> str:
        """The mean norm, and the norm of the mean."""
        return f"{sum(self.norms) / len(self.norms):.2f} | {norm(self.sums) / len(self.norms):.2f}"


def norm(tensors: list[Tensor]) -> float:
    return math.sqrt(sum(float(x.detach().double().square().sum()) for x in tensors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("data", nargs="+", type=Path, help="as of `xcodec train`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `xcodec train`")
    parser.add_argument("--batches", type=int, default=8)
    arguments = parser.parse_args()
    recipe = Recipe.read(arguments.recipe, (*arguments.set, "precision=float32"))
    pulls: dict[str, tuple[list[float], Pull, Pull]] = {}
    weights: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, Mixture([open_dataset(path) for path in arguments.data]), folder)
        generator = trainer.generator.train()
        learned = [(name, x) for name, x in generator.named_parameters() if x.requires_grad]
        of_decoder = [x for name, x in learned if name.startswith(DECODER)]
        before_it = [x for name, x in learned if not name.startswith(DECODER)]
        made = trainer.batches.following(0, trainer.position)
        for i in range(arguments.batches):
            batch, _ = next(made)
            if i == 0:
                generator.begin(batch)
            result = generator(batch)
            terms = result.terms | trainer.distances(result.audio, batch.target)
            for name, term in terms.items():
                weights[name] = float(getattr(recipe.loss, name))
                found = torch.autograd.grad(
                    weights[name] * term, of_decoder + before_it, retain_graph=True, materialize_grads=True
                )
                values, *both = pulls.setdefault(name, ([], Pull(), Pull()))
                values.append(float(term.detach()))
                both[0].add(list(found[: len(of_decoder)]))
                both[1].add(list(found[len(of_decoder) :]))
        made.close()
    print(f"{arguments.batches} batches of {recipe.data.batch_seconds:g} s\n")
    print("| term | value | weight | decoder, mean norm | norm of the mean | before it, mean norm | norm of the mean |")
    print("|---|---|---|---|---|---|---|")
    for name, (values, decoder, before) in pulls.items():
        value = sum(values) / len(values)
        print(f"| `{name}` | {value:.3f} | {weights[name]:g} | {decoder.told()} | {before.told()} |")


if __name__ == "__main__":
    main()
