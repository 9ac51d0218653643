"""Normalisation over channels and time, whose moments may be summed up a stretch of time at a time."""

import torch
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps, zero_past_end

__all__ = ["MaskedGroupNorm", "TimeNorm"]


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalisation over channels and time whose statistics count each clip's valid steps only."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        if lengths is None:
            return super().forward(x)
        # (batch, channels, time) -> (batch, groups, channels_per_group, time)
        wide = x.float().unflatten(1, (self.num_groups, -1))
        valid = valid_steps(lengths, x.shape[2]).unsqueeze(1).unsqueeze(1)
        count = (lengths * (self.num_channels // self.num_groups)).view(-1, 1, 1, 1)
        mean = torch.where(valid, wide, 0.0).sum((2, 3), keepdim=True) / count
        centred = torch.where(valid, wide - mean, 0.0)
        variance = centred.square().sum((2, 3), keepdim=True) / count
        normal = (centred / (variance + self.eps).sqrt()).flatten(1, 2).to(x.dtype)
        return normal * self.weight.unsqueeze(1) + self.bias.unsqueeze(1)

    def moments(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Sum up a stretch of time; the moments of several stretches are the sum of theirs.

        Args:
            x: shape (batch, channels, time).
            lengths: valid steps of each clip, shape (batch,).

        Returns:
            The number, sum and sum of squares of what each group holds, (batch, 3, groups). In float64, in which no
            digit is lost that float32 has, even where the mean is far from zero.
        """
        batch, channels, time = x.shape
        wide = zero_past_end(x, lengths).to(torch.float64, copy=True)
        # (batch, channels, time) -> (batch, channels) -> (batch, groups)
        total = wide.sum(2).unflatten(1, (self.num_groups, -1)).sum(2)  # ONNX Runtime takes no -1 where time is 0
        squares = wide.square_().sum(2).unflatten(1, (self.num_groups, -1)).sum(2)
        steps = torch.full((batch,), time, device=x.device) if lengths is None else lengths
        count = (steps * (channels // self.num_groups))[:, None].to(total.dtype).expand_as(total)
        return torch.stack([count, total, squares], 1)

    def scale_and_shift(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Turn moments into what normalises, x * scale + shift: float32 (batch, channels, 1) each."""
        count, total, squares = moments.unbind(1)  # each (batch, groups)
        mean = total / count
        rate = ((squares / count - mean.square()).clamp_(min=0.0) + self.eps).rsqrt()
        per_group = self.num_channels // self.num_groups
        # (batch, groups) -> (batch, channels, 1)
        mean, rate = (each.repeat_interleave(per_group, 1)[..., None] for each in (mean, rate))
        scale = rate * self.weight[:, None]
        return scale.float(), (self.bias[:, None] - mean * scale).float()

    def scaled(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Apply what `scale_and_shift` gave to a stretch of time, (batch, channels, steps)."""
        return torch.addcmul(shift, x, scale).to(x.dtype)


class TimeNorm(MaskedGroupNorm):
    """Zero mean and unit variance of each channel over a clip's own steps: every channel is a group.

    Where the channels lie last in memory, they stay there.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, channels, eps)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        return self.scaled(x, *self.scale_and_shift(self.moments(x, lengths)))
