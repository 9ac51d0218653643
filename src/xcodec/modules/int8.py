"""Linear maps and convolutions in whole numbers, on the CPU: faster than float32, in half or a quarter of its memory.

The weights of maps that stand in a list of layers, where most are, are rounded to int8, and so are those of the
convolutions in the residual blocks of a decoder; those of the rest, which decide more of the codes, to int16. Inputs
are rounded as they come, each step by itself: to 8 bits, each block of channels between its least and its greatest,
where weights are int8, and else to int16. So a step's result depends on that step alone, and neither data to calibrate
by nor a file of scales is needed. What has fewer than 64 inputs or outputs keeps its floats, the quantizer's maps among
them.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from xcodec import kernels
from xcodec.errors import InputError
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.linear import Linear, PointwiseConv
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.toom_conv import ToomConv1d

__all__ = ["IntegerConv1d", "IntegerLinear", "is_int8", "quantize_weights"]

NARROW = 64
LARGEST = {torch.int8: 127, torch.int16: 4095}  # of a weight, symmetric; 4095 leaves the inputs as many bits or more
INT16, INT32 = 2**15 - 1, 2**31 - 1


class IntegerWeight(nn.Module, ABC):
    """A rounded weight, in the order in which its kernel reads it.

    Args:
        weight: floating point, shape (outputs, channels, taps).
        bias: shape (outputs,), or None.

    Attributes:
        weight: shape (panels, taps, rows, kernels.PANEL, together), as the kernel takes it.
        scale: of each output, padded to whole panels; `bias` likewise.
        dtype: of the weight.
        together: channels whose weights lie together.
    """

    dtype: torch.dtype
    together: int

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.outputs, channels, taps = weight.shape
        missing = -self.outputs % kernels.PANEL
        rounded, scale = quantized(weight.detach().float(), self.dtype)
        rounded = nn.functional.pad(rounded, (0, 0, 0, -channels % self.together, 0, missing))
        offset = torch.zeros(self.outputs) if bias is None else bias.detach().float()
        panels = rounded.view(-1, kernels.PANEL, rounded.shape[1] // self.together, self.together, taps)
        self.weight = nn.Parameter(panels.permute(0, 4, 2, 1, 3).contiguous(), requires_grad=False)
        self.scale = nn.Parameter(nn.functional.pad(scale, (0, missing)), requires_grad=False)
        self.bias = nn.Parameter(nn.functional.pad(offset, (0, missing)), requires_grad=False)
        self.prepare(rounded)

    @abstractmethod
    def prepare(self, rounded: Tensor) -> None:
        """Find what else the kernel is given, of the padded weight (panels * kernels.PANEL, channels, taps)."""

    @abstractmethod
    def forward(self, x: Tensor, stride: int = 1, dilation: int = 1, padding: int = 0) -> Tensor:
        """Convolve `x` of shape (batch, time, channels) to (batch, steps, outputs)."""


class Int8Weight(IntegerWeight):
    """A weight of int8, whose inputs become numbers of 8 bits.

    Attributes:
        sums: of each block of channels, as the kernel takes them.
    """

    dtype, together = torch.int8, 4

    def prepare(self, rounded: Tensor) -> None:
        """`IntegerWeight.prepare`."""
        sums = torch.stack([block.sum(1, dtype=torch.float32) for block in rounded.split(kernels.INT8_BLOCK, 1)])
        panels = sums.unflatten(1, (-1, kernels.PANEL)).permute(1, 3, 0, 2)  # (panels, taps, blocks, kernels.PANEL)
        self.sums = nn.Parameter(panels.contiguous(), requires_grad=False)

    def forward(self, x: Tensor, stride: int = 1, dilation: int = 1, padding: int = 0) -> Tensor:
        """`IntegerWeight.forward`."""
        return kernels.int8_conv(
            x, self.weight, self.sums, self.scale, self.bias, self.outputs, stride, dilation, padding
        )


class Int16Weight(IntegerWeight):
    """A weight of int16, whose inputs become int16 or a little less.

    Attributes:
        most: the largest whole number that an input may become.
    """

    dtype, together = torch.int16, 2

    def prepare(self, rounded: Tensor) -> None:
        """`IntegerWeight.prepare`."""
        self.most = largest_input(rounded)

    def forward(self, x: Tensor, stride: int = 1, dilation: int = 1, padding: int = 0) -> Tensor:
        """`IntegerWeight.forward`."""
        return kernels.int16_conv(
            x, self.weight, self.scale, self.bias, self.outputs, self.most, stride, dilation, padding
        )


WEIGHTS: dict[torch.dtype, type[IntegerWeight]] = {kind.dtype: kind for kind in (Int8Weight, Int16Weight)}


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
        self.rounded = WEIGHTS[dtype](linear.weight.flatten(1)[..., None], linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., in_features) to (..., out_features), of the dtype of `x`."""
        y: Tensor = self.rounded(x.reshape(1, -1, self.in_features))
        return y.view(*x.shape[:-1], self.out_features)


class IntegerConv1d(MaskedConv1d):
    """A convolution in whole numbers.

    Args:
        conv: the convolution, in one group, whose weights are rounded.
        dtype: int8 or int16.
    """

    def __init__(self, conv: MaskedConv1d, dtype: torch.dtype = torch.int16) -> None:
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
        self.rounded = WEIGHTS[dtype](conv.weight, conv.bias)

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
    _exchange(model, torch.int16, torch.int16)


def _exchange(module: nn.Module, dtype: torch.dtype, conv_dtype: torch.dtype) -> None:
    """Exchange the children of a module for such of these dtypes, but of int8 where less is lost by it."""
    for name, child in list(module.named_children()):
        if isinstance(child, (Linear, PointwiseConv)) and min(child.weight.shape[:2]) >= NARROW:
            setattr(module, name, IntegerLinear(child, dtype))
        elif (
            (type(child) is MaskedConv1d or type(child) is ToomConv1d)
            and child.groups == 1
            and min(child.weight.shape[:2]) >= NARROW
        ):
            setattr(module, name, IntegerConv1d(child, conv_dtype))
        else:
            in_list, in_block = isinstance(child, nn.ModuleList), isinstance(child, ResNetBlock)
            _exchange(child, torch.int8 if in_list else dtype, torch.int8 if in_block else conv_dtype)


def is_int8(model: nn.Module) -> bool:
    """Tell whether a model has weights in whole numbers."""
    return any(isinstance(module, IntegerWeight) for module in model.modules())
