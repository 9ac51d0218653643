"""Checkpoints of X-Codec2, in the original layout or in transformers', become the one layout that is used here.

What becomes of each original tensor is said by the tables of `xcodec.models.xcodec2.original`. A tensor that stands in
none of them, or that is missing, is an error.
"""

import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Wav2Vec2BertConfig

from xcodec.errors import CheckpointError, InputError
from xcodec.models.checkpoint import (
    CONFIG,
    HUB_ARGUMENTS,
    WEIGHTS,
    open_safetensors,
    read_config,
    read_tensors,
    resolve_checkpoint,
    some_of,
)
from xcodec.models.torch_pickle import read_torch_pickle
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

WRITTEN = (CONFIG, "preprocessor_config.json", WEIGHTS)


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion made of each tensor.

    Attributes:
        source: the file or folder that was read.
        layout: "original" or "transformers".
        kept: for each tensor of the result, the tensors of the source that it was made of.
        folded: tensors of the result made by folding a weight norm.
        permuted: query and key projections whose rows went from interleaved to half-split rotary pairs.
        dropped: for each tensor of the source that was left out, why.
        num_parameters: parameters of the result.
        num_dropped: parameters and constants that were left out.
    """

    source: str
    layout: str
    kept: Mapping[str, tuple[str, ...]]
    folded: tuple[str, ...]
    permuted: tuple[str, ...]
    dropped: Mapping[str, str]
    num_parameters: int
    num_dropped: int

    def __str__(self) -> str:
        """The report as a few lines of text."""
        lines = [
            f"{self.source}: an X-Codec2 checkpoint in {self.layout} layout",
            f"  kept      {len(self.kept):5} tensors, {self.num_parameters:,} parameters",
            f"  folded    {len(self.folded):5} weight norms into the weights they scale",
            f"  permuted  {len(self.permuted):5} query and key projections to half-split rotary pairs",
            f"  dropped   {len(self.dropped):5} tensors, {self.num_dropped:,} numbers",
        ]
        lines += [f"    {count:9}   {reason}" for reason, count in Counter(self.dropped.values()).most_common()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: the model's configuration, its tensors by the names used here, and how they came about."""

    config: Xcodec2Config
    tensors: dict[str, Tensor]
    report: ConversionReport

    def build(self) -> Xcodec2Model:
        """The model, in evaluation mode, on the CPU, in the dtype of the tensors."""
        with torch.device("meta"):
            model = Xcodec2Model(self.config)
        model.load_state_dict(self.tensors, strict=True, assign=True)
        model.train(False)
        return model


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
    folder = Path(destination).expanduser().absolute()
    check_destination(folder, overwrite)
    checkpoint = read_checkpoint(source, **options)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    retired = partial.with_suffix(".old")
    try:
        partial.mkdir()
        write_checkpoint(checkpoint, partial)
        if folder.exists():
            folder.rename(retired)
        partial.rename(folder)
    except BaseException:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)
    return checkpoint.report


