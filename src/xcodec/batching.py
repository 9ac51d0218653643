"""What a codec is given, grouped into batches: clips of similar length, read when their batch comes."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from xcodec.audio import Audio, AudioInfo
from xcodec.errors import AudioError, InputError, XcodecError

__all__ = ["AudioSource", "Clip", "batches", "named"]

AudioSource: TypeAlias = str | os.PathLike[str] | Audio | np.ndarray | torch.Tensor
"""A recording: the path of a file, an `Audio`, or samples of shape (samples,) or (channels, samples)."""

MAX_PADDING = 0.05  # of a batch's own seconds
FREE_PADDING = 1.0  # seconds that cost less than another call of the model
LOUDEST = 1000.0  # full scales; sums of squares of what is far beyond it overflow


@dataclass(frozen=True)
class Clip:
    """One input of `Codec.encode`: its length, as far as known, and how to get it. A file stays on disk until then."""

    seconds: float
    source: str | os.PathLike[str] | Audio
    label: str

    @classmethod
    def of(cls, source: AudioSource, sampling_rate: int | None, label: str) -> "Clip":
        """Look at an input; errors start with `label`."""
        with named(label):
            if isinstance(source, (str, os.PathLike)):
                seconds = AudioInfo.read(source).duration
                return cls(Audio.read(source).duration if seconds is None else seconds, source, label)
            audio = source if isinstance(source, Audio) else audio_of(source, sampling_rate)
            return cls(audio.duration, audio, label)

    def load(self) -> Audio:
        """Read the file, if it is one, and refuse what no recording holds and what would become NaN in a model."""
        with named(self.label):
            audio = self.source if isinstance(self.source, Audio) else Audio.read(self.source)
            peak = float(np.abs(audio.samples).max())
            if peak > LOUDEST:
                raise AudioError(
                    f"{self.source}: "
                    * (self.source is not audio)
                    + f"samples reach {peak:g}, where full scale is 1.0; divide PCM that was made floating point by "
                    "its range (32768 for 16 bits), or give it as int16 or int32"
                )
            return audio


def audio_of(samples: Any, sampling_rate: int | None) -> Audio:
    """Make a recording of a numpy or torch array."""
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.is_floating_point() else samples).numpy()
    if not isinstance(samples, np.ndarray):
        raise InputError(
            f"expected the path of an audio file, an Audio, a numpy or torch array, or a list of these, "
            f"got {type(samples).__name__}"
        )
    if sampling_rate is None:
        raise InputError(f"an array of shape {samples.shape} needs its sampling_rate, in Hz")
    return Audio(samples, sampling_rate)


@contextmanager
def named(label: str) -> Iterator[None]:
    """Say in front of an error which input it is about."""
    try:
        yield
    except XcodecError as error:
        if not label:
            raise
        raise type(error)(f"{label}{error}") from error


def batches(seconds: Sequence[float], batch_seconds: float) -> Iterator[list[int]]:
    """Group clips of similar length, longest first, so that memory that runs out runs out at once.

    Padding is work for nothing: a batch has at most `MAX_PADDING` of it, or `FREE_PADDING` seconds.

    Args:
        seconds: how long each clip is.
        batch_seconds: what a padded batch, clips times the longest, may come to. A longer clip is a batch of its own.

    Yields:
        Indices into `seconds`; each index once.
    """
    if not batch_seconds > 0:
        raise InputError(f"batch_seconds={batch_seconds!r}: expected a number of seconds above 0")
    batch: list[int] = []
    total = 0.0
    for i in sorted(range(len(seconds)), key=lambda i: (-seconds[i], i)):
        if batch:
            padded, own = (len(batch) + 1) * seconds[batch[0]], total + seconds[i]
            if padded > batch_seconds or padded - own > max(MAX_PADDING * own, FREE_PADDING):
                yield batch
                batch, total = [], 0.0
        batch.append(i)
        total += seconds[i]
    if batch:
        yield batch
