"""Original state dicts, converted: every tensor is renamed, folded, split or dropped, or is an error."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.key_map import KeyMap, Pattern
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.weight_norm import fold_weight_norms
from xcodec.errors import CheckpointError, InputError, about, some_of
from xcodec.models.checkpoint import read_config, resolve_checkpoint
from xcodec.models.configuration import CodecConfig
from xcodec.models.registry import FAMILIES
from xcodec.models.weights import read_tensors

__all__ = [
    "SEMANTIC",
    "Naming",
    "checkpoint_of",
    "fold_all_but_semantic",
    "has_semantic_encoder",
    "with_semantic_encoder",
]

SEMANTIC = "semantic_model."  # how the names of the semantic encoder's tensors begin
PERMUTED = (  # what `split` lays out as transformers has rotary pairs
    Pattern("acoustic_decoder.layers.{i}.self_attn.q_proj.weight"),
    Pattern("acoustic_decoder.layers.{i}.self_attn.k_proj.weight"),
)


@dataclass(frozen=True)
class Naming:
    """What is known of the original names of a codec.

    Attributes:
        renames: from an original name to the one here.
        plain_name: strips a name of wrappers and spells it in one way.
        reason_to_drop: why a tensor of such a name is left out; None where it is kept.
        infer_config: reads the configuration off the tensors, by the names here.
        split: what a tensor becomes that has another form here, by the names of what comes of it; None for any other.
        original_name: from a name here to the original one.
        folds_semantic: whether weight norms of the semantic encoder are folded too, which has some of its own if not.
    """

    renames: KeyMap
    plain_name: Callable[[str], str]
    reason_to_drop: Callable[[str, Tensor], str | None]
    infer_config: Callable[[Mapping[str, Tensor]], CodecConfig]
    split: Callable[[str, Tensor, Any], dict[str, Tensor] | None]
    original_name: Callable[[str], str]
    folds_semantic: bool = True


def checkpoint_of(tensors: Mapping[str, Tensor], naming: Naming, source: str) -> Checkpoint:
    """Convert a state dict of original names.

    Args:
        tensors: by these.
        naming: what is known of them.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    given: dict[str, str] = {}  # plain name -> the name in the source
    dropped: dict[str, str] = {}
    plain: dict[str, Tensor] = {}
    with about(source):
        for name, tensor in tensors.items():
            key = naming.plain_name(name)
            if key in given:
                raise CheckpointError(f"{given[key]} and {name} are two spellings of one tensor")
            given[key] = name
            if reason := naming.reason_to_drop(key, tensor):
                dropped[name] = reason
            else:
                plain[key] = tensor
        plain, pairs = (fold_weight_norms if naming.folds_semantic else fold_all_but_semantic)(plain)

        def renamed(key: str) -> str:
            return naming.renames.rename(key) or key

        found: dict[str, Tensor] = {}
        kept: dict[str, tuple[str, ...]] = {}
        for key, tensor in plain.items():
            name, origin = renamed(key), tuple(given[part] for part in pairs.get(key, (key,)))
            if name in kept:
                raise CheckpointError(f"{kept[name][0]} and {origin[0]} are two spellings of one tensor")
            found[name], kept[name] = tensor, origin
        config = naming.infer_config(found)
        for name in list(found):
            if (parts := naming.split(name, found[name], config)) is not None:
                origin = kept.pop(name)
                del found[name]
                found |= parts
                kept |= dict.fromkeys(parts, origin)

        def spell(name: str) -> str:
            return " + ".join(kept.get(name, (naming.original_name(name),)))

        family = FAMILIES[config.model_type]
        check_complete(found, family, config, spell)

    report = ConversionReport(
        source=source,
        layout="original",
        kept=kept,
        folded=tuple(renamed(key) for key in pairs),
        permuted=tuple(name for name in found if any(pattern.match(name) for pattern in PERMUTED)),
        dropped=dropped,
        num_kept=sum(tensor.numel() for tensor in found.values()),
        num_dropped=sum(tensors[name].numel() for name in dropped),
        family=family.name,
    )
    return Checkpoint(family, config, {name: tensor.contiguous() for name, tensor in found.items()}, report)


def fold_all_but_semantic(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Fold all weight norms but that of the semantic model, which is stored as it is."""
    semantic = {name: tensor for name, tensor in tensors.items() if name.startswith(SEMANTIC)}
    others, pairs = fold_weight_norms({name: tensor for name, tensor in tensors.items() if name not in semantic})
    return semantic | others, pairs


def has_semantic_encoder(tensors: Iterable[str], plain_name: Callable[[str], str]) -> bool:
    """Tell whether an original checkpoint holds its semantic encoder, by its tensors' names."""
    return any(plain_name(name).startswith(SEMANTIC) for name in tensors)


def with_semantic_encoder(
    tensors: Mapping[str, Tensor],
    semantic_encoder: str | Path,
    examples: Mapping[str, str],
    plain_name: Callable[[str], str],
    hub_arguments: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Add a semantic encoder from its own checkpoint to an original state dict that lacks it.

    Args:
        tensors: by their original names.
        semantic_encoder: folder or hub id.
        examples: each model_type that it may have, and a hub id that is of it.
        plain_name: as in `Naming`.
        hub_arguments: of the hub.
    """
    held = sorted(name for name in tensors if plain_name(name).startswith(SEMANTIC))
    if held:
        raise InputError(
            f"the checkpoint holds its own ({some_of(held, 2)})",
            argument="semantic_encoder",
            value=str(semantic_encoder),
            remedy="leave it out",
        )
    folder = resolve_checkpoint(semantic_encoder, **hub_arguments)
    model_type = read_config(folder).get("model_type")
    if model_type not in [*examples]:  # whatever stands there
        expected = " or ".join(f"{each!r}, as {example} is" for each, example in examples.items())
        raise CheckpointError(
            f"is of model_type {model_type!r}; expected {expected}",
            argument="semantic_encoder",
            value=str(semantic_encoder),
        )
    wrapper = f"{model_type.replace('-', '_')}."
    found = {name.removeprefix(wrapper): tensor for name, tensor in read_tensors(folder).items()}
    return {**tensors, **{SEMANTIC + name: x for name, x in found.items() if not name.startswith("lm_head.")}}
