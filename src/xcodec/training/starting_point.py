"""The model that a run begins with: drawn anew, or taken from where the recipe says."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from xcodec.built_in import MINI
from xcodec.codec import Codec
from xcodec.codes import CodecIdentity
from xcodec.errors import CheckpointError, InputError, some_of
from xcodec.models.codec_model import CodecModel
from xcodec.models.configuration import CodecConfig
from xcodec.models.family import Family
from xcodec.models.identity import fingerprint_tensors
from xcodec.models.registry import FAMILIES
from xcodec.training.checkpoints import load_state, model_of
from xcodec.training.initialization import initialize
from xcodec.training.recipe import Recipe
from xcodec.training.taps import taps_moved

__all__ = ["StartingPoint", "build_model"]

logger = logging.getLogger(__name__)

DECODER = "acoustic_decoder."  # how the names of a decoder's tensors begin
LOOKAHEAD = "decoder_lookahead"  # the field that says how convolutions are to see their steps
CODE_VECTORS = "quantizer.project_out."  # and of those that a decoder alone has of the model whose codes it reads


@dataclass(frozen=True)
class StartingPoint:
    """What a run begins with.

    Attributes:
        model: in float32 on the CPU.
        drawn: names of its tensors that were drawn anew and taken from nowhere.
        maker: tells which model's codes it reads and writes before training; None where these are nobody's.
    """

    model: CodecModel
    drawn: frozenset[str]
    maker: Callable[[], CodecIdentity] | None = None

    def keep_maker(self, frozen: tuple[str, ...]) -> None:
        """Note in the configuration whose codes the model goes on to read and write, if training leaves them be.

        Args:
            frozen: names of the parts that are not trained.
        """
        deciding = {name for name, part in self.model.named_children() if any(True for _ in part.parameters())}
        if self.maker is not None and deciding <= {*frozen, *self.model.decoder_parts}:
            self.model.config.decodes = vars(self.maker())


def build_model(recipe: Recipe) -> StartingPoint:
    """Build what `recipe` trains.

    Raises:
        CheckpointError: where what it starts from is not found, or has other tensors than the model.
        InputError: where it starts from a model of other codes, or from a decoder that cannot become the recipe's.
    """
    family = recipe.family
    config_class: Any = family.config
    if recipe.initialize_from is None:
        model = family.model(config_class(**recipe.model))
        initialize(model)
        if recipe.semantic_from is not None:
            _load_semantic_encoder(model, recipe.semantic_from)
        taken = {name for part, source in recipe.parts_from.items() for name in _load_part(model, part, source)}
        return StartingPoint(model, frozenset(model.state_dict().keys() - taken))
    fields, weights, maker = _read(recipe.initialize_from, family)
    renewed: tuple[str, ...] = (DECODER,) if recipe.trains_decoder else ()  # for another rate it has other shapes
    if fields.get("model_type", family.model_type) != family.model_type:
        if _decodes_another_kind(fields, recipe):
            fields = _shared(fields, recipe) | {"has_encoder": False}
            weights = {name: x for name, x in weights.items() if name.startswith(CODE_VECTORS)}
        else:
            fields, of_kind = _of_this_kind(fields, recipe)
            weights = {name: x for name, x in weights.items() if not name.startswith(of_kind)}
            renewed += of_kind
    if "upsampling_ratios" in recipe.model:  # those of the model it starts from would not go with them
        fields.pop("upsampling_kernel_sizes", None)
    fields = fields | {"decodes": None}  # what is trained may come to make codes of its own
    config: CodecConfig = config_class(**(fields | recipe.model))
    of_decoder = {name: value for name, value in recipe.model.items() if name in config_class.decoder_fields}
    same_codes = config.code_architecture() == config_class(**(fields | of_decoder)).code_architecture()
    model = family.model(config)
    initialize(model)
    if fields.get(LOOKAHEAD) != getattr(config, LOOKAHEAD, None):
        with torch.device("meta"), init.no_init_weights():
            theirs = family.model(config_class(**fields))
        weights = taps_moved(weights, theirs, model)
    drawn = _load(model, weights, renewed, recipe.initialize_from)
    if drawn:
        logger.info("of %s begins anew: %s", recipe.trains, some_of(sorted(drawn), 4))
    return StartingPoint(model, drawn, maker if same_codes else None)


def _decodes_another_kind(fields: dict[str, Any], recipe: Recipe) -> bool:
    """Whether the recipe trains a decoder that may stand alone, for the codes of a model whose encoder it cannot have.

    The quantizer is the same: that of the family whose other decoder this one is.
    """
    ours: Any = recipe.family.config
    theirs = FAMILIES[fields["model_type"]].config if fields["model_type"] in FAMILIES else CodecConfig
    is_alone = recipe.trains_decoder and "has_encoder" in ours.field_names()
    quantizes = issubclass(theirs, FAMILIES[ours.code_family()].config)
    return is_alone and quantizes and theirs.code_family() != ours.code_family()


def _shared(fields: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Take those fields of another family's configuration that the recipe's has too, but for what is renewed."""
    ours, theirs = recipe.family.config, FAMILIES[fields["model_type"]].config
    strange = theirs.field_names() - ours.field_names()
    dropped = {"model_type", *strange, *ours.renewed_fields, *theirs.renewed_fields}
    return {name: value for name, value in fields.items() if name not in dropped}


