"""A checkpoint becomes a model that knows what it is: found by name, converted where its authors laid it out."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xcodec.built_in import MINI
from xcodec.codes import CodecIdentity
from xcodec.conversion import Told, converted
from xcodec.conversion.source import read_source
from xcodec.models import load_model
from xcodec.models.checkpoint import built_in_checkpoint, for_another, public_name
from xcodec.models.codec_model import CodecModel
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.identity import fingerprint_checkpoint, fingerprint_tensors
from xcodec.models.registry import layout_of
from xcodec.models.stored import Stored

__all__ = ["Loaded", "load_checkpoint"]


@dataclass(frozen=True)
class Loaded:
    """A model with what goes with it.

    Attributes:
        model: the model, on the CPU.
        feature_extractor: its feature extractor.
        name: what to call it in its codes.
        identity: which model it is, or what works that out from the stored tensors, whatever dtype the model has.
    """

    model: CodecModel
    feature_extractor: WaveformFeatureExtractor
    name: str
    identity: CodecIdentity | Callable[[], CodecIdentity]


def load_checkpoint(
    name_or_path: str | os.PathLike[str] | None,
    hub_arguments: Mapping[str, Any],
    decoder: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Loaded:
    """Load a checkpoint of any codec, in any layout.

    Args:
        name_or_path: a folder, a file, a hub id, a built-in name, or None for `mini`.
        hub_arguments: of `huggingface_hub.snapshot_download`, and `subfolder`.
        decoder: of X-Codec, one that takes the place of its own, as for `Codec.from_pretrained`.
        **kwargs: of the model's `from_pretrained`: `dtype`, `encoder_only`, ...

    Raises:
        CheckpointError: where it is not found, not complete, or of no codec here.
    """
    if name_or_path is None:
        stored, name = Stored.read(built_in_checkpoint()), MINI
    else:
        path = os.fspath(name_or_path)
        stored, name = read_source(path, hub_arguments), public_name(path, hub_arguments.get("subfolder"))
    layout = layout_of(stored)
    if decoder is not None or (layout is not None and layout.is_original):
        decoder = None if decoder is None else os.fspath(decoder)
        name = name if decoder is None else f"{name} ({public_name(decoder)})"
        told = Told(fetch_semantic_encoder=True, hub_arguments=for_another(hub_arguments))
        checkpoint = converted(stored, told, decoder)
        model, feature_extractor = load_model(checkpoint.stored(stored.name), **kwargs)
        model.name_or_path = str(stored.path)
        identity = fingerprint_tensors(checkpoint.tensors, checkpoint.config, name)
        return Loaded(model, feature_extractor, name, identity)
    assert stored.path is not None, "it was read from there"
    model, feature_extractor = load_model(stored, **kwargs)
    identify = partial(fingerprint_checkpoint, stored.path, model.config, name, model.unused_tensors)
    return Loaded(model, feature_extractor, name, identify)
