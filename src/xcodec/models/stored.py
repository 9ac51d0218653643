"""A checkpoint as it was stored: its configuration's fields and its tensors, by whatever names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from xcodec.models.checkpoint import read_config
from xcodec.models.weights import read_tensors

__all__ = ["Stored", "unwrapped"]

WRAPPERS = ("module.", "model.")  # what DataParallel and training scripts put before every name


@dataclass(frozen=True)
class Stored:
    """What a checkpoint holds, before anything is made of it.

    Attributes:
        name: as it was asked for, for messages.
        path: the file or folder that it was read from; None for a state dict in memory.
        config: contents of config.json; empty where there is none.
        tensors: memory-mapped where the format allows it.
    """

    name: str
    path: Path | None
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, folder: Path, name: str | None = None) -> "Stored":
        """Read a folder that holds config.json.

        Raises:
            CheckpointError: where something in it is missing, damaged, or a pickle that would run code.
        """
        return cls(str(folder) if name is None else name, folder, read_config(folder), read_tensors(folder))


def unwrapped(name: str) -> str:
    """Give the name of a tensor without what torch.compile, DataParallel and training scripts put before it."""
    name = name.replace("_orig_mod.", "")
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name
