"""The loss of compressed spectra (Ephrat et al., 2018; Braun and Tashev, 2020): magnitudes to a power, with phases.

Where a codec has bits for phases this asks for them, most where most energy is; the power keeps what is quiet in view.
"""

import torch
from torch import Tensor

__all__ = ["compressed_loss"]

POWER = 0.5
FLOOR = 1e-5  # of a magnitude, where a full sine is about 1/2
LEAST_POWER = 1e-5  # of compressed spectra, that distances are relative to
WINDOWS = (256, 1024)  # samples; each hops by a quarter of itself


def compressed_loss(audio: Tensor, target: Tensor) -> Tensor:
    """Compute the mean square distance of compressed spectra, relative to the target's mean square.

    Args:
        audio: (clips, samples).
        target: (clips, samples).

    Returns:
        the mean over two windows of the distance of complex spectra and that of their magnitudes; silence has 2.
    """
    losses = []
    for window in WINDOWS:
        given, given_size = _compressed(audio, window)
        wanted, wanted_size = _compressed(target, window)
        scale = wanted_size.square().mean() + LEAST_POWER
        distance = (given - wanted).square().sum(-1).mean() + (given_size - wanted_size).square().mean()
        losses.append(distance / scale)
    return torch.stack(losses).mean()


def _compressed(audio: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Compute compressed spectra, their parts in the last dimension, and their magnitudes."""
    taper = torch.hann_window(window, device=audio.device)
    spectrum = torch.stft(audio, window, window // 4, window=taper, return_complex=True)
    parts = torch.view_as_real(spectrum) * (2 / window)
    size = (parts.square().sum(-1) + FLOOR**2).sqrt()
    return parts * (size ** (POWER - 1))[..., None], size**POWER
