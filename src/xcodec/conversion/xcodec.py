"""Checkpoints of X-Codec and of the Higgs tokenizer, in the original layout or transformers', become the one used here.

What becomes of each original tensor is said by the table of `xcodec.conversion.xcodec_names`. A tensor that does not
stand in it, or that is missing, is an error.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.higgs_names import SEMANTIC_MODELS, original_fields
from xcodec.conversion.original import (
    SEMANTIC,
    Naming,
    checkpoint_of,
    fold_all_but_semantic,
    has_semantic_encoder,
    with_semantic_encoder,
)
from xcodec.conversion.report import ConversionReport
from xcodec.conversion.told import Told
from xcodec.conversion.xcodec_names import infer_config, plain_name, read_original_config, renames
from xcodec.errors import CheckpointError, about, some_of
from xcodec.models.checkpoint import CONFIG, read_json
from xcodec.models.family import Family
from xcodec.models.higgs_audio_v2_tokenizer import FAMILY as HIGGS
from xcodec.models.stored import Stored
from xcodec.models.xcodec import FAMILY

__all__ = ["convert_original", "convert_original_higgs", "convert_state_dict", "read_transformers_layout"]

SEMANTIC_EXAMPLES = {"hubert": "facebook/hubert-base-ls960", "wavlm": "microsoft/wavlm-base-plus"}
UNUSED = "unused: of the semantic model's pre-training"


def convert_original(source: Stored, told: Told) -> Checkpoint:
    """Convert an original checkpoint of X-Codec, by the YAML file that came with it."""
    yaml_file = find_yaml(folder_of(source)) if told.config is None else Path(told.config).expanduser()
    return convert(source, told, FAMILY, read_original_config(yaml_file), told.semantic_encoder)


def convert_original_higgs(source: Stored, told: Told) -> Checkpoint:
    """Convert an original checkpoint of the Higgs tokenizer, by the config.json beside it."""
    beside = folder_of(source) / CONFIG
    with about(source.name):
        original = original_fields(read_json(beside) if not source.config and beside.is_file() else source.config)
    semantic_model = told.semantic_encoder
    if semantic_model is None and told.fetch_semantic_encoder and not has_semantic_encoder(source.tensors, plain_name):
        semantic_model = SEMANTIC_MODELS[original["semantic_techer"]]
    return convert(source, told, HIGGS, original, semantic_model)


def convert(
    source: Stored, told: Told, family: Family, original: Mapping[str, Any], semantic_model: str | Path | None
) -> Checkpoint:
    """Convert the tensors, with those of a semantic model that has a checkpoint of its own."""
    tensors = source.tensors
    if semantic_model is not None:
        tensors = with_semantic_encoder(tensors, semantic_model, SEMANTIC_EXAMPLES, plain_name, told.hub_arguments)
    return convert_state_dict(tensors, original, family=family, source=source.name)


def folder_of(source: Stored) -> Path:
    """Give the folder that a checkpoint was found in."""
    assert source.path is not None, "it was read from a file or a folder"
    return source.path if source.path.is_dir() else source.path.parent


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
    report = ConversionReport(
        source=source.name,
        layout="transformers",
        kept={name: pairs.get(name, (name,)) for name in tensors},
        folded=tuple(pairs),
        permuted=(),
        dropped=dict.fromkeys(unused, UNUSED),
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=sum(tensor.numel() for tensor in unused.values()),
        family=family.name,
    )
    return Checkpoint(family, config, {name: tensor.contiguous() for name, tensor in tensors.items()}, report)


def convert_state_dict(
    tensors: Mapping[str, Tensor],
    original: Mapping[str, Any],
    *,
    family: Family = FAMILY,
    source: str = "the state dict",
) -> Checkpoint:
    """Convert a state dict of original names.

    Args:
        tensors: by their original names, in either spelling of weight norm, with or without the prefix `model.` or
            `module.`
        original: the fields of the YAML file, as `read_original_config` gives them, or of the Higgs tokenizer's
            config.json, as `original_fields` does.
        family: X-Codec, or the Higgs tokenizer.
        source: what error messages and the report call it.

    Raises:
        CheckpointError: names what is missing, unexpected or of another shape.
    """
    with about(source):
        if not has_semantic_encoder(tensors, plain_name):
            raise CheckpointError(
                f"the semantic model is missing: {SEMANTIC}* (it is frozen, so some checkpoints leave it out)",
                remedy="to add it, give semantic_encoder=FOLDER, of HuBERT or WavLM in transformers' layout",
            )
    table = renames(len(original["ratios"]))
    naming = Naming(
        renames=table,
        plain_name=plain_name,
        reason_to_drop=lambda name, _: UNUSED if name in family.model.unused_tensors else None,
        infer_config=partial(infer_config, original=original, family=family),
        split=lambda *_: None,
        original_name=lambda name: table.trace(name) or name,
        folds_semantic=False,
    )
    return checkpoint_of(tensors, naming, source)
