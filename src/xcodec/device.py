"""Where a model runs, in which precision and in how much memory.

Loads torch when asked, so that the command line can start without.
"""

import re
from enum import Enum
from typing import TYPE_CHECKING

from xcodec.errors import InputError, first_line

if TYPE_CHECKING:
    import torch

__all__ = ["Precision", "choose_device", "choose_dtype", "choose_precision", "memory_size"]

UNITS = {"": 1, **{f"{letter}B": 1000**i for i, letter in enumerate("KMGT", 1)}}
UNITS |= {f"{letter}iB": 1024**i for i, letter in enumerate("KMGT", 1)}


class Precision(str, Enum):
    """What weights and activations are computed in, by torch's names. INT8 is most weights', FLOAT32 the rest's."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"

    @property
    def floating_point(self) -> "torch.dtype":
        """What all that is not rounded to whole numbers is computed in."""
        return choose_dtype("float32" if self is Precision.INT8 else self)


def choose_device(device: "str | torch.device | None") -> "torch.device":
    """Turn what a caller asks for into a device that is there."""
    import torch

    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, TypeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        raise InputError(
            f"cannot be used here ({first_line(error)})",
            argument="device",
            value=str(device),
            remedy="give 'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'",
        ) from None
    return chosen


def choose_precision(dtype: "str | torch.dtype") -> Precision:
    """Turn a name or a torch dtype into a precision that codecs run in."""
    name = str(dtype.value if isinstance(dtype, Precision) else dtype).removeprefix("torch.")
    names = [precision.value for precision in Precision]
    if name not in names:
        raise InputError(f"expected one of {', '.join(names)}", argument="dtype", value=name)
    return Precision(name)


def choose_dtype(dtype: "str | torch.dtype") -> "torch.dtype":
    """Turn a name or a torch dtype into one that weights are stored in: as `choose_precision`, but for int8."""
    import torch

    precision = choose_precision(dtype)
    if precision is Precision.INT8:
        raise InputError("dtype='int8' is for running a codec; expected one of float32, bfloat16, float16")
    chosen: torch.dtype = getattr(torch, precision.value)
    return chosen


def memory_size(size: "int | str") -> int:
    """Turn a number of bytes, or a text such as "4GiB", "500 MB" or "1.5GiB", into bytes.

    Raises:
        InputError: where it is neither, or no byte at all.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", str(size).strip())
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if found and not isinstance(size, bool) and (factor := units.get(found[2].lower())) is not None:
        num_bytes = int(float(found[1]) * factor)
        if num_bytes > 0:
            return num_bytes
    raise InputError(
        "expected a number of bytes above 0, or such as '4GiB' or '500MB'", argument="max_memory", value=size
    )
