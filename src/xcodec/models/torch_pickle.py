"""The tensors of a file that torch.save wrote, such as a Lightning `.ckpt`, read without executing anything in it."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xcodec.errors import CheckpointError, some_of

__all__ = ["read_torch_pickle"]

# What trainers store beside the weights: configurations, paths, scalars. Their names stand in the pickle; neither these
# packages nor anything they name is imported or called.
BYSTANDERS = {
    "argparse",
    "hydra",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "numpy",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "typing",
}
BUILTIN_TYPES = {f"builtins.{kind.__name__}" for kind in (bool, bytes, dict, float, int, list, str, tuple)}
STATE_DICTS = ("state_dict", "model", "codec_model")  # where trainers keep one, beside optimizers and counts
IN_MEMORY_FILES = {"_io.BytesIO", "io.BytesIO"}  # some of X-Codec's state dicts carry one among the tensors


class Bystander:
    """Stands for an object that is not needed: takes what the file says about it and keeps none of it."""

    def __new__(cls, *_: Any, **__: Any) -> "Bystander":
        """Make one from any arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""


def empty_dict(*_: Any) -> dict[Any, Any]:
    """Stands for collections.defaultdict."""
    return {}


def read_torch_pickle(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a state dict that torch.save wrote, memory-mapped where the format allows it.

    Args:
        path: a file that holds either a state dict or a dict with one under "state_dict", as Lightning writes it, or
            under another name that trainers give it.

    Raises:
        CheckpointError: where the file names code to be run, is damaged, or holds no state dict.
    """
    try:
        needed = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        is_archive = True
    except Exception:
        # Not the archive that torch.save has written since 1.6, or nothing of torch's at all: torch.load says which.
        needed, is_archive = [], False
    code = sorted(name for name in needed if not is_bystander(name))
    if code:
        raise runs_code(path, code)
    inert: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (empty_dict if name == "collections.defaultdict" else Bystander, name) for name in needed
    ]
    try:
        with torch.serialization.safe_globals(inert):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except Exception as error:  # of many kinds, according to where the bytes stop making sense
        if isinstance(error, pickle.UnpicklingError) and (refused := re.search(r"GLOBAL ([\w.]+)", str(error))):
            raise runs_code(path, [refused[1]]) from None
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is no file that torch.save wrote, or a damaged one "
            f"({type(error).__name__}); expected a Lightning .ckpt, a state dict or a .safetensors file, copied whole"
        ) from None
    state = content
    if isinstance(content, dict):
        state = next((content[key] for key in STATE_DICTS if isinstance(content.get(key), dict)), content)
    if not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"holds a {type(state).__name__}; expected a state dict or a Lightning checkpoint", subject=path
        )
    state = {name: value for name, value in state.items() if not isinstance(value, Bystander)}
    others = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if others:
        raise CheckpointError(
            f"holds no state dict: {', '.join(others[:5])} {'is' if len(others) == 1 else 'are'} no tensor",
            subject=path,
        )
    return state


def is_bystander(name: str) -> bool:
    """Whether a global that a pickle names is a known holder of data, which is stood in for and never called."""
    return (
        name in BUILTIN_TYPES | IN_MEMORY_FILES or name == "collections.defaultdict" or name.split(".")[0] in BYSTANDERS
    )


def runs_code(path: Path, calls: list[str]) -> CheckpointError:
    """The error for a pickle that is more than data."""
    return CheckpointError(
        f"is a pickle that would run code: it calls {some_of(calls)}. It was not loaded. If you "
        "trust its author, load it elsewhere and save its state dict alone, with "
        "safetensors.torch.save_file",
        subject=path,
    )
