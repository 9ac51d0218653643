"""Weights in the order in which oneDNN reads them, on the CPU, so that not every product has to put them into it.

Of a product of few rows, as of a stream's chunk, that order is a large share. A packed weight is a tensor of torch's
mkldnn layout: it has its shape and dtype, and all else needs `to_dense`.
"""

import platform
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["HAS_ONEDNN", "Packable", "pack_weights", "unpack_weights"]

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")  # elsewhere torch's operators were not tried
TYPICAL_ROWS = 512  # for which oneDNN chooses the order; it served from 1 to 6,000 as well as an order of their own
NARROW = 64  # weights with fewer inputs or outputs cost nothing


class Packable(nn.Module):
    """A module whose `weight` can be packed."""

    weight: Tensor

    @abstractmethod
    def packed(self) -> Tensor:
        """The dense weight, packed."""

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.weight.is_mkldnn:
            destination[f"{prefix}weight"] = self.unpacked()

    @abstractmethod
    def unpacked(self) -> Tensor:
        """The packed weight, dense and in its checkpoint's shape."""


def pack_weights(model: nn.Module) -> None:
    """Pack what a model can have packed, a weight at a time, in place of the dense; results stay, but for rounding.

    Only float32 and bfloat16 on an x86 processor are packed, for inference: a packed weight takes no gradient. What is
    not packed is copied, so that a file whose mapped memory the weights were is let go.
    """
    if not HAS_ONEDNN or not IS_X86:
        return
    dtypes = {torch.float32} | ({torch.bfloat16} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else set())
    for module in model.modules():
        if not isinstance(module, Packable) or module.weight.is_mkldnn:
            continue
        weight = module.weight
        if weight.device.type == "cpu" and weight.dtype in dtypes and min(weight.shape[:2]) >= NARROW:
            with torch.no_grad():
                module.weight = nn.Parameter(module.packed(), requires_grad=False)
    for tensor in (*model.parameters(), *model.buffers()):
        if not tensor.is_mkldnn:
            tensor.data = tensor.detach().clone()


def unpack_weights(model: nn.Module) -> None:
    """Undo `pack_weights`: for training, for saving, for another device or dtype."""
    for module in model.modules():
        if isinstance(module, Packable) and module.weight.is_mkldnn:
            module.weight = nn.Parameter(module.unpacked())
