"""The residual convolution block around X-Codec2's transformer, and its normalisation over channels and time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.tiles import steps_within, tiled, tiles

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

    def scale_and_shift(self, x: Tensor, lengths: Tensor | None, tile_size: int) -> tuple[Tensor, Tensor]:
        """Sum up what normalises `x` of shape (batch, channels, time): x * scale + shift.

        Mean and variance each take a pass over tiles of so many steps; they are summed in float64, so that they do not
        depend on the tiles.

        Returns:
            Two float32 tensors of shape (batch, channels, 1).
        """
        batch, channels, time = x.shape
        per_group = channels // self.num_groups
        own = torch.full((batch,), time, device=x.device) if lengths is None else lengths
        count = (own * per_group)[:, None]

        def mean_over_groups(power: int, centre: Tensor) -> Tensor:
            total = torch.zeros(batch, channels, device=x.device, dtype=torch.float64)
            for tile in tiles(time, tile_size):
                deviation = (x[..., tile.wanted].float() - centre).pow(power)
                total += zero_past_end(deviation, tile.lengths(lengths)).sum(-1)
            mean = total.unflatten(-1, (self.num_groups, -1)).sum(-1) / count
            return mean.repeat_interleave(per_group, 1)[..., None].float()  # (batch, groups) -> (batch, channels, 1)

        mean = mean_over_groups(1, torch.zeros((), device=x.device))
        scale = self.weight.float()[:, None] / (mean_over_groups(2, mean) + self.eps).sqrt()
        return scale, self.bias.float()[:, None] - mean * scale


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

    def forward(self, x: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Transform.

        Args:
            x: shape (batch, channels, time).
            lengths: valid steps of each clip, shape (batch,).
            max_bytes: for a tile of time; the result is then written over `x`. None computes all at once.
        """
        if tiled(max_bytes):
            return self._in_place(x, lengths, max_bytes)
        y = self.conv1(F.silu(self.norm1(x, lengths)), lengths)
        y = self.dropout(F.silu(self.norm2(y, lengths)))
        return x + self.conv2(y, lengths)

    def _in_place(self, x: Tensor, lengths: Tensor | None, max_bytes: int) -> Tensor:
        batch, channels, time = x.shape
        size = steps_within(max_bytes, 6 * 4 * batch * channels, halo=1)  # six tensors of float32
        y = torch.empty_like(x)
        scale, shift = self.norm1.scale_and_shift(x, lengths, size)
        for tile in tiles(time, size, before=1, after=1):
            normal = F.silu(torch.addcmul(shift, x[..., tile.read], scale), inplace=True).to(x.dtype)
            y[..., tile.wanted] = self.conv1(normal, tile.lengths(lengths))[..., tile.kept]
        scale, shift = self.norm2.scale_and_shift(y, lengths, size)
        for tile in tiles(time, size, before=1, after=1):
            normal = F.silu(torch.addcmul(shift, y[..., tile.read], scale), inplace=True).to(x.dtype)
            x[..., tile.wanted] += self.conv2(self.dropout(normal), tile.lengths(lengths))[..., tile.kept]
        return x
