"""What a codec is given, grouped into batches: clips of similar length, read when their batch comes."""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias, TypeGuard

import numpy as np

from xcodec.audio import Audio, AudioFile
from xcodec.audio import AudioSource as FileSource
from xcodec.errors import AudioError, InputError, about
from xcodec.location import is_url

if TYPE_CHECKING:
    from torch import Tensor

    Array: TypeAlias = np.ndarray | Tensor
else:  # torch need not be installed
    Array = np.ndarray

__all__ = ["Array", "AudioSource", "Clip", "SampleDecoder", "batches", "is_array"]


class SampleDecoder(Protocol):
    """A recording that is decoded when asked for, as torchcodec's `AudioDecoder` is, which newer `datasets` give."""

    def get_all_samples(self) -> Any:
        """Decode it: `data`, a tensor of shape (channels, samples), and `sample_rate` in Hz."""


AudioSource: TypeAlias = (
    str
    | os.PathLike[str]
    | Audio
    | Array
    | tuple[Array, int]
    | Mapping[str, Any]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | SampleDecoder
)
"""A recording: a path or URL; an `Audio`; samples of shape (samples,) or (channels, samples), alone or as (samples,
rate); the {"array": ..., "sampling_rate": ...} or {"bytes": ..., "path": ...} of `datasets`, or its decoder; or the
content of a file of audio, as bytes or as a file that is open for reading them."""

MAX_PADDING = 0.05  # of a batch's own seconds
FREE_PADDING = 1.0  # seconds that cost less than another call of the model
LOUDEST = 1000.0  # full scales; sums of squares of what is far beyond it overflow


@dataclass(frozen=True)
class Clip:
    """One input of `Codec.encode`: its length, and how to get it. A file here stays on disk until then.

    Args:
        seconds: its duration.
        source_sampling_rate: in Hz, as it came.
        source: the path of a file, or the recording.
        item: what errors call it, where there are several inputs.
    """

    seconds: float
    source_sampling_rate: int
    source: str | os.PathLike[str] | Audio
    item: str | None = None

    @classmethod
    def of(cls, source: AudioSource, sampling_rate: int | None, model_rate: int, item: str | None = None) -> "Clip":
        """Look at an input.

        Args:
            source: the input.
            sampling_rate: in Hz, of samples that come without a rate.
            model_rate: in Hz; what is decoded here is read at it, so that memory follows it, not the source's rate.
            item: what errors call the input.
        """
        with about(item=item):
            source = undressed(source)
            if isinstance(source, (str, os.PathLike)) and not is_url(os.fspath(source)):
                with AudioFile(source) as file:
                    rate = file.info.sampling_rate
                    return cls(file.count_samples() / rate, rate, source, item)
            if is_file(source):
                with AudioFile(source, channel="mean", sampling_rate=model_rate) as file:
                    audio = file.read()
                    return cls(audio.duration, file.info.sampling_rate, audio, item)
            audio = audio_of(source, sampling_rate)
            return cls(audio.duration, audio.sampling_rate, audio, item)

    def load(self, sampling_rate: int) -> Audio:
        """Give the mean of its channels at a rate in Hz; refuse what no recording holds and would become NaN."""
        with about(item=self.item):
            from_file = not isinstance(self.source, Audio)
            audio = (
                self.source
                if isinstance(self.source, Audio)
                else Audio.read(self.source, channel="mean", sampling_rate=sampling_rate)
            )
            peak = float(np.abs(audio.samples).max())
            if peak > LOUDEST:
                raise AudioError(
                    f"samples reach {peak:g}, where full scale is 1.0",
                    subject=self.source if from_file else None,
                    remedy="divide PCM that was made floating point by its range (32768 for 16 bits), or give it as "
                    "int16 or int32",
                )
            return audio.mono().resample(sampling_rate)


def undressed(source: AudioSource) -> AudioSource:
    """Take a file of audio, or its path, out of a row of `datasets`; everything else is returned as it is."""
    if isinstance(source, Mapping) and (source.get("array") is None or source.get("sampling_rate") is None):
        for key in ("bytes", "path"):
            if source.get(key) is not None:
                found: AudioSource = source[key]
                return found
    return source


