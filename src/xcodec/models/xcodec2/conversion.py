"""Checkpoints of X-Codec2, in the original layout or in transformers', become the one layout that is used here.

What becomes of each original tensor is said by the tables of `xcodec.models.xcodec2.original`. A tensor that stands in
none of them, or that is missing, is an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Wav2Vec2BertConfig

from xcodec.errors import CheckpointError, InputError
from xcodec.models.checkpoint import CONFIG, read_config, read_tensors, resolve_checkpoint, some_of
from xcodec.models.conversion import Checkpoint, ConversionReport, Source, check_complete, naming, write_whole
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.models.xcodec2.feature_extraction import Xcodec2FeatureExtractor
from xcodec.models.xcodec2.modeling import Xcodec2Model
from xcodec.models.xcodec2.original import (
    RENAMES,
    infer_config,
    is_original,
    original_name,
    plain_name,
    reason_to_drop,
    split_fused_attention,
)
from xcodec.modules.weight_norm import fold_weight_norms

__all__ = ["Checkpoint", "ConversionReport", "convert_checkpoint", "convert_state_dict", "read_checkpoint"]

FAMILY = "X-Codec2"


def convert_checkpoint(
    source: str | Path, destination: str | Path, *, overwrite: bool = False, **options: Any
) -> ConversionReport:
    """Write any X-Codec2 checkpoint as a folder in transformers' layout, which appears whole or not at all.

    Args:
        source: as for `read_checkpoint`.
        destination: the folder to write: config.json, preprocessor_config.json and model.safetensors.
        overwrite: replace a checkpoint folder that is there already.
        **options: as for `read_checkpoint`.

    Raises:
        CheckpointError: where the source is not found, not complete or not X-Codec2, or the destination exists.
    """
    return write_whole(destination, overwrite, lambda: read_checkpoint(source, **options))


def read_checkpoint(
    source: str | Path,
    *,
    semantic_encoder: str | Path | None = None,
    num_semantic_layers: int = 16,
    num_attention_heads: int | None = None,
    **hub_arguments: Any,
) -> Checkpoint:
    """Read an X-Codec2 checkpoint of whatever layout.

    Args:
        source: a folder or hub id in the original or transformers' layout, a `.safetensors` file of original names, or
            a file of torch.save: a Lightning `.ckpt`, or a state dict of original names. No pickle is executed.
        semantic_encoder: folder or hub id of w2v-BERT 2.0 (facebook/w2v-bert-2.0) in transformers' layout, for an
            original checkpoint that was saved without `semantic_model.*`.
        num_semantic_layers: layers of the semantic encoder to keep from an original checkpoint; the codec reads the
            output of the last of them.
        num_attention_heads: heads of the decoder of an original checkpoint; None means hidden size / 64.
        **hub_arguments: revision, cache_dir, token, local_files_only, ...

    Raises:
        CheckpointError: where it is not found, not complete, not X-Codec2, or a pickle that would run code.
    """
    found = Source.read(source, hub_arguments)
    config, tensors = found.config, found.tensors
    if config.get("model_type") == Xcodec2Config.model_type:
        if semantic_encoder is not None:
            raise InputError(f"{source} is complete; `semantic_encoder` is for original checkpoints without one")
        return read_transformers_layout(found.path, tensors)
    if not is_original(tensors):
        kind = f"it is of model_type {config['model_type']!r}, " if "model_type" in config else ""
        hint = ""
        if not config and any(name.startswith("acoustic_encoder.") for name in tensors):
            hint = f"; the names are transformers': give the folder, with the {CONFIG} beside this file"
        raise CheckpointError(
            f"{source} is no X-Codec2 checkpoint: {kind}its tensors are {some_of(sorted(tensors), 3)}; expected "
            f"CodecEnc.*, generator.* (original) or a config.json of model_type 'xcodec2'{hint}"
        )
    if semantic_encoder is not None:
        tensors = with_semantic_encoder(tensors, semantic_encoder, hub_arguments)
    return convert_state_dict(
        tensors, num_semantic_layers=num_semantic_layers, num_attention_heads=num_attention_heads, source=str(source)
    )


def read_transformers_layout(folder: Path, tensors: dict[str, Tensor]) -> Checkpoint:
    """Check a checkpoint that has our names already."""
    config = Xcodec2Config.from_pretrained(folder)
    with naming(folder):
        check_complete(tensors, Xcodec2Model, config, lambda name: name, FAMILY)
    report = ConversionReport(
        source=str(folder),
        layout="transformers",
        kept={name: (name,) for name in tensors},
        folded=(),
        permuted=(),
        dropped={},
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=0,
    )
    return Checkpoint(config, tensors, report, Xcodec2Model, feature_extractor_of(config))


def with_semantic_encoder(
    tensors: Mapping[str, Tensor], semantic_encoder: str | Path, hub_arguments: dict[str, Any]
) -> dict[str, Tensor]:
    """Add w2v-BERT 2.0 from its own checkpoint to an original state dict that lacks it."""
    own = sorted(name for name in tensors if plain_name(name).startswith("semantic_model."))
    if own:
        raise InputError(
            f"`semantic_encoder` was given, but the checkpoint holds its own ({some_of(own, 2)}); leave the option out"
        )
    folder = resolve_checkpoint(semantic_encoder, **hub_arguments)
    model_type = read_config(folder).get("model_type")
    if model_type != Wav2Vec2BertConfig.model_type:
        raise CheckpointError(
            f"semantic_encoder: {folder} is of model_type {model_type!r}; expected 'wav2vec2-bert', as "
            "facebook/w2v-bert-2.0 is"
        )
    encoder = {f"semantic_model.{name.removeprefix('wav2vec2_bert.')}": x for name, x in read_tensors(folder).items()}
    return {**tensors, **encoder}


def convert_state_dict(
    tensors: Mapping[str, Tensor],
    *,
    num_semantic_layers: int = 16,
    num_attention_heads: int | None = None,
    source: str = "the state dict",
) -> Checkpoint:
    """Convert a state dict of original names.

    Sizes are read off the tensors' shapes.

    Args:
        tensors: by their original names, in any spelling of weight norm and SnakeBeta, with or without the prefix
            `model.` or `module.`
        num_semantic_layers: as for `read_checkpoint`.
        num_attention_heads: as for `read_checkpoint`.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    given: dict[str, str] = {}  # plain name -> the name in the source
    dropped: dict[str, str] = {}
    plain: dict[str, Tensor] = {}
    with naming(source):
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
        config = infer_config(renamed, num_semantic_layers, num_attention_heads)
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

        check_complete(renamed, Xcodec2Model, config, spell, FAMILY)

    report = ConversionReport(
        source=source,
        layout="original",
        kept=kept,
        folded=tuple(RENAMES.rename(key) or key for key in pairs),
        permuted=tuple(permuted),
        dropped=dropped,
        num_kept=sum(tensor.numel() for tensor in renamed.values()),
        num_dropped=sum(tensors[name].numel() for name in dropped),
    )
    contiguous = {name: tensor.contiguous() for name, tensor in renamed.items()}
    return Checkpoint(config, contiguous, report, Xcodec2Model, feature_extractor_of(config))


def feature_extractor_of(config: Xcodec2Config) -> Xcodec2FeatureExtractor:
    """The feature extractor that goes with a model."""
    mel_bins = config.semantic_model_config.feature_projection_input_dim // 2
    return Xcodec2FeatureExtractor(mel_bins, sampling_rate=config.sampling_rate, hop_length=config.hop_length)


def check_semantic_encoder(tensors: Mapping[str, Tensor], num_layers: int) -> None:
    """Say what to do where the semantic encoder was not saved at all."""
    if not any(name.startswith("semantic_model.") for name in tensors):
        raise CheckpointError(
            "the semantic encoder is missing: semantic_model.feature_projection.* and "
            f"semantic_model.encoder.layers.0.* to .{num_layers - 1}.* (it is frozen in training, so some checkpoints "
            "leave it out). To add it, give `semantic_encoder`, a folder of facebook/w2v-bert-2.0 in its own layout"
        )
