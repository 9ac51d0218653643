"""Audio: a recording in memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio.channels import Channel
from xcodec.audio.pcm import pcm_to_float32
from xcodec.audio.recording import Recording
from xcodec.audio.resampling import resampled
from xcodec.audio.source import AudioSource
from xcodec.audio.writing import write
from xcodec.errors import AudioError
from xcodec.notebook import player

__all__ = ["Audio"]

_MAX_CHANNELS = 1024  # libsndfile's own limit; more means that time and channels are swapped
_MAX_RATE = 2**31 - 1  # in Hz; what libsndfile can take


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording in memory.

    Args:
        samples: shape (channels, samples), or (samples,) which becomes (1, samples). Floating point has its full scale
            at 1.0 and may exceed it; int16, int32, int8 and uint8 are PCM and are scaled by their range. Kept as
            float32, in a copy that is read-only.
        sampling_rate: in Hz.

    Raises:
        AudioError: for no samples, NaN or infinite samples, another shape or type, or a rate that is not positive.
    """

    samples: np.ndarray
    sampling_rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "sampling_rate", _checked_rate(self.sampling_rate))
        object.__setattr__(self, "samples", _checked_samples(self.samples))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Audio):
            return NotImplemented
        return self.sampling_rate == other.sampling_rate and np.array_equal(self.samples, other.samples)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a player of at most the first minute."""
        return player(self.samples, self.sampling_rate)

    @property
    def num_channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.num_samples / self.sampling_rate

    def mono(self) -> "Audio":
        """Return the mean of the channels, as one channel."""
        if self.num_channels == 1:
            return self
        return Audio(self.samples.mean(axis=0, dtype=np.float64).astype(np.float32), self.sampling_rate)

    def resample(self, sampling_rate: int) -> "Audio":
        """Return the recording at another rate in Hz (soxr, quality VHQ).

        n samples become ceil(n * new rate / old rate), so at least one. What lies before the start and past the end
        counts as silence.
        """
        rate = _checked_rate(sampling_rate)
        if rate == self.sampling_rate:
            return self
        return Audio._of(resampled(self.samples, self.sampling_rate, rate), rate)

    @classmethod
    def read(
        cls,
        source: AudioSource,
        *,
        start: float = 0.0,
        duration: float | None = None,
        longest: float | None = None,
        channel: Channel = None,
        sampling_rate: int | None = None,
    ) -> "Audio":
        """Read a recording, or a span of it, in any format of docs/formats.md.

        Rate, channels and range are kept as they are in the file, unless others are asked for. A file that is cut short
        is an error, wherever it shows: where the header or the stream says how much there should be. Memory holds the
        result and little more: channels are chosen and rates changed while reading. What follows a span is neither read
        nor checked.

        Args:
            source: a path, a URL that fsspec knows such as s3://bucket/a.wav, the bytes of a file, or a file that is
                open for reading bytes, which is read from where it stands.
            start: where to begin, in seconds.
            duration: how much to read, in seconds; None is to the end. Where the file ends up to 0.05 s earlier, as
                where a manifest rounds, less is returned.
            longest: in seconds; more than this is refused before it fills the memory.
            channel: "mean" for the average of the channels, "left", "right" or a number from 0 for one of them; None
                for all.
            sampling_rate: in Hz, of the result; None is the file's. The result is that of `mono` or the channel, and
                `resample` afterwards, bit by bit.

        Raises:
            AudioError: where there is no such file, it may not be read, is not audio, is damaged, cut short or empty,
                or holds NaN or infinite samples; where the span or the channel is not in it, or it is longer than
                `longest`.
            InputError: for a channel or URL that cannot be understood.
        """
        rate = None if sampling_rate is None else _checked_rate(sampling_rate)
        with Recording(source, longest=longest, channel=channel, sampling_rate=rate) as recording:
            return cls._of(*recording.read(start, duration))

    @classmethod
    def read_spans(
        cls,
        source: AudioSource,
        spans: Iterable[tuple[float, float | None]],
        *,
        longest: float | None = None,
        channel: Channel = None,
        sampling_rate: int | None = None,
    ) -> "Iterator[Audio]":
        """Read spans of one file, each bit by bit as `read` reads it alone, opening the file once.

        Where the format can be sought in, each span is; otherwise the file is decoded once, from span to span, as long
        as they are in order of their start. `AudioFile` does the same, and goes on after a span that is not there.

        Args:
            source: as in `read`.
            spans: of each the start and the duration in seconds, as in `read`.
            longest: of a span, as in `read`.
            channel: as in `read`.
            sampling_rate: as in `read`.

        Yields:
            The spans, in their order.

        Raises:
            AudioError: as `read`.
            InputError: as `read`.
        """
        rate = None if sampling_rate is None else _checked_rate(sampling_rate)
        with Recording(source, longest=longest, channel=channel, sampling_rate=rate) as recording:
            for start, duration in spans:
                yield cls._of(*recording.read(start, duration))

    @classmethod
    def _of(cls, samples: np.ndarray, sampling_rate: int) -> "Audio":
        """Hold samples that are float32, finite and of nobody else, without copying them."""
        audio = object.__new__(cls)
        samples.flags.writeable = False
        object.__setattr__(audio, "samples", samples)
        object.__setattr__(audio, "sampling_rate", sampling_rate)
        return audio

    def save(self, path: str | os.PathLike[str], subtype: str | None = None) -> None:
        """Write a file whose format is its suffix: .wav, .flac, .ogg (Vorbis), .opus or .mp3.

        The file appears whole or not at all; a file that is there is replaced. Samples beyond full scale are clipped
        to [-1, 1], except in the subtypes FLOAT and DOUBLE.

        Args:
            path: the file to write, in a folder that exists.
            subtype: libsndfile's name of an encoding that the format allows, such as "FLOAT", "PCM_24" or "PCM_32"
                for .wav. None is 16-bit PCM for .wav and .flac.

        Raises:
            AudioError: for an unknown suffix, a rate or channel count that the format has not, or where the file
                cannot be written.
        """
        write(Path(path), self.samples, self.sampling_rate, subtype)


def _checked_rate(sampling_rate: Any) -> int:
    if isinstance(sampling_rate, (int, float, np.integer, np.floating)) and not isinstance(sampling_rate, bool):
        in_range = 0 < sampling_rate <= _MAX_RATE
        if in_range and int(sampling_rate) == sampling_rate:
            return int(sampling_rate)
    raise AudioError(
        f"a sampling rate of {sampling_rate!r}: expected a whole number of Hz from 1 to {_MAX_RATE}, such as 16000"
    )


def _checked_samples(given: Any) -> np.ndarray:
    samples = np.asarray(given)
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2:
        raise AudioError(f"samples of shape {samples.shape}: expected (channels, samples) or (samples,)")
    if samples.size == 0:
        raise AudioError(f"holds no samples (shape {samples.shape}); expected at least one")
    if samples.shape[0] > _MAX_CHANNELS:
        raise AudioError(
            f"samples of shape {samples.shape} would be {samples.shape[0]} channels", remedy="transpose them first"
        )
    samples = pcm_to_float32(samples)
    if not np.isfinite(samples).all():
        bad = ~np.isfinite(samples)
        raise AudioError(
            f"{int(bad.sum())} of {samples.size} samples are NaN or infinite, the first at sample "
            f"{int(np.flatnonzero(bad.any(axis=0))[0])}",
            remedy="repair the recording or replace them",
        )
    samples.flags.writeable = False
    return samples
