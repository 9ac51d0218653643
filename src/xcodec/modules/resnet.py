"""The residual convolution block around X-Codec2's transformer."""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.norm import MaskedGroupNorm
from xcodec.modules.time import WHOLE, Time

__all__ = ["ResNetBlock"]


class ResNetBlock(nn.Module):
    """Twice GroupNorm, SiLU, convolution of 3 taps; added to the input.

    Args:
        channels: a multiple of 32.
        dropout: probability of dropping an activation before the second convolution, in training.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = MaskedGroupNorm(32, channels, eps=1e-6)
        self.conv1 = MaskedConv1d(channels, channels, kernel_size=3, padding=1)
        self.norm2 = MaskedGroupNorm(32, channels, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = MaskedConv1d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, channels, time), which may be overwritten."""
        width = x.shape[1]

        def first(part: Tensor, lengths: Tensor | None) -> Tensor:
            return self.conv1(F.silu(part), lengths)

        def second(part: Tensor, lengths: Tensor | None) -> Tensor:
            return self.conv2(self.dropout(F.silu(part)), lengths)

        y = time.map(first, time.normalized(self.norm1, x), reach=1, dim=2, width=width)
        return time.add(second, time.normalized(self.norm2, y), onto=x, reach=1, dim=2, width=width)
