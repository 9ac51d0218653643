"""Convolutions over time that see zeros past each clip's own end."""

from typing import TypeVar

from torch import Tensor, nn

from xcodec.modules.lengths import zero_past_end

__all__ = ["MaskedConv1d", "MaskedConvTranspose1d", "conv_output_length"]

Length = TypeVar("Length", int, Tensor)


def conv_output_length(conv: nn.Conv1d, length: Length) -> Length:
    """How many steps a convolution makes of `length` steps, given as a number or as a tensor of integers."""
    assert isinstance(conv.padding[0], int), "padding is given in steps"
    span = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return (length + 2 * conv.padding[0] - span) // conv.stride[0] + 1


class MaskedConv1d(nn.Conv1d):
    """`torch.nn.Conv1d` with zero padding that begins where each clip ends, not where the batch ends."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        return super().forward(zero_past_end(x, lengths))


class MaskedConvTranspose1d(nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` that spreads nothing from past a clip's end into it."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Upsample `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        return super().forward(zero_past_end(x, lengths))
