"""Convolutions over time that see zeros past each clip's own end, in the layout their input comes in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import zero_past_end
from xcodec.modules.linear import onednn_linear
from xcodec.modules.packing import (
    EVEN_STEPS,
    FEWEST_STEPS,
    HAS_AVX2,
    HAS_AVX512,
    PACKED,
    TYPICAL_ROWS,
    TYPICAL_STEPS,
    Packable,
)

__all__ = [
    "MaskedConv1d",
    "MaskedConvTranspose1d",
    "as_many_steps",
    "channels_last",
    "conv_ahead",
    "conv_output_length",
    "conv_reach",
    "is_channels_last",
]

Length = TypeVar("Length", int, Tensor)

MANY_CHANNELS = 256  # of input, from which on windows that are copied are quicker than a strided convolution


def conv_output_length(conv: nn.Conv1d, length: Length) -> Length:
    """Compute how many steps a convolution makes of `length` steps, given as a number or as a tensor of integers."""
    assert isinstance(conv.padding[0], int), "padding is given in steps"
    span = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return (length + 2 * conv.padding[0] - span) // conv.stride[0] + 1


def is_channels_last(x: Tensor) -> bool:
    """Tell whether `x` of shape (batch, channels, time) lies in memory as (batch, time, channels)."""
    return x.shape[1] > 1 and x.stride(1) == 1 and x.stride(2) == x.shape[1]


def channels_last(x: Tensor) -> Tensor:
    """Lay `x` of shape (batch, channels, time) in memory as (batch, time, channels); the shape stays."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


