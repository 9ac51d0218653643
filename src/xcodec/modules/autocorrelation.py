"""How alike a signal is to itself a period later, for periods of each pitch there may be."""

import math

import torch
from torch import Tensor

from xcodec.modules.fbank import FramedPower, povey_window

__all__ = ["Autocorrelation"]

HARMONICS = (5.0, 9.0)  # up to which all of a pitch's are heard, and from which on none
SILENCE = 1.0  # of the sum of a power spectrum of 16-bit samples; only digital silence has as little


class Autocorrelation(FramedPower):
    """The normalized autocorrelation of windowed frames, at the periods of fundamental frequencies.

    It is divided by the window's own, so that a periodic signal has 1 at its period whatever the window (Boersma,
    1993), and is exact between samples, since it is taken of the power spectrum. Each pitch hears its first few
    harmonics only: with more, a peak would be narrower than pitches are apart. Pre-emphasis weakens what formants do.

    Args:
        sampling_rate: in Hz.
        num_pitches: how many there are, spaced evenly by their logarithms.
        lowest: the first, in Hz.
        highest: the last.
        frame_length: samples in a window, some periods of the lowest.
        frame_shift: samples between windows.
    """

    def __init__(
        self,
        sampling_rate: int,
        num_pitches: int,
        lowest: float,
        highest: float,
        frame_length: int,
        frame_shift: int,
    ) -> None:
        # Twice the frame, or more: so padded with zeros, it does not wrap around.
        fft_length = 2 << (frame_length - 1).bit_length()
        octaves = torch.linspace(0.0, math.log2(highest / lowest), num_pitches, dtype=torch.float64, device="cpu")
        periods = sampling_rate / (lowest * 2.0**octaves)
        filters = periodic_filters(periods, povey_window(frame_length), fft_length)
        super().__init__(frame_length, frame_shift, fft_length, num_pitches, filters)

    def of_power(self, power: Tensor, filters: Tensor) -> Tensor:
        """Compute the autocorrelations of power spectra: (batch, frames, frequencies) to (batch, frames, pitches)."""
        alike, energy = (power @ filters).chunk(2, -1)
        return alike / (energy + SILENCE)


def periodic_filters(periods: Tensor, window: Tensor, fft_length: int) -> Tensor:
    """Compute what takes power spectra to their autocorrelations and to the energies that these are relative to.

    Args:
        periods: in samples, float64 (periods,) on the CPU.
        window: of the frames, float64 (samples,).
        fft_length: points of the spectra.

    Returns:
        float64 (fft_length / 2 + 1, 2 * periods).
    """
    frequencies = torch.arange(fft_length // 2 + 1, dtype=torch.float64, device="cpu") / fft_length
    cycles = frequencies[:, None] * periods
    waves = (2 * math.pi * cycles).cos()
    counts = torch.full_like(frequencies, 2.0)[:, None]  # how often each is in a whole spectrum
    counts[[0, -1]] = 1.0
    spectrum = torch.fft.rfft(window, fft_length).abs().square()[:, None]
    of_window = (counts * spectrum * waves).sum(0) / (counts * spectrum).sum(0)
    first, last = HARMONICS
    heard = counts * (0.5 + 0.5 * (math.pi * ((cycles - first) / (last - first)).clamp(0.0, 1.0)).cos())
    return torch.cat([heard * waves / of_window, heard], 1)
