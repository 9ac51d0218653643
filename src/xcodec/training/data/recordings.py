"""Recordings as they lie on disk: a folder, or a list of files and of spans in them."""

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio import Audio, AudioInfo, media_files
from xcodec.codes import CodecIdentity
from xcodec.errors import AudioError, InputError, about
from xcodec.listing import PATH_KEYS, START_KEYS, LineForm, parse_line
from xcodec.training.data.dataset import ClipExcerpt
from xcodec.training.data.unreadable import Unreadable

__all__ = ["Recordings", "Span"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A recording, or a part of it.

    Args:
        path: of the file.
        start: where the part begins, in seconds.
        seconds: how long it is, where that is known; None is to the end.
    """

    path: Path
    start: float = 0.0
    seconds: float | None = None

    def length(self) -> float:
        """Return the length in seconds; where it is not known, the file's header is read.

        Raises:
            AudioError: where the file cannot be read, or ends before the span begins.
        """
        if self.seconds is not None:
            return self.seconds
        whole = AudioInfo.read(self.path).duration
        whole = Audio.read(self.path).duration if whole is None else whole
        if whole <= self.start:
            raise AudioError(f"has no span from {self.start:g} s on: it ends at {whole:g} s", subject=self.path)
        return whole - self.start


class Recordings:
    """Audio files of any format, rate and number of channels, read a crop at a time.

    Args:
        spans: the files, or what is meant of them; those whose headers cannot be read are passed over, and logged.
        name: of the origin, as the recipe's `data.shares` calls it.

    Raises:
        InputError: where there is none.
        AudioError: where too many files cannot be read.
    """

    def __init__(self, spans: Sequence[Span], name: str) -> None:
        if not spans:
            raise InputError(f"{name} holds no recordings to train on; expected audio or video files")
        unreadable = Unreadable(len(spans), logger)
        with ThreadPoolExecutor() as pool:
            lengths = list(pool.map(_length_or_why_not, spans))
        for clip, length in enumerate(lengths):
            if isinstance(length, AudioError):
                unreadable.note(clip, length)
        known = [(span, x) for span, x in zip(spans, lengths, strict=True) if not isinstance(x, AudioError)]
        self.spans = [span for span, _ in known]
        self.seconds = np.array([length for _, length in known], dtype=np.float64)
        self.sources = [name]
        self.makers: set[CodecIdentity] = set()
        self.source_ids = np.zeros(len(known), dtype=np.int64)

    @classmethod
    def of_folder(cls, folder: Path) -> "Recordings":
        """Find every recording in a folder, to any depth."""
        paths = sorted(media_files(folder))
        return cls([Span(path) for path in paths], folder.name)

    @classmethod
    def of_manifest(cls, manifest: Path) -> "Recordings":
        """Read the files that a list names.

        A line is a path, or JSON with `path` and perhaps `start` and `duration`; of Kaldi's wav.scp, an id and a path.
        Times are in seconds. Relative paths begin at the list's folder.

        Raises:
            InputError: where a line is neither.
        """
        return cls(list(_lines(manifest)), manifest.stem)

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        """Read a piece of a recording; it is shorter where the recording ends."""
        span, duration = self.spans[clip], min(seconds, float(self.seconds[clip]) - start)
        audio = Audio.read(span.path, start=span.start + start, duration=max(duration, 1e-3)).mono()
        return ClipExcerpt(audio.samples[0], audio.sampling_rate)


def _length_or_why_not(span: Span) -> float | AudioError:
    try:
        return span.length()
    except AudioError as error:
        return error


def _lines(manifest: Path) -> Iterator[Span]:
    try:
        text = manifest.read_bytes()
        text.decode()  # or it is no list
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list of recordings {manifest} cannot be read: {error}") from None
    form = LineForm.KALDI if LineForm.of(manifest.name) is LineForm.KALDI else LineForm.PATHS
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            with about(f"{manifest}, line {number}"):
                span = _span(parse_line(line, form), manifest.parent)
            yield span


def _span(entry: dict[str, Any], folder: Path) -> Span:
    """Read a line of a list, whose paths begin at a folder.

    Raises:
        InputError: where it names no span of a file.
    """
    try:
        path = str(next(entry[key] for key in PATH_KEYS if key in entry))
        start = float(next((entry[key] for key in START_KEYS if entry.get(key) is not None), 0.0))
        seconds = float(entry["duration"]) if entry.get("duration") is not None else None
        if not (0 <= start < math.inf and (seconds is None or 0 < seconds < math.inf)):
            raise ValueError
    except (ValueError, TypeError, StopIteration):
        raise InputError(
            f"expected a path, or a JSON object with {' or '.join(PATH_KEYS)}, and perhaps {' or '.join(START_KEYS)} "
            "and duration, in seconds"
        ) from None
    return Span(folder / path, start, seconds)
