"""The multi-period discriminator of HiFi-GAN (Kong et al., 2020): a waveform folded at several periods.

In the width of X-Codec-2.0, a quarter of HiFi-GAN's: 16 channels that grow fourfold up to 512.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from xcodec.training.discriminators.feature_maps import FeatureMaps

__all__ = ["MultiPeriodDiscriminator"]

STRIDES = (3, 3, 3, 3, 1)
SLOPE = 0.1


class PeriodDiscriminator(nn.Module):
    """Convolutions along every `period`-th sample."""

    def __init__(self, period: int, channels: int, growth: int, max_channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(min(channels * growth**i, max_channels) for i in range(len(STRIDES)))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(width, wider, (5, 1), (stride, 1), padding=(2, 0)))
            for width, wider, stride in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Judge `audio` of shape (clips, samples): the outputs of all layers."""
        audio = F.pad(audio[:, None], (0, -audio.shape[-1] % self.period), "reflect")
        x = audio.unflatten(-1, (-1, self.period))  # -> (clips, 1, samples / period, period)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
            features.append(x)
        return [*features, self.score(x)]


class MultiPeriodDiscriminator(nn.Module):
    """One `PeriodDiscriminator` for each period.

    Args:
        periods: in samples; primes, so that they overlap as little as can be.
        channels: after the first convolution.
        growth: factor of the channels from one convolution to the next.
        max_channels: where growth ends.
    """

    def __init__(
        self,
        periods: Sequence[int] = (2, 3, 5, 7, 11),
        channels: int = 16,
        growth: int = 4,
        max_channels: int = 512,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(PeriodDiscriminator(period, channels, growth, max_channels) for period in periods)

    def forward(self, audio: Tensor) -> FeatureMaps:
        """Judge `audio` of shape (clips, samples)."""
        return [part(audio) for part in self.parts]