class MaskedConv1d(nn.Conv1d, Packable):
    """`torch.nn.Conv1d` with zero padding that begins where each clip ends, not where the batch ends.

    On the CPU a channels-last input gives a channels-last output, and with a packed weight any input does.

    The order in which oneDNN reads a weight depends on the steps of output, and it puts a packed weight into another
    order at every call, which takes far longer than the call. So input is lengthened by zeros until it is read as it
    lies. With AVX-512 output channels are blocked by 48 where that divides them, but by 32 for some 100 steps and
    fewer. With AVX2 they are blocked by 24, but by 16 for some numbers of steps, of which none is a multiple of 4.

    Of one tap it is a linear map, whose packed weight is read as it lies for any number of steps. Of many input
    channels and strides by which windows overlap by no more than half, it is packed as a map of its windows, which are
    copied side by side.

    Attributes:
        fewest_steps: of output that the packed weight is read for.
        even_steps: the packed weight is read for multiples of so many.
    """

    fewest_steps: int = 1
    even_steps: int = 1

    def pack(self) -> None:
        """`Packable.pack`."""
        super().pack()
        if self._is_map:
            return
        self.fewest_steps = FEWEST_STEPS if HAS_AVX512 and self.out_channels % 48 == 0 else 1
        self.even_steps = EVEN_STEPS if HAS_AVX2 else 1

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        x = zero_past_end(x, lengths)
        if self.use_packed_or_unpack(x):
            if torch.compiler.is_compiling():
                steps = conv_output_length(self, x.shape[2])
                return opaque_packed_conv(x, self.number, self.out_channels, steps)
            return self.packed_conv(x)
        return self.plain_conv(x)

    def plain_conv(self, x: Tensor) -> Tensor:
        """Convolve `x` by the plain weight, in the layout that it comes in."""
        weight = self.plain_weight
        if x.device.type != "cpu" or not is_channels_last(x):
            return self._conv_forward(x, weight, self.bias)
        # conv1d would copy its input to channels-first; as an image of height 1 it stays as it is, and is faster.
        # A kernel of one tap says dilation 2, which means nothing to it: one thread would run a plain 1 x 1 slowly.
        y = F.conv2d(
            x[:, :, None],
            weight[:, :, None],
            self.bias,
            (1, *self.stride),
            (0, int(self.padding[0])),
            (2 if self.kernel_size == (1,) else 1, *self.dilation),
            self.groups,
        )
        return y[:, :, 0]

    def packed_conv(self, x: Tensor) -> Tensor:
        """Convolve `x`, which it takes, by the packed weight."""
        if self._is_map:
            return onednn_linear(self._windows(x), self.weight, self.bias).mT
        steps = conv_output_length(self, x.shape[2])
        read = self.steps_read(steps)
        if steps < read:
            longer = x.new_zeros(x.shape[0], x.shape[2] + (read - steps) * self.stride[0], x.shape[1])
            longer[:, : x.shape[2]] = x.mT
            x = longer.mT
        image = x[:, :, None]
        y = torch.ops.mkldnn._convolution_pointwise(
            image, self.weight, self.bias, *self._as_image, self.groups, "none", [], ""
        )[:, :, 0]
        return channels_last(y[:, :, :steps]) if steps < read else y

    @contextmanager
    def lengthening_nothing(self) -> Iterator[None]:
        """Read the packed weight for each input as long as it is: slower, but no zeros are computed with."""
        fewest_steps, even_steps = self.fewest_steps, self.even_steps
        self.fewest_steps = self.even_steps = 1
        try:
            yield
        finally:
            self.fewest_steps, self.even_steps = fewest_steps, even_steps

    def steps_read(self, steps: int) -> int:
        """Return for how many steps of output the packed weight is read as it lies: `steps`, or a few more."""
        if steps >= TYPICAL_STEPS:
            return steps
        return max(self.fewest_steps, -(-steps // self.even_steps) * self.even_steps)

    @property
    def _as_image(self) -> tuple[tuple[int, ...], ...]:
        """Padding, stride and dilation of an image of height 1."""
        return (0, int(self.padding[0])), (1, *self.stride), (1, *self.dilation)

    def packed(self) -> Tensor:
        """Return the weight in oneDNN's order, as an image's or as a map's."""
        if self._is_map:
            return torch.ops.mkldnn._reorder_linear_weight(self.weight.mT.flatten(1).contiguous(), TYPICAL_ROWS)
        typical = (1, self.in_channels, 1, self.stride[0] * TYPICAL_STEPS)
        weight = self.weight[:, :, None].contiguous()
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *self._as_image, self.groups, typical)

    def unpacked(self) -> Tensor:
        """Undo `packed`."""
        dense = self.weight.to_dense()
        return dense.unflatten(1, (*self.kernel_size, -1)).mT.contiguous() if self._is_map else dense[:, :, 0]

    @property
    def _is_map(self) -> bool:
        """Whether the packed weight is a linear map's: of one step, or of windows of many channels, by strides."""
        if self.groups > 1:
            return False
        if (self.kernel_size, self.stride, self.padding) == ((1,), (1,), (0,)):
            return True
        is_strided = self.stride[0] > 1 and self.dilation == (1,) and self.kernel_size[0] <= 2 * self.stride[0]
        return is_strided and self.in_channels >= MANY_CHANNELS

    def _windows(self, x: Tensor) -> Tensor:
        """Put what each step of output depends on side by side: (batch, channels, time) to (batch, steps, numbers)."""
        steps = x.mT
        if self.kernel_size == self.stride == (1,):
            return steps
        if padding := int(self.padding[0]):
            steps = x.new_zeros(x.shape[0], x.shape[2] + 2 * padding, x.shape[1])
            steps[:, padding:-padding] = x.mT
        return steps.contiguous().unfold(1, self.kernel_size[0], self.stride[0]).mT.flatten(2)


@torch.library.custom_op("xcodec::packed_conv", mutates_args=())
def opaque_packed_conv(x: Tensor, number: Tensor, out_channels: int, steps: int) -> Tensor:  # noqa: ARG001
    """`MaskedConv1d.packed_conv` for compiled graphs."""
    module = PACKED[int(number)]
    assert isinstance(module, MaskedConv1d)
    return module.packed_conv(x)


@opaque_packed_conv.register_fake
def _(x: Tensor, number: Tensor, out_channels: int, steps: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(x.shape[0], steps, out_channels).transpose(1, 2)


def conv_ahead(in_channels: int, out_channels: int, taps: int, lookahead: int, groups: int = 1) -> MaskedConv1d:
    """Make a convolution for `as_many_steps`, by which an output sees its own step, some after it, and some before.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        taps: of the kernel.
        lookahead: how many of them lie after an output's own step, at most half.
        groups: as for `torch.nn.Conv1d`.
    """
    return MaskedConv1d(in_channels, out_channels, taps, padding=taps - 1 - lookahead, groups=groups)


def as_many_steps(conv: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Convolve `x` of shape (batch, in_channels, time), whose valid steps `lengths` counts, to as many steps."""
    y: Tensor = conv(x, lengths)
    return y[:, :, : x.shape[2]]


def conv_reach(conv: nn.Conv1d) -> tuple[int, int]:
    """How many steps before and after its own an output of a convolution with stride 1 depends on."""
    before = int(conv.padding[0])
    return before, conv.dilation[0] * (conv.kernel_size[0] - 1) - before


class MaskedConvTranspose1d(nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` that spreads nothing from past a clip's end into it, in the layout of its input."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Upsample `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        x = zero_past_end(x, lengths)
        if x.device.type != "cpu" or not is_channels_last(x):
            return super().forward(x)
        y = F.conv_transpose2d(  # as in MaskedConv1d
            x[:, :, None],
            self.weight[:, :, None],
            self.bias,
            (1, *self.stride),
            (0, int(self.padding[0])),
            (0, *self.output_padding),
            self.groups,
            (1, *self.dilation),
        )
        return y[:, :, 0]
