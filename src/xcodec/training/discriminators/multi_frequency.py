"""The multi-frequency discriminator of X-Codec v1: mel spectra, linear and in decibels, at six resolutions.

After the STFT discriminators of HiFi-Codec (Yang et al., 2023) and UnivNet (Jang et al., 2021).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from xcodec.errors import InputError
from xcodec.modules.mel import mel_filters
from xcodec.training.discriminators.feature_maps import FeatureMaps
from xcodec.training.discriminators.spectral import magnitudes

__all__ = ["MultiFrequencyDiscriminator"]

STRIDES = (1, 2, 1, 2, 1, 2)
SLOPE = 0.2
RANGE_DB = 100.0  # what lies so far below the reference is 0, the reference level 1
REFERENCE_DB = 20.0


class FrequencyDiscriminator(nn.Module):
    """Two-dimensional convolutions over the mel spectrum of one resolution, of four hops to a frame."""

    filters: Tensor

    def __init__(self, hop_length: int, channels: int, sampling_rate: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        bins = 2 * hop_length + 1
        self.register_buffer("filters", mel_filters(bins, 4 * hop_length, sampling_rate), persistent=False)
        widths = [2, *(channels // 2 ** (5 - i) for i in range(6))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(width, wider, 3, stride, padding=1, padding_mode="reflect"))
            for width, wider, stride in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, 3, padding=1, padding_mode="reflect"))

    def spectrum(self, audio: Tensor) -> Tensor:
        """Compute the two images: (clips, samples) -> (clips, 2, bins, frames), linear and in dB scaled to 0..1."""
        n_fft = 4 * self.hop_length
        linear = magnitudes(audio, n_fft, self.hop_length) * n_fft**-0.5
        linear = (linear.transpose(1, 2) @ self.filters).transpose(1, 2)
        decibels = 20 * linear.clamp(min=1e-7).log10() - REFERENCE_DB
        return torch.stack([linear, ((decibels + RANGE_DB) / RANGE_DB).clamp(0, 1)], 1)

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Judge `audio` of shape (clips, samples): the outputs of all layers."""
        with torch.autocast(audio.device.type, enabled=False):
            x = self.spectrum(audio.float())
        features: list[Tensor] = []
        for conv in self.convs:
            x = conv(F.leaky_relu(x, SLOPE) if features else x)
            features.append(x)
        return [*features, self.score(F.leaky_relu(x, SLOPE))]


class MultiFrequencyDiscriminator(nn.Module):
    """One `FrequencyDiscriminator` for each resolution.

    Args:
        hop_lengths: in samples; frames are four times as long.
        channels: of each one's last layer, multiples of 32; the first has a thirty-second of them.
        sampling_rate: in Hz.
    """

    def __init__(
        self,
        hop_lengths: Sequence[int] = (32, 64, 128, 256, 512, 1024),
        channels: Sequence[int] = (64, 128, 256, 512, 512, 512),
        sampling_rate: int = 16_000,
    ) -> None:
        super().__init__()
        if len(hop_lengths) != len(channels) or any(width % 32 for width in channels):
            raise InputError(
                f"hop_lengths={list(hop_lengths)}, channels={list(channels)}: expected one multiple of 32 for each hop"
            )
        self.parts = nn.ModuleList(
            FrequencyDiscriminator(hop, width, sampling_rate) for hop, width in zip(hop_lengths, channels, strict=True)
        )

    def forward(self, audio: Tensor) -> FeatureMaps:
        """Judge `audio` of shape (clips, samples)."""
        return [part(audio) for part in self.parts]
