"""The level loss: how loud a reconstruction is, which adversarial training alone lets drift."""

import torch
from torch import Tensor

__all__ = ["level_loss"]

FRAME = 0.02  # seconds
FLOOR = 1e-4  # of a root mean square where full scale is 1: -80 dB


def level_loss(audio: Tensor, target: Tensor, sampling_rate: int) -> Tensor:
    """Compute the mean absolute difference of levels in frames of 20 ms, in units of 10 dB.

    Args:
        audio: (clips, samples).
        target: (clips, samples).
        sampling_rate: of both, in Hz.
    """
    length = round(FRAME * sampling_rate)

    def level(signal: Tensor) -> Tensor:
        frames = signal[:, : signal.shape[1] // length * length].unflatten(1, (-1, length))
        return torch.log10(frames.square().mean(-1) + FLOOR**2)

    return (level(audio) - level(target)).abs().mean()
