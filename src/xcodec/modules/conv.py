"""Convolutions over time that see zeros past each clip's own end, in the layout their input comes in."""

from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import zero_past_end

__all__ = ["MaskedConv1d", "MaskedConvTranspose1d", "channels_last", "conv_output_length", "is_channels_last"]

Length = TypeVar("Length", int, Tensor)


def conv_output_length(conv: nn.Conv1d, length: Length) -> Length:
    """How many steps a convolution makes of `length` steps, given as a number or as a tensor of integers."""
    assert isinstance(conv.padding[0], int), "padding is given in steps"
    span = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return (length + 2 * conv.padding[0] - span) // conv.stride[0] + 1


def is_channels_last(x: Tensor) -> bool:
    """Whether `x` of shape (batch, channels, time) lies in memory as (batch, time, channels)."""
    return x.shape[1] > 1 and x.stride(1) == 1 and x.stride(2) == x.shape[1]


def channels_last(x: Tensor) -> Tensor:
    """Lay `x` of shape (batch, channels, time) in memory as (batch, time, channels); the shape stays."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


class MaskedConv1d(nn.Conv1d):
    """`torch.nn.Conv1d` with zero padding that begins where each clip ends, not where the batch ends.

    On the CPU a channels-last input gives a channels-last output.
    """

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        x = zero_past_end(x, lengths)
        if x.device.type != "cpu" or not is_channels_last(x):
            return super().forward(x)
        # conv1d would copy its input to channels-first; as an image of height 1 it stays as it is, and is faster.
        # A kernel of one tap says dilation 2, which means nothing to it: one thread would run a plain 1 x 1 slowly.
        y = F.conv2d(
            x[:, :, None],
            self.weight[:, :, None],
            self.bias,
            (1, *self.stride),
            (0, int(self.padding[0])),
            (2 if self.kernel_size == (1,) else 1, *self.dilation),
            self.groups,
        )
        return y[:, :, 0]


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
