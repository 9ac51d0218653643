"""The STFT loss on a signal's bands (Yang et al., Multi-band MelGAN, 2020), each at its own reduced rate.

The bands come from a pseudo quadrature mirror filter bank: one low-pass prototype, moved by cosines to each band.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.training.losses.stft import SUB_BAND, Resolution, STFTLoss

__all__ = ["FilterBank", "SubBandLoss"]

BANDS = 6  # as X-Codec v1 has them
TAPS = 62
KAISER_BETA = 9.0


def prototype_filter(bands: int, taps: int = TAPS, beta: float = KAISER_BETA) -> Tensor:
    """Design the Kaiser-windowed low pass whose shifted copies add up flattest (Lin and Vaidyanathan, 1998).

    Its cutoff is searched for so that the filter's autocorrelation vanishes at multiples of twice the number of bands,
    which is what makes the bands add up to the signal.

    Returns:
        float64 of shape (taps + 1,).
    """

    def low_pass(cutoff: float) -> Tensor:
        time = torch.arange(taps + 1, dtype=torch.float64) - taps / 2
        window = torch.kaiser_window(taps + 1, periodic=False, beta=beta, dtype=torch.float64)
        return cutoff * torch.sinc(cutoff * time) * window

    def ripple(cutoff: float) -> float:
        filter_ = low_pass(cutoff)
        correlation = F.conv1d(filter_[None, None], filter_[None, None], padding=taps)[0, 0, taps:]
        return float(correlation[2 * bands :: 2 * bands].abs().max() / correlation[0])

    # In units of half the sampling rate, from a band's half width on; far wider filters would pass all bands.
    cutoffs = [(0.5 + 0.2 * i / 1000) / bands for i in range(1001)]
    return low_pass(min(cutoffs, key=ripple))


class FilterBank(nn.Module):
    """Splits a signal into bands of equal width, and puts them together again."""

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, bands: int = BANDS) -> None:
        super().__init__()
        self.bands = bands
        prototype = prototype_filter(bands)
        time = torch.arange(TAPS + 1, dtype=torch.float64) - TAPS / 2
        band = torch.arange(bands, dtype=torch.float64)[:, None]
        carrier = (2 * band + 1) * math.pi / (2 * bands) * time
        phase = (1 - 2 * (band % 2)) * math.pi / 4  # alternates, so that neighbouring bands' aliases cancel
        self.register_buffer("analysis", (2 * prototype * (carrier + phase).cos()).float()[:, None], persistent=False)
        self.register_buffer("synthesis", (2 * prototype * (carrier - phase).cos()).float()[None], persistent=False)

    def split(self, audio: Tensor) -> Tensor:
        """(clips, samples) -> (clips, bands, samples / bands)."""
        return F.conv1d(audio[:, None], self.analysis, stride=self.bands, padding=TAPS // 2)

    def join(self, bands: Tensor) -> Tensor:
        """Undo it, up to the filters' ripple: (clips, bands, steps) -> (clips, bands * steps)."""
        scattered = bands.new_zeros(*bands.shape, self.bands)
        scattered[..., 0] = bands * self.bands
        return F.conv1d(scattered.flatten(2), self.synthesis, padding=TAPS // 2)[:, 0]


class SubBandLoss(nn.Module):
    """The STFT loss of each band, averaged."""

    def __init__(self, bands: int = BANDS, resolutions: tuple[Resolution, ...] = SUB_BAND) -> None:
        super().__init__()
        self.filters = FilterBank(bands)
        self.distance = STFTLoss(resolutions)

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Compare (clips, samples) with (clips, samples)."""
        return self.distance(self.filters.split(audio).flatten(0, 1), self.filters.split(target).flatten(0, 1))
