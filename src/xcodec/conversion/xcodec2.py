"""Checkpoints of X-Codec2 and NeuCodec, in the original layout or transformers', become the one layout used here.

What becomes of each original tensor is said by the tables of `xcodec.conversion.xcodec2_names`. A tensor that stands in
none of them, or that is missing, is an error.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from transformers import Wav2Vec2BertConfig

from xcodec.conversion.checkpoint import Checkpoint
from xcodec.conversion.original import Naming, checkpoint_of, has_semantic_encoder, with_semantic_encoder
from xcodec.conversion.told import Told
from xcodec.conversion.xcodec2_names import (
    RENAMES,
    infer_config,
    original_name,
    plain_name,
    reason_to_drop,
    split_attention,
)
from xcodec.errors import CheckpointError, InputError, about
from xcodec.models.stored import Stored
from xcodec.models.xcodec2 import Xcodec2Config

__all__ = ["MODEL_TYPES", "SEMANTIC_ENCODER", "convert_original", "convert_state_dict"]

SEMANTIC_ENCODER = "facebook/w2v-bert-2.0"  # which some original checkpoints leave out
SEMANTIC_LAYERS = 16  # of the released semantic encoder, as many as the codec reads
NEUCODEC_META = "meta.yaml"  # which NeuCodec's package writes beside a checkpoint, and no config.json
MODEL_TYPES = ("xcodec2", "neucodec")  # of the codecs whose original checkpoints have these names


def convert_original(source: Stored, told: Told) -> Checkpoint:
    """Convert an original checkpoint of either codec; the tensors and what is told say of which."""
    if told.model_type not in (None, *MODEL_TYPES):
        raise InputError(
            f"expected one of {', '.join(MODEL_TYPES)}",
            subject=source.name,
            argument="model_type",
            value=told.model_type,
        )
    tensors, semantic_encoder = source.tensors, told.semantic_encoder
    if semantic_encoder is None and told.fetch_semantic_encoder and not has_semantic_encoder(tensors, plain_name):
        semantic_encoder = SEMANTIC_ENCODER
    if semantic_encoder is not None:
        tensors = with_semantic_encoder(
            tensors,
            semantic_encoder,
            {Wav2Vec2BertConfig.model_type: SEMANTIC_ENCODER},
            plain_name,
            told.hub_arguments,
        )
    return convert_state_dict(
        tensors,
        num_semantic_layers=SEMANTIC_LAYERS if told.num_semantic_layers is None else told.num_semantic_layers,
        num_attention_heads=told.num_attention_heads,
        model_type=told.model_type or told_model_type(source.config),
        likely_model_type=likely_model_type(source),
        upsampling_ratios=told_ratios(source.config),
        codes_per_second=told.codes_per_second,
        source=source.name,
    )


def told_model_type(config: Mapping[str, Any]) -> str | None:
    """Return whose codes a decoder reads, if the config.json beside an original checkpoint tells."""
    told = config.get("model_type")
    return told if told in MODEL_TYPES else None


def likely_model_type(source: Stored) -> str | None:
    """Tell by what lies beside an original checkpoint whose package it is for, and so whose codes it reads.

    Of a decoder at a rate of neither codec nothing else tells.
    """
    if "XCodec2Model" in (source.config.get("architectures") or ()):
        return "xcodec2"
    return "neucodec" if source.path is not None and (source.path / NEUCODEC_META).is_file() else None


def told_ratios(config: Mapping[str, Any]) -> list[int]:
    """Return the ratios of an upsampler that the config.json beside an original checkpoint tells.

    Raises:
        CheckpointError: where they are no whole numbers.
    """
    told = config.get("upsample_factors") or []
    if not isinstance(told, list) or not all(type(ratio) is int and ratio > 0 for ratio in told):
        raise CheckpointError(f"upsample_factors={told!r} in its config.json: expected whole numbers above 0")
    return told


def convert_state_dict(
    tensors: Mapping[str, Tensor],
    *,
    num_semantic_layers: int = SEMANTIC_LAYERS,
    num_attention_heads: int | None = None,
    model_type: str | None = None,
    likely_model_type: str | None = None,
    upsampling_ratios: Sequence[int] = (),
    codes_per_second: float | None = None,
    source: str = "the state dict",
) -> Checkpoint:
    """Convert a state dict of original names.

    Sizes are read off the tensors' shapes.

    Args:
        tensors: by their original names, in any spelling of weight norm and SnakeBeta, with or without the prefix
            `model.` or `module.`
        num_semantic_layers: as for `xcodec.conversion.read_checkpoint`.
        num_attention_heads: as for `xcodec.conversion.read_checkpoint`.
        model_type: as for `xcodec.conversion.read_checkpoint`.
        likely_model_type: as `model_type`, but for decoders at a rate of neither.
        upsampling_ratios: of a decoder with an upsampler, as its config.json calls them `upsample_factors`.
        codes_per_second: as for `xcodec.conversion.read_checkpoint`.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    with about(source):
        check_semantic_encoder(tensors, num_semantic_layers)

    def split(name: str, tensor: Tensor, config: Xcodec2Config) -> dict[str, Tensor] | None:
        return split_attention(name, tensor, config.hidden_size, config.num_attention_heads)

    naming = Naming(
        renames=RENAMES,
        plain_name=plain_name,
        reason_to_drop=partial(reason_to_drop, num_semantic_layers=num_semantic_layers),
        infer_config=partial(
            infer_config,
            num_semantic_layers=num_semantic_layers,
            num_attention_heads=num_attention_heads,
            model_type=model_type,
            upsampling_ratios=upsampling_ratios,
            likely_model_type=likely_model_type,
            codes_per_second=codes_per_second,
        ),
        split=split,
        original_name=original_name,
    )
    return checkpoint_of(tensors, naming, source)


def check_semantic_encoder(tensors: Mapping[str, Tensor], num_layers: int) -> None:
    """Say what to do where the semantic encoder was not saved at all."""
    if not has_semantic_encoder(tensors, plain_name):
        raise CheckpointError(
            "the semantic encoder is missing: semantic_model.feature_projection.* and "
            f"semantic_model.encoder.layers.0.* to .{num_layers - 1}.* (it is frozen in training, so some checkpoints "
            "leave it out)",
            remedy="to add it, give semantic_encoder=FOLDER, of facebook/w2v-bert-2.0 in its own layout",
        )
