"""The convolutional unit of ConvNeXt V2 (Woo et al., 2023) over time, with Snake and a norm over the whole clip."""

import torch
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.linear import Linear
from xcodec.modules.snake import Snake, at_least_float32

__all__ = ["ConvNeXtUnit", "GlobalResponseNorm"]

EPS = torch.finfo(torch.float32).eps
EXPANSION = 4  # of the channels inside a unit


class GlobalResponseNorm(nn.Module):
    """x + gamma * gain * x + beta, whose gain is g / (g + eps), where g is the Euclidean norm of all of a clip.

    ConvNeXt V2 divides each channel's norm by their mean; here there is one norm, of all channels, so that the gain is
    1 but for a clip in which next to nothing happens: exactly 1 in float32 from a norm of 4 on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, gain: Tensor) -> Tensor:
        """Normalise `x` of shape (batch, time, channels) by a gain of each clip, (batch, 1, 1)."""
        return torch.addcmul(self.beta, x, (1 + self.gamma * gain).to(x.dtype))

    @staticmethod
    def gain(energy: Tensor) -> Tensor:
        """Compute the gain by the sum of a clip's squares, of any shape."""
        norm = energy.sqrt().float()
        return norm / (norm + EPS)


class ConvNeXtUnit(nn.Module):
    """Depthwise convolution of 7 taps, then at four times the channels Snake and a norm; added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = MaskedConv1d(channels, channels, kernel_size=7, padding=3, groups=channels)
        self.fc1 = Linear(channels, EXPANSION * channels)
        self.snake = Snake(EXPANSION * channels, EPS)
        self.norm = GlobalResponseNorm(EXPANSION * channels)
        self.fc2 = Linear(EXPANSION * channels, channels)

    def forward(self, x: Tensor, gain: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Transform a stretch of a clip.

        Args:
            x: shape (batch, channels, time).
            gain: of the norm, (batch, 1, 1), which the whole clip decides.
            lengths: valid steps of each clip, shape (batch,).

        Returns:
            The shape of `x`; and the squares that the gain is decided by, summed over channels, (batch, time).
        """
        wide, energy = self.widened(x, lengths)
        return self.added(x, wide, gain), energy

    def widened(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute what the norm reads, (batch, time, wide channels), and the squares that decide its gain."""
        wide = self.fc1(self.conv(x, lengths).transpose(1, 2))  # -> (batch, time, channels)
        wide = self.snake(wide.transpose(1, 2)).transpose(1, 2)
        return wide, torch.linalg.vector_norm(at_least_float32(wide.detach()), dim=2).square()

    def added(self, x: Tensor, wide: Tensor, gain: Tensor) -> Tensor:
        """Add to `x` what comes of `widened` by a gain."""
        return x + self.fc2(self.norm(wide, gain)).transpose(1, 2)
