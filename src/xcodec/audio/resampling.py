"""Resampling, of whole recordings and block by block with the same result (soxr, quality VHQ)."""

import numpy as np
import soxr

from xcodec.audio.decoder import BLOCK

__all__ = ["Resampler", "resampled", "resampled_length"]


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Count the samples that `Audio.resample` makes of `num_samples`: ceil(num_samples * to_rate / from_rate)."""
    return -(-num_samples * to_rate // from_rate)


def resampled(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample a whole recording.

    Args:
        samples: float32 of shape (channels, samples).
        from_rate: its rate in Hz.
        to_rate: the rate of the result in Hz.

    Returns:
        float32 of shape (channels, resampled_length(samples, from_rate, to_rate)).
    """
    resampler = Resampler(from_rate, to_rate, len(samples))
    blocks = [resampler.push(samples[:, at : at + BLOCK].T) for at in range(0, samples.shape[1], BLOCK)]
    return np.ascontiguousarray(np.concatenate([*blocks, resampler.finish()]).T)


class Resampler:
    """Resamples one recording block by block; the blocks' lengths do not change the result.

    Args:
        from_rate: in Hz.
        to_rate: in Hz.
        num_channels: of the recording.
    """

    def __init__(self, from_rate: int, to_rate: int, num_channels: int) -> None:
        self._from, self._to, self._channels = from_rate, to_rate, num_channels
        self._stream = soxr.ResampleStream(from_rate, to_rate, num_channels, dtype="float32", quality="VHQ")
        self._taken = self._given = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, shape (samples, channels), and return those of the result that are ready."""
        self._taken += len(block)
        ready = self._stream.resample_chunk(np.ascontiguousarray(block)).reshape(-1, self._channels)
        self._given += len(ready)
        return ready

    def finish(self) -> np.ndarray:
        """Return the rest of the result, shape (samples, channels)."""
        length = resampled_length(self._taken, self._from, self._to)
        # soxr rounds the length its own way; with one more output sample's worth of silence it always gives enough.
        tail = np.zeros((-(-self._from // self._to) + 1, self._channels), np.float32)
        rest = self._stream.resample_chunk(tail, last=True).reshape(-1, self._channels)
        return rest[: length - self._given] if length >= self._given else rest[:0]
