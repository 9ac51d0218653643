"""What is found out about a recording while it is read: where it is cut, and of each piece its figures and its hash."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xcodec.segmentation import segment_starts
from xcodec.tokenization.quality import Figures, measure

__all__ = ["SAMPLES_ALONE", "Inspection", "Piece", "piece_id"]


@dataclass(frozen=True)
class Piece:
    """A recording, or a part of one that is encoded by itself.

    Args:
        start: its first sample, of what was read, at the codec's rate.
        stop: the sample after its last.
        figures: of its quality; empty where they were not asked for.
        audio_hash: of its samples; None likewise.
    """

    start: int
    stop: int
    figures: Figures
    audio_hash: str | None

    def fields(self) -> dict[str, Any]:
        """What the constructor takes, in JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class Inspection:
    """What is to be found out.

    Args:
        quality: whether to measure.
        hashed: whether to hash the samples.
        max_samples: where recordings that are longer are cut, at pauses; None cuts none.
        hop_length: samples between two places where a recording may be cut.
    """

    quality: bool = False
    hashed: bool = False
    max_samples: int | None = None
    hop_length: int = 1

    def pieces(self, samples: np.ndarray, sampling_rate: int) -> list[Piece]:
        """Inspect a recording.

        Args:
            samples: one channel, float32, shape (samples,).
            sampling_rate: in Hz.

        Returns:
            Its pieces, one after the other, which hold all samples; one where it is not cut.
        """
        limit = None if self.max_samples is None else self.max_samples // self.hop_length
        starts = [frame * self.hop_length for frame in segment_starts(samples, self.hop_length, limit)]
        spans = zip(starts, [*starts[1:], len(samples)], strict=True)
        return [self._piece(samples[start:stop], start, sampling_rate) for start, stop in spans]

    def _piece(self, samples: np.ndarray, start: int, sampling_rate: int) -> Piece:
        figures = measure(samples, sampling_rate) if self.quality else {}
        return Piece(start, start + len(samples), figures, hash_of(samples) if self.hashed else None)


SAMPLES_ALONE = Inspection()
"""Nothing but the samples is wanted."""


def hash_of(samples: np.ndarray) -> str:
    """Hash samples of float32, 128 bits of BLAKE2 as 32 digits: equal for equal samples and for no others."""
    little = samples if sys.byteorder == "little" else samples.byteswap()
    return hashlib.blake2b(np.ascontiguousarray(little).data, digest_size=16).hexdigest()


def piece_id(entry: Mapping[str, Any], piece: Piece, count: int, sampling_rate: int) -> str:
    """What a piece is called: as its recording, and where it lies in the file unless it is all of it.

    Args:
        entry: the recording's, of the plan.
        piece: which.
        count: how many pieces the recording has.
        sampling_rate: of the piece, in Hz.
    """
    if count == 1:
        return str(entry["id"])
    start, end = span_of(entry, piece, sampling_rate)
    return f"{entry['id']}#{start:.3f}-{end:.3f}"


def span_of(entry: Mapping[str, Any], piece: Piece, sampling_rate: int) -> tuple[float, float]:
    """Where in its file a piece starts and ends, in seconds."""
    first: float = entry["start"]
    return first + piece.start / sampling_rate, first + piece.stop / sampling_rate
