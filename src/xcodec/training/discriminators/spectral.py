"""The spectral discriminator of X-Codec-2.0: images of magnitudes at eight resolutions.

Its transform lengths, of no common factors, were chosen for decoders that end in an inverse transform (Parker et al.,
"Scaling Transformers for Low-Bitrate High-Quality Speech Coding", 2024), where a judge of
the same resolution would not see the seams between frames.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from xcodec.training.discriminators.feature_maps import FeatureMaps

__all__ = ["SpectralDiscriminator", "magnitudes"]

SLOPE = 0.2
FLOOR = 1e-7  # of a squared magnitude: the root's gradient stays finite in silence


def magnitudes(audio: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """STFT magnitudes in float32: (clips, samples) -> (clips, n_fft // 2 + 1, frames)."""
    window = torch.hann_window(n_fft, device=audio.device)
    transform = torch.stft(audio.float(), n_fft, hop_length, window=window, return_complex=True)
    return (transform.real.square() + transform.imag.square()).clamp(min=FLOOR).sqrt()


class ResolutionDiscriminator(nn.Module):
    """Two-dimensional convolutions over the magnitudes of one resolution, whose frames overlap by half."""

    def __init__(self, n_fft: int, channels: int, max_channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        widths = [channels, *(min(channels * 2**i, max_channels) for i in range(1, 5))]
        self.convs = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(1, widths[0], 5, stride=2, padding=2)),
                *(
                    weight_norm(nn.Conv2d(width, wider, 5, stride=2, padding=2))
                    for width, wider in pairwise(widths[:4])
                ),
                weight_norm(nn.Conv2d(widths[3], widths[4], 3, padding=1)),
            ]
        )
        self.score = weight_norm(nn.Conv2d(widths[4], 1, 3, padding=1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        """Judge `audio` of shape (clips, samples): the outputs of all layers."""
        x = magnitudes(audio, self.n_fft, self.n_fft // 2)[:, None]
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
            features.append(x)
        return [*features, self.score(x)]


class SpectralDiscriminator(nn.Module):
    """One `ResolutionDiscriminator` for each transform length.

    Args:
        fft_sizes: in samples.
        channels: after the first convolution; each of the next four doubles them.
        max_channels: where doubling ends.
    """

    def __init__(self, fft_sizes: Sequence[int], channels: int = 32, max_channels: int = 512) -> None:
        super().__init__()
        self.parts = nn.ModuleList(ResolutionDiscriminator(size, channels, max_channels) for size in fft_sizes)

    def forward(self, audio: Tensor) -> FeatureMaps:
        """Judge `audio` of shape (clips, samples)."""
        return [part(audio) for part in self.parts]
