"""Convolution over time that sees zeros past each clip's own end."""

from torch import Tensor, nn

from xcodec.modules.lengths import zero_past_end

__all__ = ["MaskedConv1d"]


class MaskedConv1d(nn.Conv1d):
    """`torch.nn.Conv1d` with zero padding that begins where each clip ends, not where the batch ends."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve `x` of shape (batch, in_channels, time); `lengths` counts valid input steps, shape (batch,)."""
        return super().forward(zero_past_end(x, lengths))
