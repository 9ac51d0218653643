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

__all__ = ["OVERLAP", "ISTFTHead", "normalized_overlap_add", "overlap_add"]

OVERLAP = 4  # how many frames cover a sample, in Vocos and in all that descend from it
MAX_MAGNITUDE = 100.0  # upstream clips here; checkpoints depend on it
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
    def reach(self) -> tuple[int, int]:
        """How many steps before and after its own a sample depends on."""
        return self.n_fft // self.hop_length // 2, self.n_fft // self.hop_length // 2

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
        """Transform predicted log-magnitudes and phases, side by side in (batch, time, n_fft + 2), to samples.

        Args:
            x: what `linear` makes of the input.
            lengths: valid steps of each clip, (batch,); None means all.

        Returns:
            float32 (batch, time * hop_length), zeros past each clip's end.
        """
        window = torch.hann_window(self.n_fft, dtype=torch.float32, device=x.device)
        valid = None if lengths is None else valid_steps(lengths, x.shape[1])
        log_magnitude, phase = x.float().chunk(2, -1)
        frames = self.inverse_transform(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase)
        return normalized_overlap_add(frames, window, self.hop_length, valid)

    def inverse_transform(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """Transform spectra, (batch, time, n_fft // 2 + 1) each, to frames (batch, time, n_fft)."""
        # Not torch.polar, which takes sines and cosines one at a time.
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        return torch.fft.irfft(spectrum, self.n_fft)
