"""Checkpoints of X-Codec, in the original layout or in transformers', become the one layout that is used here.

What becomes of each original tensor is said by the table of `xcodec.conversion.xcodec_names`. A tensor that does not
stand in it, or that is missing, is an error.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.weight_norm import fold_weight_norms
from xcodec.conversion.xcodec_names import infer_config, plain_name, read_original_config, renames
from xcodec.errors import CheckpointError, about, some_of
from xcodec.models.configuration import CodecConfig
from xcodec.models.family import Family
from xcodec.models.stored import Stored
from xcodec.models.xcodec import FAMILY

__all__ = ["convert_original", "convert_state_dict", "read_transformers_layout"]

SEMANTIC = "semantic_model."


def convert_original(source: Stored, config: str | Path | None) -> Checkpoint:
    """Convert an original checkpoint.

    Args:
        source: its tensors, and where they were found.
        config: the YAML file that came with it; None takes the one YAML file beside it.
    """
    assert source.path is not None, "it was read from a file or a folder"
    folder = source.path if source.path.is_dir() else source.path.parent
    original = read_original_config(find_yaml(folder) if config is None else Path(config).expanduser())
    return convert_state_dict(source.tensors, original, source=source.name)


def find_yaml(folder: Path) -> Path:
    """Return the one YAML file in a folder."""
    found = sorted(path for suffix in ("yaml", "yml") for path in folder.glob(f"*.{suffix}"))
    if len(found) != 1:
        there = f"{folder} holds {some_of([path.name for path in found], 3)}" if found else f"there is none in {folder}"
        raise CheckpointError(
            f"an original X-Codec checkpoint needs its YAML file, such as config_hubert.yaml, and {there}",
            remedy="give it as config=FILE",
        )
    return found[0]


def read_transformers_layout(source: Stored, family: Family) -> Checkpoint:
    """Check a checkpoint of a family that has our names already, its acoustic weight norms folded or not."""
    config = family.config.from_fields(source.config, source.name)
    plain = {plain_name(name): tensor for name, tensor in source.tensors.items()}
    unused = {name: plain.pop(name) for name in family.model.unused_tensors if name in plain}
    with about(source.name):
        tensors, pairs = fold_all_but_semantic(plain)
        check_complete(tensors, family, config, lambda name: name)
    kept = {name: pairs.get(name, (name,)) for name in tensors}
    return checkpoint_of(family, config, tensors, source.name, "transformers", kept, pairs, unused)


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
    with about(source):
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

        check_complete(renamed, FAMILY, config, spell)
    folded = [table.rename(key) or key for key in pairs]
    return checkpoint_of(FAMILY, config, renamed, source, "original", kept, folded, {})


def fold_all_but_semantic(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Fold the weight norms of the acoustic coders; the one of the semantic model is stored as it is."""
    semantic = {name: tensor for name, tensor in tensors.items() if name.startswith(SEMANTIC)}
    others, pairs = fold_weight_norms({name: tensor for name, tensor in tensors.items() if name not in semantic})
    return semantic | others, pairs


def checkpoint_of(
    family: Family,
    config: CodecConfig,
    tensors: Mapping[str, Tensor],
    source: str,
    layout: str,
    kept: Mapping[str, tuple[str, ...]],
    folded: Iterable[str],
    unused: Mapping[str, Tensor],
) -> Checkpoint:
    """Put a checkpoint together."""
    report = ConversionReport(
        source=source,
        layout=layout,
        kept=kept,
        folded=tuple(folded),
        permuted=(),
        dropped=dict.fromkeys(unused, "unused: of the semantic model's pre-training"),
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=sum(tensor.numel() for tensor in unused.values()),
        family=family.name,
    )
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return Checkpoint(family, config, contiguous, report)
