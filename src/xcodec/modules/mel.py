"""Mel filters of height one, for comparing spectra; `fbank` has Kaldi's, for reading them."""

import torch
from torch import Tensor

__all__ = ["mel_filters"]


def mel_filters(bands: int, n_fft: int, sampling_rate: int) -> Tensor:
    """Triangles of height one, spaced evenly from 0 Hz to Nyquist on the HTK mel scale.

    Narrow triangles between two bins of the transform would be empty; they take the bin nearest to their centre.

    Args:
        bands: number of triangles.
        n_fft: transform length in samples.
        sampling_rate: in Hz.

    Returns:
        float32 of shape (n_fft // 2 + 1, bands).
    """
    nyquist = sampling_rate / 2
    mels = torch.linspace(0.0, 2595.0 * torch.log10(torch.tensor(1 + nyquist / 700.0)).item(), bands + 2)
    corners = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    frequencies = torch.linspace(0.0, nyquist, n_fft // 2 + 1)
    widths = corners.diff()
    slopes = corners[None, :] - frequencies[:, None]
    filters = torch.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]).clamp(min=0.0)
    nearest = (frequencies[:, None] - corners[None, 1:-1]).abs().argmin(dim=0)
    empty = filters.amax(dim=0) == 0
    filters[nearest[empty], empty] = 1.0
    return filters
