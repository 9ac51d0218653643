"""The block of Vocos (Siuzdak, 2023), a ConvNeXt one: a convolution over time per channel, then linear maps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import as_many_steps, conv_ahead
from xcodec.modules.linear import Linear

__all__ = ["AROUND", "EPS", "TAPS", "VocosBlock"]

TAPS = 7
AROUND = TAPS // 2  # steps to either side that a convolution sees which looks as far ahead as back
EPS = 1e-6


class VocosBlock(nn.Module):
    """x + scale * linear2(gelu(linear1(norm(conv(x))))), in which only the convolution mixes steps.

    Args:
        channels: of input and output.
        intermediate_size: width between the linear maps.
        initial_scale: of every channel.
        lookahead: how many steps after its own an output depends on, at most half of the convolution's taps; the others
            lie before.
    """

    def __init__(
        self, channels: int, intermediate_size: int, initial_scale: float = 1.0, lookahead: int = AROUND
    ) -> None:
        super().__init__()
        self.conv = conv_ahead(channels, channels, TAPS, lookahead, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.linear1 = Linear(channels, intermediate_size)
        self.linear2 = Linear(intermediate_size, channels)
        self.initial_scale = initial_scale
        self.scale = nn.Parameter(torch.full((channels,), initial_scale))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `x` of shape (batch, time, channels); `lengths` counts valid steps, shape (batch,)."""
        y = as_many_steps(self.conv, x.transpose(1, 2), lengths).transpose(1, 2)
        return x + self.scale * self.linear2(F.gelu(self.linear1(self.norm(y))))
