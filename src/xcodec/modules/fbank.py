"""Kaldi's log-mel filter bank as a batched torch module, on any device.

The settings are those of SeamlessM4T's and w2v-BERT 2.0's feature extractor: 80 bins from 20 Hz to Nyquist, windows of
25 ms every 10 ms, DC removal, pre-emphasis 0.97, povey window, power spectrum of 512 points, no dither, no padding.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps

__all__ = ["FramedPower", "KaldiFbank", "kaldi_mel_filters", "normalize_over_time", "povey_window", "stack_frames"]

PCM_SCALE = 2.0**15  # Kaldi reads samples as 16-bit integers
MEL_FLOOR = torch.finfo(torch.float32).eps
FRAMES_PER_BLOCK = 1 << 14  # bounds the spectrum in memory: 164 s of one clip


def kaldi_mel_filters(num_bins: int, num_frequencies: int, sampling_rate: int, low_frequency: float = 20.0) -> Tensor:
    """Triangular filters, equally spaced and straight-sided on Kaldi's mel scale, 1127 ln(1 + f / 700).

    Args:
        num_bins: number of filters.
        num_frequencies: number of bins of the spectrum, from 0 Hz to Nyquist.
        sampling_rate: in Hz.
        low_frequency: lower edge of the first filter, in Hz; the last one ends at Nyquist.

    Returns:
        A float64 tensor of shape (num_frequencies, num_bins) on the CPU.
    """
    nyquist = sampling_rate / 2
    low, high = (1127.0 * math.log1p(hertz / 700.0) for hertz in (low_frequency, nyquist))
    edges = torch.linspace(low, high, num_bins + 2, dtype=torch.float64, device="cpu")
    hertz = torch.linspace(0.0, nyquist, num_frequencies, dtype=torch.float64, device="cpu")
    mels = (1127.0 * torch.log1p(hertz / 700.0))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return torch.minimum((mels - left) / (centre - left), (right - mels) / (right - centre)).clamp(min=0.0)


def povey_window(frame_length: int) -> Tensor:
    """Kaldi's own window, a Hann window to the power of 0.85: float64 (frame_length,) on the CPU."""
    return torch.hann_window(frame_length, periodic=False, dtype=torch.float64, device="cpu") ** 0.85


class FramedPower(nn.Module, ABC):
    """What is told of the power spectra of windowed frames, as Kaldi makes these of a batch of waveforms.

    Its constants are arrays and no tensors: they are not stored, and buffers that a checkpoint does not hold are filled
    with anything where transformers loads one.

    Args:
        frame_length: samples in a window.
        frame_shift: samples between windows.
        fft_length: points of the spectrum, at least `frame_length`.
        num_outputs: numbers that are told of a frame.
        filters: what power spectra are multiplied by, (fft_length / 2 + 1, filters) on the CPU.
    """

    def __init__(self, frame_length: int, frame_shift: int, fft_length: int, num_outputs: int, filters: Tensor) -> None:
        super().__init__()
        self.frame_length = frame_length
        self.frame_shift = frame_shift
        self.fft_length = fft_length
        self.num_outputs = num_outputs
        self.window = povey_window(frame_length).float().numpy()
        self.filters = filters.float().numpy()

    def forward(self, waveform: Tensor) -> Tensor:
        """Frame waveforms and tell what there is to tell.

        Args:
            waveform: floating point, full scale at 1.0, shape (batch, samples) with at least one frame.

        Returns:
            float32, shape (batch, frames, num_outputs) with frames = (samples - frame_length) // frame_shift + 1.
        """
        frames = waveform.float().unfold(-1, self.frame_length, self.frame_shift)
        window, filters = (each.to(frames.device) for each in self.constants())
        return torch.cat([self.of_frames(block, window, filters) for block in frames.split(FRAMES_PER_BLOCK, 1)], 1)

    # Of an array that a compiled graph reads it would ask at each call whether it is still the same.
    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def constants(self) -> tuple[Tensor, Tensor]:
        """The window and the filters as tensors on the CPU, which share memory with the arrays."""
        return torch.from_numpy(self.window), torch.from_numpy(self.filters)

    @abstractmethod
    def of_power(self, power: Tensor, filters: Tensor) -> Tensor:
        """Tell of power spectra (batch, frames, frequencies): (batch, frames, num_outputs)."""

    def of_frames(self, frames: Tensor, window: Tensor, filters: Tensor) -> Tensor:
        """Tell of frames (batch, frames, frame_length): (batch, frames, num_outputs)."""
        frames = frames * PCM_SCALE
        frames = frames - frames.mean(-1, keepdim=True)
        frames = frames - 0.97 * torch.cat([frames[..., :1], frames[..., :-1]], -1)
        return self.of_power(self.power(frames * window), filters)

    def power(self, frames: Tensor) -> Tensor:
        """Compute power spectra (batch, frames, frequencies) of windowed frames (batch, frames, frame_length)."""
        return torch.fft.rfft(frames, self.fft_length).abs().square()


class KaldiFbank(FramedPower):
    """Log-mel energies.

    Args:
        sampling_rate: in Hz.
        num_mel_bins: number of mel filters.
        frame_length: samples in a window (25 ms).
        frame_shift: samples between windows (10 ms).
    """

    def __init__(
        self, sampling_rate: int = 16000, num_mel_bins: int = 80, frame_length: int = 400, frame_shift: int = 160
    ) -> None:
        fft_length = 1 << (frame_length - 1).bit_length()
        filters = kaldi_mel_filters(num_mel_bins, fft_length // 2 + 1, sampling_rate)
        super().__init__(frame_length, frame_shift, fft_length, num_mel_bins, filters)

    def of_power(self, power: Tensor, filters: Tensor) -> Tensor:
        """Compute log-mel energies of power spectra."""
        return (power @ filters).clamp(min=MEL_FLOOR).log()


def normalize_over_time(features: Tensor, lengths: Tensor, eps: float = 1e-7) -> Tensor:
    """Give each feature of each clip zero mean and unit variance over the clip's own frames.

    Args:
        features: shape (batch, frames, bins).
        lengths: valid frames of each clip, at least 2, shape (batch,).
        eps: added to the (unbiased) variance.

    Returns:
        The normalised features, same shape; zeros past each clip's end.
    """
    valid = valid_steps(lengths, features.shape[1])[..., None]
    count = lengths[:, None, None]
    mean = features.masked_fill(~valid, 0.0).sum(1, keepdim=True) / count
    centred = (features - mean).masked_fill(~valid, 0.0)
    # The mean's rounding error, which a constant input (digital silence) would blow up to 1e-2 and tie to the batch.
    centred = (centred - centred.sum(1, keepdim=True) / count).masked_fill(~valid, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (count - 1)
    return centred / (variance + eps).sqrt()


def stack_frames(features: Tensor, stride: int) -> Tensor:
    """Put neighbouring frames side by side: (batch, frames, bins) -> (batch, frames // stride, stride * bins)."""
    frames = features.shape[1] // stride * stride
    return features[:, :frames].reshape(features.shape[0], -1, stride * features.shape[2])
