"""Where a model runs and what its numbers are. Loads torch when asked, so that the command line can start without."""

from enum import Enum
from typing import TYPE_CHECKING

from xcodec.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Precision", "choose_device", "choose_dtype"]


class Precision(str, Enum):
    """What weights and activations are computed in, by torch's names."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def choose_device(device: "str | torch.device | None") -> "torch.device":
    """Turn what a caller asks for into a device that is there."""
    import torch

    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, TypeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device={str(device)!r} cannot be used here ({reason}); give 'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'"
        ) from None
    return chosen


def choose_dtype(dtype: "str | torch.dtype") -> "torch.dtype":
    """Turn a name or a torch dtype into one that models run in."""
    import torch

    name = dtype.value if isinstance(dtype, Precision) else str(dtype).removeprefix("torch.")
    names = [precision.value for precision in Precision]
    if name not in names:
        raise InputError(f"dtype={name!r}: expected one of {', '.join(names)}")
    chosen: torch.dtype = getattr(torch, name)
    return chosen
