"""The block of Vocos (Siuzdak, 2023), a ConvNeXt one: a convolution over time per channel, then linear maps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.linear import Linear

__all__ = ["VocosBlock"]

TAPS = 7
EPS = 1e-6


class VocosBlock(nn.Module):
    """x + scale * linear2(gelu(linear1(norm(conv(x))))), in which only the convolution mixes steps.

    Args:
        channels: of input and output.
        intermediate_size: width between the linear maps.
        initial_scale: of every channel.
    """

    reach = TAPS // 2
    """How many steps to either side an output depends on."""

    def __init__(self, channels: int, intermediate_size: int, initial_scale: float = 1.0) -> None:
        super().__init__()
        self.conv = MaskedConv1d(channels, channels, kernel_size=TAPS, padding=TAPS // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.linear1 = Linear(channels, intermediate_size)
        self.linear2 = Linear(intermediate_size, channels)
        self.initial_scale = initial_scale
        self.scale = nn.Parameter(torch.full((channels,), initial_scale))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `x` of shape (batch, time, channels); `lengths` counts valid steps, shape (batch,)."""
        y = self.conv(x.transpose(1, 2), lengths).transpose(1, 2)
        return x + self.scale * self.linear2(F.gelu(self.linear1(self.norm(y))))
