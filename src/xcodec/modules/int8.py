"""Linear maps and convolutions in whole numbers, on the CPU: faster than float32, in half or a quarter of its memory.

The weights of maps that stand in a list of layers, where most are, are rounded to int8; those of the rest, which decide
more of the codes, to int16. Inputs become int16, each step by a scale of its own, found as it comes: so a step's result
depends on that step alone, and neither data to calibrate by nor a file of scales is needed. What has fewer than 64
inputs or outputs keeps its floats, the quantizer's maps among them.
"""

import torch
from torch import Tensor, nn

from xcodec import kernels
from xcodec.errors import InputError
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.linear import Linear, PointwiseConv
from xcodec.modules.toom_conv import ToomConv1d

__all__ = ["IntegerConv1d", "IntegerLinear", "is_int8", "quantize_weights"]

NARROW = 64
LARGEST = {torch.int8: 127, torch.int16: 4095}  # of a weight, symmetric; 4095 leaves the inputs as many bits or more
INT16, INT32 = 2**15 - 1, 2**31 - 1


class IntegerWeight(nn.Module):
    """A rounded weight, in the order in which the kernel reads it.

    Args:
        weight: floating point, shape (outputs, channels, taps).
        bias: shape (outputs,), or None.
        dtype: int8 or int16.

    Attributes:
        weight: shape (panels, taps, pairs, kernels.PANEL, 2), as `kernels.integer_conv` takes it.
        scale: of each output, padded to whole panels; `bias` likewise.
        most: the largest whole number that an input may become.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.outputs, channels, taps = weight.shape
        missing = -self.outputs % kernels.PANEL
        rounded, scale = quantized(weight.detach().float(), dtype)
        rounded = nn.functional.pad(rounded, (0, 0, 0, channels % 2, 0, missing))
        offset = torch.zeros(self.outputs) if bias is None else bias.detach().float()
        self.most = largest_input(rounded)
        panels = rounded.view(-1, kernels.PANEL, (channels + 1) // 2, 2, taps).permute(0, 4, 2, 1, 3)
        self.weight = nn.Parameter(panels.contiguous(), requires_grad=False)
        self.scale = nn.Parameter(nn.functional.pad(scale, (0, missing)), requires_grad=False)
        self.bias = nn.Parameter(nn.functional.pad(offset, (0, missing)), requires_grad=False)

    def forward(self, x: Tensor, stride: int = 1, dilation: int = 1, padding: int = 0) -> Tensor:
        """Convolve `x` of shape (batch, time, channels) to (batch, steps, outputs)."""
        return kernels.integer_conv(
            x, self.weight, self.scale, self.bias, self.outputs, self.most, stride, dilation, padding
        )


def quantized(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Round each output by its own scale: whole numbers of the shape of `weight`, and float32 scales (outputs,)."""
    scale = weight.abs().amax((1, 2)).div_(LARGEST[dtype]).clamp_min_(torch.finfo(torch.float32).tiny)
    return (weight / scale[:, None, None]).round_().to(dtype), scale


def largest_input(rounded: Tensor) -> int:
    """Find what inputs may become, at most, for sums over a tap and a block of channels to stay within int32."""
    blocks = rounded.split(kernels.DEEPEST, 1)
    sums = max(int(block.abs().sum(1, dtype=torch.int64).max()) for block in blocks)
    return min(INT16, INT32 // max(sums, 1))


class IntegerLinear(nn.Module):
    """A linear map in whole numbers.

    Args:
        linear: the map, whose weights are rounded.
        dtype: int8 or int16.
    """

    def __init__(self, linear: Linear | PointwiseConv, dtype: torch.dtype) -> None:
        super().__init__()
        self.out_features, self.in_features = linear.weight.shape[:2]
        self.rounded = IntegerWeight(linear.weight.flatten(1)[..., None], linear.bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., in_features) to (..., out_features), of the dtype of `x`."""
        y: Tensor = self.rounded(x.reshape(1, -1, self.in_features))
        return y.view(*x.shape[:-1], self.out_features)


class IntegerConv1d(MaskedConv1d):
    """A convolution in whole numbers.

    Args:
        conv: the convolution, in one group, whose weights are rounded.
    """

    def __init__(self, conv: MaskedConv1d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            int(conv.padding[0]),
            conv.dilation[0],
            bias=False,
            device="meta",
        )
        del self.weight
        self.rounded = IntegerWeight(conv.weight, conv.bias, torch.int16)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve `x` of shape (batch, in_channels, time), as `MaskedConv1d` does; the result is channels-last."""
        x = zero_past_end(x, lengths)
        y: Tensor = self.rounded(x.transpose(1, 2), self.stride[0], self.dilation[0], int(self.padding[0]))
        return y.transpose(1, 2)


def quantize_weights(model: nn.Module) -> None:
    """Put maps and convolutions in whole numbers in the place of a model's, all but narrow ones and those in groups.

    It can no longer be trained or saved.

    Raises:
        InputError: where it is not on a CPU.
    """
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        raise InputError("int8 is for the CPU; on a GPU give bfloat16 or float16")
    _exchange(model, torch.int16)


def _exchange(module: nn.Module, dtype: torch.dtype) -> None:
    """Exchange the children of a module; maps become of `dtype`, and int8 in lists of layers."""
    for name, child in list(module.named_children()):
        if isinstance(child, (Linear, PointwiseConv)) and min(child.weight.shape[:2]) >= NARROW:
            setattr(module, name, IntegerLinear(child, dtype))
        elif (
            (type(child) is MaskedConv1d or type(child) is ToomConv1d)
            and child.groups == 1
            and min(child.weight.shape[:2]) >= NARROW
        ):
            setattr(module, name, IntegerConv1d(child))
        else:
            _exchange(child, torch.int8 if isinstance(child, nn.ModuleList) else dtype)


def is_int8(model: nn.Module) -> bool:
    """Tell whether a model has weights in whole numbers."""
    return any(isinstance(module, IntegerWeight) for module in model.modules())
