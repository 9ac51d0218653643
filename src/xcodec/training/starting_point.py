"""The model that a run begins with: drawn anew, or taken from where the recipe says."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xcodec.codec import Codec
from xcodec.errors import CheckpointError, InputError, some_of
from xcodec.models.codec_model import CodecModel
from xcodec.training.checkpoints import load_state, model_of
from xcodec.training.initialization import initialize
from xcodec.training.recipe import Recipe

__all__ = ["build_model"]

BUILT_IN = "mini"


def build_model(recipe: Recipe) -> tuple[CodecModel, frozenset[str]]:
    """Build what `recipe` trains, in float32 on the CPU.

    Returns:
        the model, and the names of the tensors that were drawn anew and taken from nowhere.

    Raises:
        CheckpointError: where what it starts from is not found, or has other tensors than the model.
        InputError: where it starts from a codec of another family.
    """
    family = recipe.family
    config_class: Any = family.config
    if recipe.initialize_from is None:
        model = family.model(config_class(**recipe.model))
        initialize(model)
        if recipe.semantic_from is not None:
            _load_semantic_encoder(model, recipe.semantic_from)
        return model, frozenset(model.state_dict())
    fields, weights = _read(recipe.initialize_from)
    if fields.get("model_type", family.model_type) != family.model_type:
        raise InputError(
            f"{recipe.initialize_from} is of model_type {fields['model_type']!r}; the recipe trains "
            f"{recipe.trains}, of model_type {family.model_type!r}",
            argument="initialize_from",
        )
    if "upsampling_ratios" in recipe.model:  # those of the model it starts from would not go with them
        fields.pop("upsampling_kernel_sizes", None)
    model = family.model(config_class(**(fields | recipe.model)))
    initialize(model)
    # A decoder for another rate has other shapes at its end; there it begins anew.
    may_differ = "acoustic_decoder." if recipe.trains == "xcodec2-decoder" else None
    return model, _load(model, weights, may_differ, recipe.initialize_from)


def _read(source: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the configuration's fields and the weights of a checkpoint, or of the state of a run."""
    if Path(source).is_file():
        return model_of(load_state(Path(source)))
    codec = Codec.from_pretrained(None if source == BUILT_IN and not Path(source).is_dir() else source, pack=False)
    return codec.model.config.to_dict(), codec.model.state_dict()


@torch.no_grad()
def _load(model: nn.Module, weights: dict[str, Tensor], may_differ: str | None, source: str) -> frozenset[str]:
    """Copy weights by name, and return the names of those that were not given.

    Only names that begin with `may_differ` may be missing or of another shape.
    """
    tensors = model.state_dict()
    fitting = {name for name, tensor in weights.items() if name in tensors and tensor.shape == tensors[name].shape}
    wrong = sorted((tensors.keys() | weights.keys()) - fitting)
    if may_differ is not None:
        wrong = [name for name in wrong if not name.startswith(may_differ)]
    if wrong:
        raise CheckpointError(
            f"{source} is of another model than the recipe describes; {len(wrong)} tensors are "
            f"missing, unexpected or of another shape: {some_of(wrong, 4)}",
            argument="initialize_from",
        )
    for name in fitting:
        tensors[name].copy_(weights[name])
    return frozenset(tensors.keys() - fitting)


@torch.no_grad()
def _load_semantic_encoder(model: CodecModel, source: str) -> None:
    """Fill the semantic encoder from a checkpoint of its own; layers that the codec has no use for are left out."""
    from transformers import AutoModel

    try:
        given = AutoModel.from_pretrained(source, dtype=torch.float32).state_dict()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source} cannot be read: {error}", argument="semantic_from") from error
    tensors = model.get_submodule(model.semantic_part).state_dict()
    wrong = [name for name, tensor in tensors.items() if name not in given or given[name].shape != tensor.shape]
    if wrong:
        raise CheckpointError(
            f"{source} is no semantic encoder of this model; it lacks, or has in another shape, "
            f"{some_of(sorted(wrong), 4)}",
            argument="semantic_from",
        )
    for name, tensor in tensors.items():
        tensor.copy_(given[name])
