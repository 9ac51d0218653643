"""A look ahead before causal layers: each step learns, once, of the few that come after it."""

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.linear import Linear

__all__ = ["LookAhead"]


class LookAhead(nn.Module):
    """Add what a depthwise convolution over a step and those after it, an activation and a linear layer make of them.

    Args:
        channels: width of the input and output.
        steps: how many steps after its own one sees, at least 1.
    """

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = MaskedConv1d(channels, channels, kernel_size=steps + 1, groups=channels, bias=False)
        self.proj = Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Look ahead in `x` of shape (batch, time, channels); past a clip's end are zeros.

        Args:
            x: the input.
            lengths: valid steps of each clip, shape (batch,).
        """
        # (batch, time, channels) -> (batch, channels, time) -> (batch, time, channels)
        seen = self.conv(F.pad(x, (0, 0, 0, self.steps)).transpose(1, 2), lengths).transpose(1, 2)
        ahead: Tensor = self.proj(F.silu(seen))
        return x + ahead
