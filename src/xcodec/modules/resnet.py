"""The residual convolution block around X-Codec2's transformer, and its normalisation over channels and time."""

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.lengths import zero_past_end

__all__ = ["MaskedGroupNorm", "ResNetBlock"]


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalisation over channels and time whose statistics count each clip's valid steps only."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        if lengths is None:
            return super().forward(x)
        # (batch, channels, time) -> (batch, groups, channels_per_group * time)
        batch, channels, time = x.shape
        count = (lengths * (channels // self.num_groups))[:, None, None]
        wide = zero_past_end(x.float(), lengths)
        mean = wide.reshape(batch, self.num_groups, -1).sum(-1, keepdim=True) / count
        centred = wide.reshape(batch, self.num_groups, -1) - mean
        deviation = zero_past_end(centred.view(batch, channels, time), lengths).view(batch, self.num_groups, -1)
        variance = deviation.square().sum(-1, keepdim=True) / count
        normal = (centred / (variance + self.eps).sqrt()).view(batch, channels, time).to(x.dtype)
        return normal * self.weight[:, None] + self.bias[:, None]


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

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        y = self.conv1(F.silu(self.norm1(x, lengths)), lengths)
        y = self.dropout(F.silu(self.norm2(y, lengths)))
        return x + self.conv2(y, lengths)
