"""Checkpoints become the models that they are of, whichever family that is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES
from transformers.utils import logging

from xcodec.built_in import BUILT_IN
from xcodec.errors import CheckpointError, some_of
from xcodec.models.checkpoint import (
    CONFIG,
    HUB_ARGUMENTS,
    PREPROCESSOR,
    find_small_files,
    read_config,
    read_json,
)
from xcodec.models.codec_model import CodecModel
from xcodec.models.family import Family
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.registry import FAMILIES, family_of
from xcodec.models.stored import Stored
from xcodec.models.weights import has_weights

__all__ = ["AutoFeatureExtractor", "AutoModel", "feature_extractor_of", "load_model", "register_auto_classes"]


def load_model(source: Path | Stored, **kwargs: Any) -> tuple[CodecModel, WaveformFeatureExtractor]:
    """Load the model and the feature extractor of a checkpoint, of whichever family its tensors' names tell.

    Args:
        source: a folder, as `xcodec.models.checkpoint.resolve_checkpoint` returns it, or what was read of one.
        **kwargs: passed to the model's `from_pretrained`: `dtype`, `device_map`, ...

    Raises:
        CheckpointError: where the checkpoint is of no family, in the authors' layout, or not complete; or its feature
            extractor is another model's.
    """
    stored = source if isinstance(source, Stored) else Stored.read(source)
    folder = stored.path
    family = family_of(stored)
    if family is None:
        raise CheckpointError(
            f"is of model_type {stored.config.get('model_type')!r}, and its tensors are "
            f"{some_of(sorted(stored.tensors), 3)}; this package reads "
            f"{', '.join(map(repr, FAMILIES))}",
            subject=stored.name,
        )
    with no_progress_bars():
        model = family.model.from_stored(stored, **kwargs)
    fitting = family.feature_extractor_for(model.config)
    if folder is None or not (folder / PREPROCESSOR).is_file():
        return model, fitting
    found = family.feature_extractor.from_pretrained(folder)
    for name in ("feature_size", "sampling_rate", "hop_length"):
        if (said := getattr(found, name)) != (expected := getattr(fitting, name)):
            raise CheckpointError(
                f"says {name} {said}, and the model reads {expected}; it is another model's. Remove it, "
                "and the one that goes with the model is made",
                subject=folder / PREPROCESSOR,
            )
    return model, found


def feature_extractor_of(model: CodecModel) -> WaveformFeatureExtractor:
    """Make the feature extractor that goes with a model; errors are those of `Family.feature_extractor_for`."""
    return FAMILIES[model.config_class.model_type].feature_extractor_for(model.config)


class AutoModel(transformers.AutoModel):
    """transformers' AutoModel, but for the codecs of this package, which get its models."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
    ) -> Any:
        """Load a checkpoint by what it is; the arguments are those of transformers' method."""
        family = family_named(pretrained_model_name_or_path, kwargs)
        if family is not None:
            return family.model.from_pretrained(os.fspath(pretrained_model_name_or_path), *model_args, **kwargs)
        return transformers.AutoModel.from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)

    @classmethod
    def from_config(cls, config: PreTrainedConfig, **kwargs: Any) -> Any:
        """Make a model of random weights; the arguments are those of transformers' method."""
        family = FAMILIES.get(config.model_type)
        if family is None:
            return transformers.AutoModel.from_config(config, **kwargs)
        if not isinstance(config, family.config):  # transformers' own
            config = family.config.from_fields(config.to_dict(), "the configuration")
        make: Any = family.model._from_config
        return make(config, **kwargs)


class AutoFeatureExtractor(transformers.AutoFeatureExtractor):
    """transformers' AutoFeatureExtractor, but for the codecs here, which get this package's feature extractors."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Read a feature extractor by what it is of; the arguments are those of transformers' method."""
        family = family_named(pretrained_model_name_or_path, kwargs)
        if family is not None:
            return family.feature_extractor.from_pretrained(os.fspath(pretrained_model_name_or_path), **kwargs)
        return transformers.AutoFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **kwargs)


def family_named(name_or_path: str | os.PathLike[str], kwargs: dict[str, Any]) -> Family | None:
    """The family of what a `from_pretrained` is asked for; None leaves it, and what is wrong with it, to transformers.

    Only a checkpoint's JSON files are downloaded for it.
    """
    known = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
    try:
        folder, _ = find_small_files(os.fspath(name_or_path), known)
        fields = read_config(folder) if (folder / CONFIG).is_file() else {}
        if has_weights(folder):
            return family_of(Stored.read(folder)) if fields else None
        if not fields and (folder / PREPROCESSOR).is_file():  # a feature extractor alone
            kind = read_json(folder / PREPROCESSOR).get("feature_extractor_type")
            return next((each for each in FAMILIES.values() if each.feature_extractor.__name__ == kind), None)
    except CheckpointError:
        if str(name_or_path) in BUILT_IN or Path(name_or_path).is_dir():
            raise
        return None
    said = fields.get("model_type")
    return FAMILIES.get(said) if isinstance(said, str) else None


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar over the tensors of a file that is only mapped into memory."""
    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def register_auto_classes() -> None:
    """Put this package's classes behind transformers' AutoConfig, AutoFeatureExtractor and AutoModel.

    The one thing here that changes anything outside the package, so it is never done on import.

    X-Codec's checkpoints name `DacFeatureExtractor` as theirs, and AutoFeatureExtractor goes on giving that, as it does
    for DAC: it prepares the very tensors that `XcodecFeatureExtractor` does, and `XcodecModel` takes them.
    """
    for model_type, family in FAMILIES.items():
        # transformers looks feature extractors up by class name, its own before registered ones.
        FEATURE_EXTRACTOR_MAPPING_NAMES.pop(model_type, None)
        transformers.AutoConfig.register(model_type, family.config, exist_ok=True)
        transformers.AutoFeatureExtractor.register(family.config, family.feature_extractor, exist_ok=True)
        transformers.AutoModel.register(family.config, family.model, exist_ok=True)
