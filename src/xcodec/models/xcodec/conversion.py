"""Checkpoints of X-Codec, in the original layout or in transformers', become the one layout that is used here.

What becomes of each original tensor is said by the table of `xcodec.models.xcodec.original`. A tensor that does not
stand in it, or that is missing, is an error.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.errors import CheckpointError, InputError
from xcodec.models.checkpoint import CONFIG, some_of
from xcodec.models.conversion import Checkpoint, ConversionReport, Source, check_complete, naming, write_whole
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.models.xcodec.feature_extraction import XcodecFeatureExtractor
from xcodec.models.xcodec.modeling import XcodecModel
from xcodec.models.xcodec.original import infer_config, is_original, plain_name, read_original_config, renames
from xcodec.modules.weight_norm import fold_weight_norms

__all__ = ["convert_checkpoint", "convert_state_dict", "is_xcodec", "read_checkpoint"]

FAMILY = "X-Codec"
SEMANTIC = "semantic_model."


def is_xcodec(config: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a source is a checkpoint of X-Codec, in either layout, by its config.json and its tensors' names."""
    ours = config.get("model_type") == XcodecConfig.model_type and "XCodec2Model" not in (
        config.get("architectures") or []
    )
    return (ours and "acoustic_model_config" in config) or is_original(names)


def convert_checkpoint(
    source: str | Path, destination: str | Path, *, overwrite: bool = False, **options: Any
) -> ConversionReport:
    """Write any X-Codec checkpoint as a folder in transformers' layout, which appears whole or not at all.

    Args:
        source: as for `read_checkpoint`.
        destination: the folder to write: config.json, preprocessor_config.json and model.safetensors.
        overwrite: replace a checkpoint folder that is there already.
        **options: as for `read_checkpoint`.

    Raises:
        CheckpointError: where the source is not found, not complete or not X-Codec, or the destination exists.
    """
    return write_whole(destination, overwrite, lambda: read_checkpoint(source, **options))


def read_checkpoint(source: str | Path, *, config: str | Path | None = None, **hub_arguments: Any) -> Checkpoint:
    """Read an X-Codec checkpoint of whatever layout.

    Args:
        source: a folder or hub id in transformers' layout, or a file of original names: a `.pth` or other file of
            torch.save, or a `.safetensors`. No pickle is executed.
        config: the YAML file that came with an original checkpoint; None takes the one YAML file beside it.
        **hub_arguments: revision, cache_dir, token, local_files_only, ...

    Raises:
        CheckpointError: where it is not found, not complete, not X-Codec, or a pickle that would run code.
    """
    found = Source.read(source, hub_arguments)
    if not is_original(found.tensors):
        if not is_xcodec(found.config, found.tensors):
            raise CheckpointError(
                f"{source} is no X-Codec checkpoint: its tensors are {some_of(sorted(found.tensors), 3)}; expected "
                f"decoder_2.*, quantizer.vq.* (original) or a {CONFIG} of model_type 'xcodec' beside them"
            )
        if config is not None:
            raise InputError(f"{source} has its own {CONFIG}; `config` is for original checkpoints")
        return read_transformers_layout(found)
    folder = found.path if found.path.is_dir() else found.path.parent
    original = read_original_config(find_yaml(folder) if config is None else Path(config).expanduser())
    return convert_state_dict(found.tensors, original, source=str(source))


def find_yaml(folder: Path) -> Path:
    """The one YAML file in a folder."""
    found = sorted(path for suffix in ("yaml", "yml") for path in folder.glob(f"*.{suffix}"))
    if len(found) != 1:
        there = f"{folder} holds {some_of([path.name for path in found], 3)}" if found else f"there is none in {folder}"
        raise CheckpointError(
            f"an original X-Codec checkpoint needs its YAML file, such as config_hubert.yaml, and {there}; give it "
            "with config (--config)"
        )
    return found[0]


def read_transformers_layout(source: Source) -> Checkpoint:
    """Check a checkpoint that has our names already, its acoustic weight norms folded or not."""
    config = XcodecConfig.from_pretrained(source.path)
    with naming(source.path):
        tensors, pairs = fold_all_but_semantic({plain_name(name): tensor for name, tensor in source.tensors.items()})
        check_complete(tensors, XcodecModel, config, lambda name: name, FAMILY)
    return checkpoint_of(
        config, tensors, str(source.path), "transformers", {n: pairs.get(n, (n,)) for n in tensors}, pairs
    )


def convert_state_dict(
    tensors: Mapping[str, Tensor], original: Mapping[str, Any], *, source: str = "the state dict"
) -> Checkpoint:
    """Convert a state dict of original names.

    Args:
        tensors: by their original names, in either spelling of weight norm, with or without the prefix `model.` or
            `module.`
        original: the fields of the YAML file, as `read_original_config` gives them.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    given: dict[str, str] = {}  # plain name -> the name in the source
    with naming(source):
        for name in tensors:
            key = plain_name(name)
            if key in given:
                raise CheckpointError(f"{given[key]} and {name} are two spellings of one tensor")
            given[key] = name
        plain, pairs = fold_all_but_semantic({key: tensors[name] for key, name in given.items()})
        table = renames(len(original["ratios"]))
        renamed = {table.rename(key) or key: tensor for key, tensor in plain.items()}
        kept = {table.rename(key) or key: tuple(given[part] for part in pairs.get(key, (key,))) for key in plain}
        config = infer_config(renamed, original)

        def spell(name: str) -> str:
            return " + ".join(kept.get(name, (table.trace(name) or name,)))

        check_complete(renamed, XcodecModel, config, spell, FAMILY)
    folded = [table.rename(key) or key for key in pairs]
    return checkpoint_of(config, renamed, source, "original", kept, folded)


def fold_all_but_semantic(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Fold the weight norms of the acoustic coders; the one of the semantic model is stored as it is."""
    semantic = {name: tensor for name, tensor in tensors.items() if name.startswith(SEMANTIC)}
    others, pairs = fold_weight_norms({name: tensor for name, tensor in tensors.items() if name not in semantic})
    return semantic | others, pairs


def checkpoint_of(
    config: XcodecConfig,
    tensors: Mapping[str, Tensor],
    source: str,
    layout: str,
    kept: Mapping[str, tuple[str, ...]],
    folded: Iterable[str],
) -> Checkpoint:
    """Put a checkpoint together."""
    report = ConversionReport(
        source=source,
        layout=layout,
        kept=kept,
        folded=tuple(folded),
        permuted=(),
        dropped={},
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=0,
        family=FAMILY,
    )
    extractor = XcodecFeatureExtractor(sampling_rate=config.sample_rate, hop_length=config.hop_length)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return Checkpoint(config, contiguous, report, XcodecModel, extractor)
