"""The head that turns decoder states into a waveform through an inverse short-time Fourier transform.

After Vocos (Siuzdak, 2023), with its "same" padding: T frames give exactly T * hop samples.
"""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear
from xcodec.modules.time import WHOLE, Time

__all__ = ["OVERLAP", "GatedISTFTHead", "ISTFTHead", "normalized_overlap_add", "overlap_add"]

OVERLAP = 4  # how many frames cover a sample, in Vocos and in all that descend from it
MAX_MAGNITUDE = 100.0  # upstream clips here; checkpoints depend on it
MAX_LOG_GAIN = 5.0
MIN_ENVELOPE = 1e-11


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Sum overlapping frames at their places.

    Args:
        frames: shape (batch, frames, frame_length); frame_length is a multiple of `hop_length`.
        hop_length: samples between the beginnings of neighbouring frames.

    Returns:
        Shape (batch, (frames - 1) * hop_length + frame_length).
    """
    batch, num_frames, frame_length = frames.shape
    overlap = frame_length // hop_length
    # (batch, frames, frame_length) -> (batch, frames, overlap, hop_length)
    parts = frames.unflatten(-1, (overlap, hop_length))
    total = sum(F.pad(parts[:, :, i], (0, 0, i, overlap - 1 - i)) for i in range(overlap))
    assert isinstance(total, Tensor)
    return total.reshape(batch, (num_frames - 1) * hop_length + frame_length)


def normalized_overlap_add(frames: Tensor, window: Tensor, hop_length: int, valid: Tensor | None = None) -> Tensor:
    """Window frames, sum them, and divide by what the windows sum up to, with "same" padding.

    Args:
        frames: shape (batch, frames, frame_length).
        window: float32 (frame_length,).
        hop_length: samples between the beginnings of neighbouring frames.
        valid: which frames there are, bool (batch, frames); None means all.

    Returns:
        float32 (batch, frames * hop_length), zeros where no frame is valid.
    """
    num_frames = frames.shape[1]
    frames, weights = frames * window, window.square().expand(1, num_frames, -1)
    if valid is not None:
        frames, weights = frames.masked_fill(~valid[..., None], 0.0), weights * valid[..., None]
    trim = (len(window) - hop_length) // 2
    samples = slice(trim, trim + num_frames * hop_length)
    envelope = overlap_add(weights, hop_length)[:, samples].clamp(min=MIN_ENVELOPE)
    audio = overlap_add(frames, hop_length)[:, samples] / envelope
    if valid is not None:  # the last frame reaches past the end
        audio = audio.masked_fill(~valid.repeat_interleave(hop_length, 1), 0.0)
    return audio


class ISTFTHead(nn.Module):
    """Predict log-magnitude and phase of every frame, and transform them to samples.

    Args:
        hidden_size: width of the input.
        n_fft: length of a frame in samples, a multiple of `hop_length`.
        hop_length: samples per input step.
    """

    def __init__(self, hidden_size: int, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.linear = Linear(hidden_size, n_fft + 2)

    @property
    def reach(self) -> int:
        """How many steps to either side a sample depends on."""
        return self.n_fft // self.hop_length // 2

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Make samples.

        Args:
            x: shape (batch, time, hidden_size).
            time: of `x`.

        Returns:
            float32 samples of shape (batch, 1, time * hop_length), zeros past each clip's end.
        """
        width = 3 * self.n_fft  # most of its tensors are float32 whatever `x` is, and they are many

        def samples(part: Tensor, lengths: Tensor | None) -> Tensor:
            return self.samples(self.linear(part), lengths)

        return time.map(samples, x, reach=self.reach, up=self.hop_length, width=width)[:, None]

    def samples(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform what `linear` makes of the input, (batch, time, its outputs), to samples.

        Args:
            x: log-magnitudes and phases, side by side.
            lengths: valid steps of each clip, (batch,); None means all.

        Returns:
            float32 (batch, time * hop_length), zeros past each clip's end.
        """
        window = torch.hann_window(self.n_fft, dtype=torch.float32, device=x.device)
        valid = None if lengths is None else valid_steps(lengths, x.shape[1])
        frames = self.inverse_transform(*self.spectrum(x.float()))
        return normalized_overlap_add(frames, window, self.hop_length, valid)

    def spectrum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make the real and the imaginary part of spectra, (batch, time, n_fft // 2 + 1) each, as `samples` is told."""
        log_magnitude, phase = x.chunk(2, -1)
        magnitude = log_magnitude.exp().clamp(max=MAX_MAGNITUDE)
        # Not torch.polar, which takes sines and cosines one at a time.
        return magnitude * phase.cos(), magnitude * phase.sin()

    def inverse_transform(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Transform spectra, (batch, time, n_fft // 2 + 1) each, to frames (batch, time, n_fft)."""
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)


class GatedISTFTHead(ISTFTHead):
    """Predict every frame's spectrum by its real and imaginary parts, and a log gain of each.

    Where a phase is predicted as a number, as above, the layers before have to count its turns; real and imaginary
    parts are linear in what they come from, as samples are. The gains spare them the range of levels.

    Args:
        hidden_size: width of the input.
        n_fft: length of a frame in samples, a multiple of `hop_length`.
        hop_length: samples per input step.
    """

    def __init__(self, hidden_size: int, n_fft: int, hop_length: int) -> None:
        super().__init__(hidden_size, n_fft, hop_length)
        self.linear = Linear(hidden_size, 3 * (n_fft // 2 + 1))

    def spectrum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`ISTFTHead.spectrum`, of log gains, real and imaginary parts, side by side."""
        log_gain, real, imaginary = x.chunk(3, -1)
        gain = log_gain.clamp(max=MAX_LOG_GAIN).exp()
        return gain * real, gain * imaginary
