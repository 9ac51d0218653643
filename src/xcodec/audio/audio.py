"""Audio: samples and their rate; reading, writing and resampling. The only place that opens an audio file."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from xcodec.audio.integrity import UNKNOWN_LENGTH, check_complete
from xcodec.errors import AudioError
from xcodec.files import written_whole

__all__ = [
    "WRITABLE_SUFFIXES",
    "Audio",
    "AudioInfo",
    "pcm_to_float32",
    "resampled_length",
]

# What each suffix is written as: libsndfile's container and encoding.
_WRITTEN_AS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

WRITABLE_SUFFIXES = tuple(_WRITTEN_AS)
"""Suffixes that `Audio.save` knows."""

_MAX_CHANNELS = 1024  # libsndfile's own limit; more means that time and channels are swapped
_BLOCK = 1 << 16  # samples per channel to decode or encode at once; libvorbis overflows its stack on long blocks
_SYSTEM_ERROR = 2  # libsndfile's code for errors of reading and writing
_MAX_RATE = 2**31 - 1  # in Hz; what libsndfile can take
_SEEKABLE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")  # containers that seek to the exact sample
_ROUNDING = 0.05  # seconds by which a span may end past its file: manifests round
_NOT_AUDIO = (
    "is not audio in a format that can be read, or its beginning is damaged; expected WAV, FLAC, Ogg Vorbis, Opus, "
    "MP3, AIFF or another that libsndfile knows"
)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, read without decoding it; a damaged file may hold less.

    Args:
        num_samples: samples per channel at `sampling_rate`, or None where the header does not know.
        num_channels: number of channels.
        sampling_rate: in Hz.
        format: libsndfile's name of the container, such as "WAV".
        subtype: libsndfile's name of the encoding, such as "PCM_16".
    """

    num_samples: int | None
    num_channels: int
    sampling_rate: int
    format: str
    subtype: str

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "AudioInfo":
        """Read the header of the file at `path`.

        Raises:
            AudioError: where there is no such file, or it is not audio.
        """
        with _opened(Path(path)) as file:
            num_samples = None if file.frames == UNKNOWN_LENGTH else file.frames
            return cls(num_samples, file.channels, file.samplerate, file.format, file.subtype)

    @property
    def duration(self) -> float | None:
        """In seconds, or None where the header does not know."""
        return None if self.num_samples is None else self.num_samples / self.sampling_rate


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
        length = resampled_length(self.num_samples, self.sampling_rate, rate)
        # soxr rounds the length its own way; with one more output sample's worth of silence it always gives enough.
        tail = np.zeros((-(-self.sampling_rate // rate) + 1, self.num_channels), np.float32)
        frames = np.concatenate([self.samples.T, tail])  # (channels, samples) -> (samples, channels)
        resampled = soxr.resample(frames, self.sampling_rate, rate, quality="VHQ")[:length]
        return Audio(np.ascontiguousarray(resampled.T), rate)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        start: float = 0.0,
        duration: float | None = None,
        longest: float | None = None,
        channel: int | str | None = None,
        sampling_rate: int | None = None,
    ) -> "Audio":
        """Read a file, or a span of it: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and whatever else libsndfile knows.

        Rate, channels and range are kept as they are in the file. A file that is cut short is an error, wherever it
        shows: where the header or the stream says how much there should be. Of a span only its own samples are kept in
        memory, and what follows it is neither read nor checked.

        Args:
            path: of the file.
            start: where to begin, in seconds.
            duration: how much to read, in seconds; None is to the end. Where the file ends up to 0.05 s earlier, as
                where a manifest rounds, less is returned.
            longest: in seconds; more than this is refused before it fills the memory.
            channel: which one to keep: "mean", "left", "right" or a number from 0; None keeps all.
            sampling_rate: in Hz, of what is returned; None is the file's.

        Raises:
            AudioError: where there is no such file, it may not be read, is not audio, is damaged, cut short or empty,
                or holds NaN or infinite samples; where the span is not in it, or is longer than `longest`.
        """
        path = Path(path)
        _check_span(path, start, duration)
        with _opened(path) as file:
            rate = file.samplerate
            first = round(start * rate)
            count = None if duration is None else max(1, round(duration * rate))
            blocks, num_read, num_kept = [], 0, 0
            if first > 0 and file.format in _SEEKABLE and first < file.frames < UNKNOWN_LENGTH:
                num_read = file.seek(first)
            for block in _blocks(path, file):
                kept = block[max(0, first - num_read) :]
                kept = kept if count is None else kept[: count - num_kept]
                num_read += len(block)
                num_kept += len(kept)
                blocks.append(kept)
                if longest is not None and num_kept > longest * rate:
                    raise AudioError(f"{path}: is longer than the limit of {longest:g} s; cut it into spans")
                if num_kept == count:
                    break
            else:
                check_complete(path, file, num_read)
                _check_reached(path, start, duration, num_read / rate)
            samples = np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)
        try:
            audio = cls(np.ascontiguousarray(samples.T), rate)  # (samples, channels) -> (channels, samples)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from None
        if channel == "mean":
            audio = audio.mono()
        elif channel is not None:
            number = {"left": 0, "right": 1}.get(str(channel), channel)
            if not isinstance(number, int) or number >= audio.num_channels:
                raise AudioError(f"{path}: has no channel {channel}, only {audio.num_channels}")
            audio = cls(audio.samples[number], rate)
        return audio if sampling_rate is None else audio.resample(sampling_rate)

    @classmethod
    def read_spans(
        cls,
        path: str | os.PathLike[str],
        spans: Iterable[tuple[float, float | None]],
        *,
        longest: float | None = None,
        channel: int | str | None = None,
        sampling_rate: int | None = None,
    ) -> Iterator["Audio"]:
        """Read (start, duration) spans of a file, each as `read` does."""
        options: dict[str, Any] = {"longest": longest, "channel": channel, "sampling_rate": sampling_rate}
        for start, duration in spans:
            yield cls.read(path, start=start, duration=duration, **options)

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
        path = Path(path)
        if path.suffix.lower() not in _WRITTEN_AS:
            known = ", ".join(WRITABLE_SUFFIXES)
            raise AudioError(f"{path}: audio cannot be written as {path.suffix!r}; use one of {known}")
        container, default = _WRITTEN_AS[path.suffix.lower()]
        subtype = (subtype or default).upper()
        if not soundfile.check_format(container, subtype):
            known = ", ".join(soundfile.available_subtypes(container))
            raise AudioError(f"{path}: {container} has no subtype {subtype!r}; it has {known}")
        shape = (self.sampling_rate, self.num_channels)
        try:
            with (
                written_whole(path) as part,
                soundfile.SoundFile(_system_path(part), "w", *shape, subtype=subtype, format=container) as file,
            ):
                for start in range(0, self.num_samples, _BLOCK):
                    block = self.samples[:, start : start + _BLOCK].T  # -> (samples, channels)
                    file.write(block if subtype in ("FLOAT", "DOUBLE") else block.clip(-1.0, 1.0))
        except OSError as error:
            raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from error
        except soundfile.LibsndfileError as error:
            if error.code == _SYSTEM_ERROR:
                raise AudioError(f"{path}: cannot be written: the system refused; is the disk full?") from error
            raise AudioError(
                f"{path}: cannot write {self.num_channels} channel(s) at {self.sampling_rate} Hz as {container} "
                f"{subtype} ({_reason(error)}); resample or downmix first, or write .wav"
            ) from error


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Count the samples that `Audio.resample` makes of `num_samples`: ceil(num_samples * to_rate / from_rate)."""
    return -(-num_samples * to_rate // from_rate)


def pcm_to_float32(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 with full scale at 1.0, the one way in which the package reads PCM.

    Args:
        samples: any shape and byte order. int8, int16 and int32 are divided by 128, 32768 and 2147483648; uint8 has its
            silence at 128, as in 8-bit WAV, and becomes (samples - 128) / 128. Floating point keeps its values; what
            float32 cannot hold becomes infinite.

    Returns:
        float32 of the same shape, in native byte order; always a new array, which shares no memory with `samples`.

    Raises:
        AudioError: for any other type, such as int64 or uint16, whose full scale is not known.
    """
    dtype = samples.dtype.newbyteorder("=")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if dtype in (np.int8, np.int16, np.int32):
        return (samples / -float(np.iinfo(dtype).min)).astype(np.float32)
    raise AudioError(
        f"samples of type {samples.dtype}: expected floating point with full scale at 1.0, or PCM as int16, int32, "
        "int8 or uint8"
    )


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
        raise AudioError(f"samples of shape {samples.shape} would be {samples.shape[0]} channels; transpose them first")
    samples = pcm_to_float32(samples)
    if not np.isfinite(samples).all():
        bad = ~np.isfinite(samples)
        raise AudioError(
            f"{int(bad.sum())} of {samples.size} samples are NaN or infinite, the first at sample "
            f"{int(np.flatnonzero(bad.any(axis=0))[0])}; repair the recording or replace them"
        )
    samples.flags.writeable = False
    return samples


def _check_span(path: Path, start: float, duration: float | None) -> None:
    if not (0 <= start < float("inf")):
        raise AudioError(f"{path}: start={start!r}: expected a number of seconds, 0 or more")
    if duration is not None and not (0 < duration < float("inf")):
        raise AudioError(f"{path}: duration={duration!r}: expected a number of seconds above 0")


def _check_reached(path: Path, start: float, duration: float | None, length: float) -> None:
    """Raise where a file that was read to its end, `length` seconds, does not hold a span."""
    if start > 0 and start >= length:
        raise AudioError(f"{path}: has no span from {start:g} s on: it ends at {length:g} s")
    if duration is not None and start + duration > length + _ROUNDING:
        raise AudioError(f"{path}: has no span from {start:g} s to {start + duration:g} s: it ends at {length:g} s")


def _system_path(path: Path) -> str | bytes:
    """Spell a path as the system does: on POSIX its bytes, which need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped base class
    """A file that is only read forwards, so that formats which seek badly (MP3, FLAC without a length) read well."""

    def seekable(self) -> bool:
        """Keep soundfile from seeking after each block."""
        return False


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file for reading, or say what is wrong with it."""
    try:
        if path.is_dir():
            raise AudioError(f"{path}: is a folder; give a file in it")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: is not a regular file; write the audio into a file first")
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except PermissionError:
        raise AudioError(f"{path}: permission to read it is denied") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror or error}") from error
    if not head:
        raise AudioError(f"{path}: is empty, 0 bytes; expected audio")
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: raw samples have no header; read them with numpy and give their sampling rate")
    try:
        opened = _SequentialFile(_system_path(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: {_unopened(head, error)}") from None
    with opened:
        if opened.format == "RAW":  # libsndfile takes whatever is called .au, .snd, .vox or .gsm for telephone samples
            raise AudioError(f"{path}: {_NOT_AUDIO}")
        yield opened


def _unopened(head: bytes, error: soundfile.LibsndfileError) -> str:
    """Say why libsndfile did not open a file that starts with `head`."""
    if error.code in (1, 7):  # unknown format; MPEG decoder found no frame (whose text speaks of missing files)
        return _NOT_AUDIO
    fmt = head.find(b"fmt ")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and fmt > 0 and head[fmt + 12 : fmt + 16] == bytes(4):
        return "its header says a sampling rate of 0 Hz; rewrite the header with the true rate"
    if error.code == 24:  # libsndfile found a whole header, but a zero in it
        return "its header says a sampling rate of 0 Hz, or no channels; rewrite the header with the true numbers"
    return f"is damaged or cut short: {_reason(error)}"


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).removeprefix("Error : ").rstrip(".")


def _blocks(path: Path, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Decode to the end, in blocks of shape (samples, channels)."""
    while True:
        try:
            block = file.read(_BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: is damaged or cut short: {_reason(error)}") from None
        if len(block) == 0:
            return
        yield block
