"""A run on disk: what it takes to go on as if never interrupted, and the model it has come to."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xcodec.errors import CheckpointError
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor, Xcodec2Model

__all__ = ["export", "load_state", "save_state"]


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings so that the file is the old one or the new one, whenever power fails."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, executing nothing."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({error}); give another --output") from error
    return state


def export(model: Xcodec2Model, weights: dict[str, Tensor], folder: str | Path, dtype: torch.dtype) -> None:
    """Write a folder that `from_pretrained` reads.

    Args:
        model: gives the configuration.
        weights: what to write, under the model's own names.
        folder: made if it does not exist.
        dtype: what floating-point weights are stored in.
    """
    copy = Xcodec2Model(model.config)
    copy.load_state_dict(weights)
    cast: nn.Module = copy
    cast.to(dtype)
    copy.save_pretrained(folder)
    config = model.config
    Xcodec2FeatureExtractor(sampling_rate=config.sampling_rate, hop_length=config.hop_length).save_pretrained(folder)
