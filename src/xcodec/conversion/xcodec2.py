"""Checkpoints of X-Codec2 and NeuCodec, in the original layout or transformers', become the one layout used here.

What becomes of each original tensor is said by the tables of `xcodec.conversion.xcodec2_names`. A tensor that stands in
none of them, or that is missing, is an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Wav2Vec2BertConfig

from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.weight_norm import fold_weight_norms
from xcodec.conversion.xcodec2_names import (
    RENAMES,
    infer_config,
    original_name,
    plain_name,
    reason_to_drop,
    split_fused_attention,
)
from xcodec.errors import CheckpointError, InputError, about, some_of
from xcodec.models.checkpoint import read_config, resolve_checkpoint
from xcodec.models.family import Family
from xcodec.models.registry import FAMILIES
from xcodec.models.stored import Stored, unwrapped
from xcodec.models.weights import read_tensors

__all__ = ["MODEL_TYPES", "convert_original", "convert_state_dict", "has_semantic_encoder", "read_transformers_layout"]

MODEL_TYPES = ("xcodec2", "neucodec")  # of the codecs whose original checkpoints have these names


def convert_original(
    source: Stored,
    semantic_encoder: str | Path | None,
    num_semantic_layers: int,
    num_attention_heads: int | None,
    model_type: str | None,
    hub_arguments: Mapping[str, Any],
) -> Checkpoint:
    """Convert an original checkpoint; the arguments are those of `xcodec.conversion.read_checkpoint`."""
    tensors = source.tensors
    if semantic_encoder is not None:
        tensors = with_semantic_encoder(tensors, semantic_encoder, hub_arguments)
    return convert_state_dict(
        tensors,
        num_semantic_layers=num_semantic_layers,
        num_attention_heads=num_attention_heads,
        model_type=model_type or told_model_type(source.config),
        upsampling_ratios=told_ratios(source.config),
        source=source.name,
    )


def read_transformers_layout(source: Stored, family: Family) -> Checkpoint:
    """Check a checkpoint of a family that has our names already."""
    config = family.config.from_fields(source.config, source.name)
    tensors = {unwrapped(name): tensor for name, tensor in source.tensors.items()}
    with about(source.name):
        check_complete(tensors, family, config, lambda name: name)
    report = ConversionReport(
        source=source.name,
        layout="transformers",
        kept={name: (name,) for name in tensors},
        folded=(),
        permuted=(),
        dropped={},
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=0,
        family=family.name,
    )
    return Checkpoint(family, config, tensors, report)


def told_model_type(config: Mapping[str, Any]) -> str | None:
    """Return whose codes a decoder reads, if the config.json beside an original checkpoint tells."""
    told = config.get("model_type")
    return told if told in MODEL_TYPES else None


def told_ratios(config: Mapping[str, Any]) -> list[int]:
    """Return the ratios of an upsampler that the config.json beside an original checkpoint tells.

    Raises:
        CheckpointError: where they are no whole numbers.
    """
    told = config.get("upsample_factors") or []
    if not isinstance(told, list) or not all(type(ratio) is int and ratio > 0 for ratio in told):
        raise CheckpointError(f"upsample_factors={told!r} in its config.json: expected whole numbers above 0")
    return told


def with_semantic_encoder(
    tensors: Mapping[str, Tensor], semantic_encoder: str | Path, hub_arguments: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Add w2v-BERT 2.0 from its own checkpoint to an original state dict that lacks it."""
    held = sorted(name for name in tensors if plain_name(name).startswith("semantic_model."))
    if held:
        raise InputError(
            f"the checkpoint holds its own ({some_of(held, 2)})",
            argument="semantic_encoder",
            value=str(semantic_encoder),
            remedy="leave it out",
        )
    folder = resolve_checkpoint(semantic_encoder, **hub_arguments)
    model_type = read_config(folder).get("model_type")
    if model_type != Wav2Vec2BertConfig.model_type:
        raise CheckpointError(
            f"is of model_type {model_type!r}; expected 'wav2vec2-bert', as facebook/w2v-bert-2.0 is",
            argument="semantic_encoder",
            value=str(semantic_encoder),
        )
    encoder = {f"semantic_model.{name.removeprefix('wav2vec2_bert.')}": x for name, x in read_tensors(folder).items()}
    return {**tensors, **encoder}


def convert_state_dict(
    tensors: Mapping[str, Tensor],
    *,
    num_semantic_layers: int = 16,
    num_attention_heads: int | None = None,
    model_type: str | None = None,
    upsampling_ratios: Sequence[int] = (),
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
        upsampling_ratios: of a decoder with an upsampler, as its config.json calls them `upsample_factors`.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    given: dict[str, str] = {}  # plain name -> the name in the source
    dropped: dict[str, str] = {}
    plain: dict[str, Tensor] = {}
    with about(source):
        for name, tensor in tensors.items():
            key = plain_name(name)
            if key in given:
                raise CheckpointError(f"{given[key]} and {name} are two spellings of one tensor")
            given[key] = name
            if reason := reason_to_drop(key, tensor, num_semantic_layers):
                dropped[name] = reason
            else:
                plain[key] = tensor
        check_semantic_encoder(plain, num_semantic_layers)

        plain, pairs = fold_weight_norms(plain)
        renamed = {RENAMES.rename(key) or key: tensor for key, tensor in plain.items()}
        kept = {RENAMES.rename(key) or key: tuple(given[part] for part in pairs.get(key, (key,))) for key in plain}
        config = infer_config(renamed, num_semantic_layers, num_attention_heads, model_type, upsampling_ratios)
        family = FAMILIES[config.model_type]
        permuted = []
        for fused in [name for name in renamed if name.endswith(".self_attn.qkv_proj.weight")]:
            origin = kept.pop(fused)
            parts = split_fused_attention(renamed.pop(fused), config.hidden_size, config.num_attention_heads)
            for letter, part in zip("qkv", parts, strict=True):
                target = fused.replace("qkv_proj", f"{letter}_proj")
                renamed[target], kept[target] = part, origin
                permuted += [target] * (letter != "v")

        def spell(name: str) -> str:
            return " + ".join(kept.get(name, (original_name(name),)))

        check_complete(renamed, family, config, spell)

    report = ConversionReport(
        source=source,
        layout="original",
        kept=kept,
        folded=tuple(RENAMES.rename(key) or key for key in pairs),
        permuted=tuple(permuted),
        dropped=dropped,
        num_kept=sum(tensor.numel() for tensor in renamed.values()),
        num_dropped=sum(tensors[name].numel() for name in dropped),
        family=family.name,
    )
    contiguous = {name: tensor.contiguous() for name, tensor in renamed.items()}
    return Checkpoint(family, config, contiguous, report)


def has_semantic_encoder(tensors: Iterable[str]) -> bool:
    """Tell whether an original checkpoint holds its semantic encoder, by its tensors' names."""
    return any(plain_name(name).startswith("semantic_model.") for name in tensors)


def check_semantic_encoder(tensors: Mapping[str, Tensor], num_layers: int) -> None:
    """Say what to do where the semantic encoder was not saved at all."""
    if not has_semantic_encoder(tensors):
        raise CheckpointError(
            "the semantic encoder is missing: semantic_model.feature_projection.* and "
            f"semantic_model.encoder.layers.0.* to .{num_layers - 1}.* (it is frozen in training, so some checkpoints "
            "leave it out)",
            remedy="to add it, give semantic_encoder=FOLDER, of facebook/w2v-bert-2.0 in its own layout",
        )