def check_destination(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a checkpoint that may be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise CheckpointError(f"{folder} is not a folder; the converted checkpoint is written as one")
    held = sorted(path.name for path in folder.iterdir())
    if held and not overwrite:
        raise CheckpointError(
            f"{folder} exists and holds {some_of(held, 3)}; give another folder, or overwrite=True (--overwrite)"
        )
    if others := [name for name in held if name not in WRITTEN]:
        raise CheckpointError(
            f"{folder} holds {some_of(others, 3)} besides a converted checkpoint and is not replaced; give another one"
        )


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the three files of a checkpoint into a folder that exists."""
    config = checkpoint.config
    config.save_pretrained(folder)
    mel_bins = config.semantic_model_config.feature_projection_input_dim // 2
    extractor = Xcodec2FeatureExtractor(mel_bins, sampling_rate=config.sampling_rate, hop_length=config.hop_length)
    extractor.save_pretrained(folder)
    save_file(checkpoint.tensors, folder / WEIGHTS, metadata={"format": "pt"})


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
    if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
        raise TypeError(
            f"unexpected arguments {', '.join(unknown)}; besides its own, read_checkpoint takes those of the hub: "
            f"{', '.join(HUB_ARGUMENTS)}"
        )
    path = Path(source).expanduser()
    config: dict[str, Any] = {}
    if path.is_file() and path.suffix != ".safetensors":
        tensors = read_torch_pickle(path)
    elif path.is_file():
        with open_safetensors(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    else:
        path = find_folder(source, hub_arguments)
        config = read_config(path)
        tensors = read_tensors(path)
    if config.get("model_type") == Xcodec2Config.model_type:
        if semantic_encoder is not None:
            raise InputError(f"{source} is complete; `semantic_encoder` is for original checkpoints without one")
        return read_transformers_layout(path, tensors)
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


def find_folder(source: str | Path, hub_arguments: dict[str, Any]) -> Path:
    """As `resolve_checkpoint`, and points from a folder of training to the checkpoints in it."""
    folder = Path(source).expanduser()
    if folder.is_dir() and not (folder / CONFIG).is_file():
        files = sorted(path for suffix in ("ckpt", "safetensors") for path in folder.glob(f"*.{suffix}"))
        if files:
            raise CheckpointError(f"{folder} is a folder without {CONFIG}; give the checkpoint file itself: {files[0]}")
    return resolve_checkpoint(source, **hub_arguments)


def read_transformers_layout(folder: Path, tensors: dict[str, Tensor]) -> Checkpoint:
    """Check a checkpoint that has our names already."""
    config = Xcodec2Config.from_pretrained(folder)
    with naming(folder):
        check_complete(tensors, config, lambda name: name)
    report = ConversionReport(
        source=str(folder),
        layout="transformers",
        kept={name: (name,) for name in tensors},
        folded=(),
        permuted=(),
        dropped={},
        num_parameters=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=0,
    )
    return Checkpoint(config, tensors, report)


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
        check_complete(renamed, config, lambda name: " + ".join(kept.get(name, (original_name(name),))))

    report = ConversionReport(
        source=source,
        layout="original",
        kept=kept,
        folded=tuple(RENAMES.rename(key) or key for key in pairs),
        permuted=tuple(permuted),
        dropped=dropped,
        num_parameters=sum(tensor.numel() for tensor in renamed.values()),
        num_dropped=sum(tensors[name].numel() for name in dropped),
    )
    return Checkpoint(config, {name: tensor.contiguous() for name, tensor in renamed.items()}, report)


@contextmanager
def naming(source: str | Path) -> Iterator[None]:
    """Begin the text of a CheckpointError with what was read."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None


def check_semantic_encoder(tensors: Mapping[str, Tensor], num_layers: int) -> None:
    """Say what to do where the semantic encoder was not saved at all."""
    if not any(name.startswith("semantic_model.") for name in tensors):
        raise CheckpointError(
            "the semantic encoder is missing: semantic_model.feature_projection.* and "
            f"semantic_model.encoder.layers.0.* to .{num_layers - 1}.* (it is frozen in training, so some checkpoints "
            "leave it out). To add it, give `semantic_encoder`, a folder of facebook/w2v-bert-2.0 in its own layout"
        )


def check_complete(tensors: Mapping[str, Tensor], config: Xcodec2Config, spell: Callable[[str], str]) -> None:
    """Compare tensors with those that the model has: names and shapes, completely.

    Args:
        tensors: by the names used here.
        config: of the model.
        spell: from a name used here to what the source calls it.
    """
    try:
        with torch.device("meta"):
            expected = {name: tensor.shape for name, tensor in Xcodec2Model(config).state_dict().items()}
    except InputError as error:
        raise CheckpointError(f"the sizes do not fit together: {error}") from None
    problems = []
    # Three of our tensors may come from one of the source: name it once.
    if missing := list(dict.fromkeys(spell(name) for name in expected if name not in tensors)):
        problems.append(f"{len(missing)} missing: {some_of(missing)}")
    if unexpected := [spell(name) for name in tensors if name not in expected]:
        problems.append(f"{len(unexpected)} that X-Codec2 does not have: {some_of(unexpected)}")
    reshaped = [
        f"{spell(name)} gives {tuple(tensors[name].shape)}, expected {tuple(expected[name])}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name]
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape: {some_of(reshaped)}")
    if problems:
        raise CheckpointError(f"no complete X-Codec2 checkpoint. Of its tensors, {'; '.join(problems)}")
