"""The multi-resolution STFT loss (Yamamoto et al., 2020): spectral convergence and the difference of log magnitudes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["FULL_BAND", "SUB_BAND", "Resolution", "STFTLoss"]

FLOOR = 1e-7  # of a squared magnitude


class Resolution(NamedTuple):
    """An STFT, all lengths in samples."""

    n_fft: int
    window: int
    hop_length: int


FULL_BAND = (Resolution(512, 480, 120), Resolution(1024, 960, 240), Resolution(2048, 1200, 300))
"""Of X-Codec v1, for 16 kHz."""
SUB_BAND = (Resolution(128, 80, 20), Resolution(256, 120, 40), Resolution(256, 200, 50))
"""Of X-Codec v1, for each of six bands of 16 kHz audio."""


class STFTLoss(nn.Module):
    """The distance between the spectra of two signals, averaged over resolutions."""

    def __init__(self, resolutions: tuple[Resolution, ...] = FULL_BAND) -> None:
        super().__init__()
        self.resolutions = resolutions

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Compare (clips, samples) with (clips, samples).

        Returns:
            the sum of spectral convergence, |difference| / |target| of all clips' magnitudes together, and the mean
            absolute difference of their natural logarithms.
        """
        losses = []
        for resolution in self.resolutions:
            given, wanted = _magnitudes(audio, resolution), _magnitudes(target, resolution)
            convergence = torch.linalg.vector_norm(wanted - given) / torch.linalg.vector_norm(wanted)
            losses.append(convergence + (given.log() - wanted.log()).abs().mean())
        return torch.stack(losses).mean()


def _magnitudes(audio: Tensor, resolution: Resolution) -> Tensor:
    window = torch.hann_window(resolution.window, device=audio.device)
    transform = torch.stft(
        audio, resolution.n_fft, resolution.hop_length, resolution.window, window, return_complex=True
    )
    return (transform.real.square() + transform.imag.square()).clamp(min=FLOOR).sqrt()