def is_file(source: AudioSource) -> TypeGuard[FileSource]:
    """Tell whether an input is a URL, the bytes of a file, or a file that is open.

    Raises:
        InputError: where the file is open for text.
    """
    if isinstance(source, io.TextIOBase):
        raise InputError(
            "the file is open for text", subject=getattr(source, "name", source), remedy="open it in binary mode, 'rb'"
        )
    if isinstance(source, Audio):  # whose `read` makes another one
        return False
    return isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read")


def audio_of(source: AudioSource, sampling_rate: int | None) -> Audio:
    """Make a recording of what is neither a file nor the path of one."""
    if isinstance(source, Audio):
        return source
    if is_array(source):
        if sampling_rate is None:
            raise InputError(f"an array of shape {tuple(source.shape)} needs its sampling_rate, in Hz")
        return audio_of_samples(source, sampling_rate)
    if isinstance(source, tuple):
        return audio_of_pair(source)
    if isinstance(source, Mapping):
        return audio_of_mapping(source)
    if hasattr(source, "get_all_samples"):
        decoded = source.get_all_samples()
        return audio_of_samples(decoded.data, decoded.sample_rate)
    raise InputError(
        "expected the path of an audio file, a URL, an Audio, a numpy or torch array, (array, rate), a dict with array "
        f"and sampling_rate, the bytes of a file, an open file, or a list of these, got {type(source).__name__}"
    )


def is_tensor(x: object) -> "TypeGuard[Tensor]":
    """Tell whether `x` is a tensor of torch; before that was imported, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_array(x: object) -> TypeGuard[Array]:
    """Tell whether `x` is an array of numpy or a tensor of torch."""
    return isinstance(x, np.ndarray) or is_tensor(x)


def numpy_of(samples: Array) -> np.ndarray:
    """Bring samples to numpy, which does not know every floating-point type of torch."""
    if is_tensor(samples):
        samples = samples.detach().cpu()
        return (samples.float() if samples.is_floating_point() else samples).numpy()
    assert isinstance(samples, np.ndarray)
    return samples


def audio_of_samples(samples: Array, sampling_rate: Any) -> Audio:
    """Make a recording of samples of shape (samples,) or (channels, samples)."""
    return Audio(numpy_of(samples), sampling_rate)


def audio_of_pair(pair: tuple[Any, ...]) -> Audio:
    """Make a recording of (samples, rate)."""
    match pair:
        case (samples, int() | float() | np.integer() | np.floating() as rate) if is_array(samples):
            return audio_of_samples(samples, rate)
        case (int() | float() | np.integer() | np.floating(), samples) if is_array(samples):
            raise InputError("got (rate, array); expected (array, rate)")
    kinds = ", ".join(type(item).__name__ for item in pair)
    raise InputError(f"got a tuple of ({kinds}); expected (array, rate). For several recordings give a list")


def audio_of_mapping(fields: Mapping[str, Any]) -> Audio:
    """Make a recording of a row of `datasets` that is decoded."""
    if (samples := fields.get("array")) is not None and (rate := fields.get("sampling_rate")) is not None:
        if isinstance(samples, (list, tuple)):  # rows that are plain Python
            samples = np.asarray(samples, np.float32)
        return audio_of_pair((samples, rate))
    raise InputError(
        f"got a dict with {', '.join(map(str, fields)) or 'nothing'}; expected array and sampling_rate, or the "
        "bytes or the path of a file of audio"
    )


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
        raise InputError("expected a number of seconds above 0", argument="batch_seconds", value=batch_seconds)
    batch: list[int] = []
    total = 0.0
    for i in sorted(range(len(seconds)), key=lambda i: (-seconds[i], i)):
        if batch:
            padded, filled = (len(batch) + 1) * seconds[batch[0]], total + seconds[i]
            if padded > batch_seconds or padded - filled > max(MAX_PADDING * filled, FREE_PADDING):
                yield batch
                batch, total = [], 0.0
        batch.append(i)
        total += seconds[i]
    if batch:
        yield batch
