"""A training run from its parts: recipe, audio, recordings to measure on, and what is written at the end."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from xcodec.audio import Audio, media_files
from xcodec.codes import CodecIdentity
from xcodec.errors import InputError, TrainingError
from xcodec.evaluation.clips import Clip
from xcodec.training.checkpoints import export
from xcodec.training.data import open_dataset
from xcodec.training.data.corpus import build_corpus, needs_building
from xcodec.training.data.mixture import Mixture
from xcodec.training.distributed import Processes
from xcodec.training.limit import Limit
from xcodec.training.monitor import OnStep
from xcodec.training.recipe import Recipe
from xcodec.training.trainer import Trainer

__all__ = ["train"]

logger = logging.getLogger(__name__)


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
    on_step: OnStep | None = None,
) -> None:
    """Train what `recipe` describes, or go on with it. The log says how it goes.

    Args:
        recipe: what and how.
        data: what to train on, as for `open_dataset`; a folder that does not exist is filled by the recipe's synthesis.
        output: folder of the run; a run that lies there is taken up.
        processes: this one among those that train.
        validation: folder of recordings to measure on.
        limit: when to end before the recipe's last step, the making of speech included; None is never.
        export_to: folder to write the model to at the end.
        export_dtype: of the written weights.
        on_step: called after each step, in the first process alone.

    Raises:
        XcodecError: where something is missing or wrong, or the loss leaves the numbers, or where the limit was reached
            before there was a model to export.
    """
    limit = limit or Limit()
    clips = [] if validation is None else _recordings(validation)
    for path in data:
        if recipe.synthesis is not None and processes.is_first and needs_building(path):
            logger.info("making speech in %s", path)
            build_corpus(recipe.synthesis, path, limit)
    processes.wait()
    unfinished = recipe.synthesis is not None and any(path.exists() and needs_building(path) for path in data)
    if processes.any(unfinished):
        if export_to is not None:
            raise TrainingError(f"the run ended while speech was made: nothing is trained, or exported to {export_to}")
        return
    dataset = Mixture([open_dataset(path, recipe.data.audio) for path in data])
    trainer = Trainer(recipe, dataset, output, processes, on_step)
    if recipe.trains_decoder and (decoded := trainer.generator.model.decodes) is not None:
        _check_makers(dataset, decoded)
    if processes.is_first:
        trained = sum(x.numel() for x in trainer.generator.parameters() if x.requires_grad)
        judges = sum(x.numel() for x in trainer.discriminators.parameters()) if trainer.discriminators else 0
        hours = ", ".join(f"{name} {value:.2f} h" for name, value in dataset.hours().items())
        logger.info("%.2fM parameters to train, %.2fM in discriminators; audio: %s", trained / 1e6, judges / 1e6, hours)
    trainer.run(clips, limit)
    if export_to is not None and processes.is_first:
        export(trainer.averaged_model(), export_to, export_dtype)
        logger.info("exported to %s", export_to)


def _check_makers(dataset: Mixture, decoded: CodecIdentity) -> None:
    """Refuse stored codes of another model than the one whose decoder is trained."""
    for member in dataset.members:
        for maker in member.makers:
            if not maker.same_model(decoded):
                raise InputError(
                    f"the codes in {', '.join(member.sources)} were made by {maker}, and the run starts from {decoded}",
                    remedy="tokenize the recordings with the model that initialize_from names, or start from the "
                    "other one",
                )


def _recordings(folder: Path) -> list[Clip]:
    """Find every recording below a folder, in order of their paths, and see that each can be read.

    Raises:
        InputError: where there is none.
        AudioError: where one cannot be read.
    """
    paths = sorted(media_files(folder))
    if not paths:
        raise InputError(f"no recordings in {folder} or below it to measure on; expected audio or video files")
    for path in paths:
        Audio.read(path)
    return [Clip(path.relative_to(folder).as_posix(), path) for path in paths]