def _of_this_kind(fields: dict[str, Any], recipe: Recipe) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Take what a model of the recipe's family shares with one of another family that has the same codes.

    Returns:
        The configuration's fields, and how the names of those tensors begin that are of another kind.

    Raises:
        InputError: where it has other codes, or no encoder of them, or no part is known to be of another kind.
    """
    ours: Any = recipe.family.config
    other = fields["model_type"]
    is_known, has_encoder = other in FAMILIES, fields.get("has_encoder", True)
    theirs = FAMILIES[other].config if is_known else ours
    of_kind = (*ours.renewed_parts, *theirs.renewed_parts)
    if not (is_known and has_encoder and of_kind and theirs.code_family() == ours.code_family()):
        raise InputError(
            f"{recipe.initialize_from} is of model_type {other!r}{'' if has_encoder else ' and has no encoder'}; the "
            f"recipe trains {recipe.trains}, of model_type {recipe.family.model_type!r}",
            argument="initialize_from",
        )
    return _shared(fields, recipe), of_kind


def _read(source: str, family: Family) -> tuple[dict[str, Any], dict[str, Tensor], Callable[[], CodecIdentity]]:
    """Read the configuration's fields and the weights of a checkpoint, or of the state of a run.

    Returns:
        These, and what tells whose codes it reads and writes.
    """
    path = Path(source)
    if path.is_file():
        fields, weights = model_of(load_state(path))
        of_start = FAMILIES.get(fields.get("model_type", ""), family)
        return fields, weights, partial(_maker_of_state, fields, weights, of_start, path.name)
    codec = Codec.from_pretrained(None if source == MINI and not path.is_dir() else source, pack=False)
    return codec.model.config.to_dict(), codec.model.state_dict(), lambda: codec.codes_identity


def _maker_of_state(fields: dict[str, Any], weights: dict[str, Tensor], family: Family, name: str) -> CodecIdentity:
    """Tell whose codes the model in the state of a run reads and writes: as if it had been exported."""
    config = family.config.from_fields(fields, name)
    return fingerprint_tensors(weights, config, name) if config.decodes is None else CodecIdentity(**config.decodes)


@torch.no_grad()
def _load(model: nn.Module, weights: dict[str, Tensor], renewed: tuple[str, ...], source: str) -> frozenset[str]:
    """Copy weights by name, and return the names of those that were not given.

    Only names that begin with one of `renewed` may be missing or of another shape.
    """
    tensors = model.state_dict()
    fitting = {name for name, tensor in weights.items() if name in tensors and tensor.shape == tensors[name].shape}
    differing = sorted((tensors.keys() | weights.keys()) - fitting)
    wrong = [name for name in differing if not name.startswith(renewed)]
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
def _load_part(model: CodecModel, part: str, source: str) -> set[str]:
    """Fill a part from that of the same name of another model, and return the names of the tensors that fitted."""
    other = Codec.from_pretrained(source, pack=False).model
    given = taps_moved(other.state_dict(), other, model)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{part}.")}
    fitting = {name for name, tensor in tensors.items() if name in given and given[name].shape == tensor.shape}
    if not fitting:
        raise CheckpointError(
            f"nothing of {source} fits into {part!r} of a {model.config.model_type} by name and shape",
            argument="parts_from",
        )
    for name in fitting:
        tensors[name].copy_(given[name])
    if drawn := sorted(tensors.keys() - fitting):
        logger.info("of %s begins anew: %s", part, some_of(drawn, 4))
    return fitting


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
