"""A training run from its parts: recipe, audio, recordings to measure on, and what is written at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from xcodec.audio import Audio, media_files
from xcodec.errors import InputError, TrainingError
from xcodec.training.checkpoints import export
from xcodec.training.data import open_source
from xcodec.training.data.corpus import build_corpus, needs_building
from xcodec.training.data.mixture import Mixture
from xcodec.training.distributed import Processes
from xcodec.training.limit import Limit
from xcodec.training.recipe import Recipe
from xcodec.training.trainer import Trainer

__all__ = ["train"]


def train(
    recipe: Recipe,
    data: Sequence[Path],
    output: Path,
    processes: Processes,
    *,
    validation: Path | None = None,
    limit: Limit | None = None,
    export_to: Path | None = None,
    export_dtype: torch.dtype = torch.float32,
    log: Callable[[str], None] = print,
    bar: bool = False,
) -> None:
    """Train what `recipe` describes, or go on with it.

    Args:
        recipe: what and how.
        data: what to train on, as for `open_source`; a folder that does not exist is filled by the recipe's synthesis.
        output: folder of the run; a run that lies there is taken up.
        processes: this one among those that train.
        validation: folder of recordings to measure on.
        limit: when to end before the recipe's last step, the making of speech included; None is never.
        export_to: folder to write the model to at the end.
        export_dtype: of the written weights.
        log: takes a line.
        bar: whether to draw a progress bar on standard error.

    Raises:
        XcodecError: where something is missing or wrong, or the loss leaves the numbers, or where the limit was reached
            before there was a model to export.
    """
    limit = limit or Limit()
    clips = [] if validation is None else _recordings(validation)
    for path in data:
        if recipe.synthesis is not None and processes.is_first and needs_building(path):
            log(f"making speech in {path}")
            build_corpus(recipe.synthesis, path, log, limit)
    processes.wait()
    unfinished = recipe.synthesis is not None and any(path.exists() and needs_building(path) for path in data)
    if processes.any(unfinished):
        if export_to is not None:
            raise TrainingError(f"the run ended while speech was made: nothing is trained, or exported to {export_to}")
        return
    say = log if processes.is_first else _silent
    source = Mixture([open_source(path, recipe.data.audio, say) for path in data])
    trainer = Trainer(recipe, source, output, log, processes, bar)
    if processes.is_first:
        trained = sum(x.numel() for x in trainer.generator.parameters() if x.requires_grad)
        judges = sum(x.numel() for x in trainer.discriminators.parameters()) if trainer.discriminators else 0
        hours = ", ".join(f"{name} {value:.2f} h" for name, value in source.hours().items())
        log(f"{trained / 1e6:.2f}M parameters to train, {judges / 1e6:.2f}M in discriminators; audio: {hours}")
    trainer.run(clips, limit)
    if export_to is not None and processes.is_first:
        export(trainer.averaged_model(), export_to, export_dtype)
        log(f"exported to {export_to}")


def _silent(_line: str) -> None:
    pass


def _recordings(folder: Path) -> list[Audio]:
    """Read every recording below a folder, in order of their paths."""
    paths = sorted(media_files(folder))
    if not paths:
        raise InputError(f"no recordings in {folder} or below it to measure on; expected audio or video files")
    return [Audio.read(path) for path in paths]
