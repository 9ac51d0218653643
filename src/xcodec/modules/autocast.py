"""What is computed in its own dtype even where torch.autocast would choose another."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["precise_on_cpu", "without_autocast"]


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Keep autocast away from what is computed on the device of `x`; where it is off, no graph knows of this."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def precise_on_cpu(x: Tensor) -> AbstractContextManager[object]:
    """Keep autocast away where `x` is on the CPU, where some things are slower in half precision, or wrong."""
    return without_autocast(x) if x.device.type == "cpu" else nullcontext()
