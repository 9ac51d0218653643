"""The magnitudes that a decoder's inverse transform is asked for, taken from a recording."""

import torch
from torch import Tensor, nn

from xcodec.training.losses.mel import FLOOR

__all__ = ["log_magnitude"]


def log_magnitude(audio: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Natural log STFT magnitudes in the frames of the decoder's inverse transform.

    Args:
        audio: (batch, samples), samples a multiple of `hop_length`.
        n_fft: transform length in samples.
        hop_length: in samples.

    Returns:
        (batch, samples / hop_length, n_fft / 2 + 1), floored at -100 dB of a full sine.
    """
    margin = (n_fft - hop_length) // 2
    padded = nn.functional.pad(audio, (margin, margin))
    window = torch.hann_window(n_fft, device=audio.device)
    transform = torch.stft(padded, n_fft, hop_length, window=window, center=False, return_complex=True)
    return transform.abs().clamp(min=FLOOR * n_fft / 2).log().transpose(1, 2)
