"""Which parts of a step are computed in half precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["autocast", "precise_on_cpu"]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute in `precision`, one of float32, bfloat16 and float16, what is safe in it."""
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "float32")


def precise_on_cpu(x: Tensor) -> AbstractContextManager[object]:
    """No autocast where `x` is on the CPU, whose half-precision convolutions are not always faster or even right."""
    return torch.autocast("cpu", enabled=False) if x.device.type == "cpu" else nullcontext()
