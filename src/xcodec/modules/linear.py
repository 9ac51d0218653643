"""Linear maps, on the CPU through oneDNN.

torch's own float32 `linear` calls MKL, which keeps to AVX2 on AMD's processors; oneDNN uses AVX-512 on any that has it.
On such a processor it was measured at 2.2 times MKL's speed, from 1 row to 6,000 (benchmarks/linear.py).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.packing import HAS_ONEDNN, PACKED, TYPICAL_ROWS, Packable

__all__ = ["Linear", "PointwiseConv", "linear"]

_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)  # torch 2.7 and later


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map `x` of shape (..., in_features) to (..., out_features).

    Args:
        x: the input.
        weight: shape (out_features, in_features).
        bias: shape (out_features,).
    """
    if not _onednn_serves(x, weight, bias):
        return F.linear(x, weight, bias)
    return opaque_linear(x, weight, bias) if torch.compiler.is_compiling() else onednn_linear(x, weight, bias)


def _onednn_serves(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether oneDNN is to be called directly: on the CPU, in float32, and where no gradient is asked for."""
    if (
        not HAS_ONEDNN
        or _is_exporting()
        or x.device.type != "cpu"
        or x.dtype != torch.float32
        or weight.dtype != torch.float32
    ):
        return False
    if x.numel() == 0 or torch.is_autocast_enabled("cpu") or _is_exporting():
        return False
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear` through the operator that torch's compiler uses for frozen weights."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@torch.library.custom_op("xcodec::linear", mutates_args=())
def opaque_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`onednn_linear` for compiled graphs: of torch's operator the compiler would ask that weights are frozen."""
    return onednn_linear(x, weight, bias)


@opaque_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG001
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def packed_linear(x: Tensor, module: "Linear | PointwiseConv", out_features: int) -> Tensor:
    """`linear` by the packed weight of a module that takes `x`."""
    if torch.compiler.is_compiling():
        return opaque_packed_linear(x, module.number, module.bias, out_features)
    return onednn_linear(x, module.weight, module.bias)


@torch.library.custom_op("xcodec::packed_linear", mutates_args=())
def opaque_packed_linear(x: Tensor, number: Tensor, bias: Tensor | None, out_features: int) -> Tensor:  # noqa: ARG001
    """`packed_linear` for compiled graphs."""
    return onednn_linear(x, PACKED[int(number)].weight, bias)


@opaque_packed_linear.register_fake
def _(x: Tensor, number: Tensor, bias: Tensor | None, out_features: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(*x.shape[:-1], out_features)


class Linear(nn.Linear, Packable):
    """`torch.nn.Linear`, through `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., in_features) to (..., out_features)."""
        if self.use_packed_or_unpack(x):
            return packed_linear(x, self, self.out_features)
        return linear(x, self.plain_weight, self.bias)

    def packed(self) -> Tensor:
        """Return the weight in oneDNN's order."""
        return torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), TYPICAL_ROWS)

    def unpacked(self) -> Tensor:
        """Undo `packed`."""
        return self.weight.to_dense()


class PointwiseConv(nn.Conv1d, Packable):
    """A convolution of kernel size 1 under its checkpoint's name, applied as the linear map that it is.

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., in_channels), the channels last, to (..., out_channels)."""
        if self.use_packed_or_unpack(x):
            return packed_linear(x, self, self.out_channels)
        return linear(x, self.plain_weight.squeeze(-1))

    def packed(self) -> Tensor:
        """Return the weight in oneDNN's order, as a map's."""
        return torch.ops.mkldnn._reorder_linear_weight(self.weight.squeeze(-1).contiguous(), TYPICAL_ROWS)

    def unpacked(self) -> Tensor:
        """Undo `packed`."""
        return self.weight.to_dense().unsqueeze(-1)
