"""The head that turns decoder states into a waveform through an inverse short-time Fourier transform.

After Vocos (Siuzdak, 2023), with its "same" padding: T frames give exactly T * hop samples.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear
from xcodec.modules.tiles import steps_within, tiles

__all__ = ["ISTFTHead", "overlap_add"]

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

    def forward(self, x: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Make samples.

        Args:
            x: shape (batch, time, hidden_size).
            lengths: valid steps of each clip, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.

        Returns:
            float32 samples of shape (batch, 1, time * hop_length), zeros past each clip's end.
        """
        if max_bytes is not None:
            return self._in_tiles(x, lengths, max_bytes)
        window = self._window(x.device)
        valid = None if lengths is None else valid_steps(lengths, x.shape[1])
        weights = window.square().expand(1, x.shape[1], -1)
        if valid is not None:
            weights = weights * valid[..., None]
        trim = (self.n_fft - self.hop_length) // 2
        samples = slice(trim, trim + x.shape[1] * self.hop_length)
        envelope = overlap_add(weights, self.hop_length)[:, samples].clamp(min=MIN_ENVELOPE)
        audio = overlap_add(self._frames(x, window, valid), self.hop_length)[:, samples] / envelope
        if valid is not None:  # the last frame reaches past the end
            audio = audio.masked_fill(~valid.repeat_interleave(self.hop_length, 1), 0.0)
        return audio[:, None]

    def _in_tiles(self, x: Tensor, lengths: Tensor | None, max_bytes: int) -> Tensor:
        batch, time, _ = x.shape
        window = self._window(x.device)
        valid = x.new_ones(1, time, dtype=torch.bool) if lengths is None else valid_steps(lengths, time)
        overlap = self.n_fft // self.hop_length
        size = steps_within(max_bytes, 16 * 4 * batch * self.n_fft)  # sixteen tensors of float32
        # Every frame is added where it belongs; a tile's last frames reach into the next one.
        audio = torch.zeros(batch, time + overlap - 1, self.hop_length, dtype=torch.float32, device=x.device)
        for tile in tiles(time, size):
            frames = self._frames(x[:, tile.wanted], window, valid[:, tile.wanted])
            sums = overlap_add(frames, self.hop_length).unflatten(1, (-1, self.hop_length))
            audio[:, tile.start : tile.stop + overlap - 1] += sums
        # A hop lies under as many frames as overlap: the i-th part of the i-th before it.
        frames_over = F.pad(valid.float(), (overlap - 1, overlap - 1)).unfold(1, overlap, 1).flip(-1)
        weights = window.square().view(overlap, self.hop_length)
        for tile in tiles(audio.shape[1], size):
            audio[:, tile.wanted] /= (frames_over[:, tile.wanted] @ weights).clamp(min=MIN_ENVELOPE)
        trim = (self.n_fft - self.hop_length) // 2
        audio = audio.flatten(1)[:, trim : trim + time * self.hop_length]
        if lengths is not None:  # the last frame reaches past the end
            audio.unflatten(1, (time, self.hop_length)).masked_fill_(~valid[..., None], 0.0)
        return audio[:, None]

    def _window(self, device: torch.device) -> Tensor:
        return torch.hann_window(self.n_fft, dtype=torch.float32, device=device)

    def _frames(self, x: Tensor, window: Tensor, valid: Tensor | None) -> Tensor:
        """The windowed frames of (batch, time, hidden_size), zeros for steps that are not valid."""
        log_magnitude, phase = self.linear(x).float().chunk(2, -1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase)
        frames = torch.fft.irfft(spectrum, self.n_fft) * window
        return frames if valid is None else frames.masked_fill(~valid[..., None], 0.0)
