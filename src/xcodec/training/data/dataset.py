"""Where training audio comes from, behind one interface."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xcodec.codes import CodecIdentity

__all__ = ["ClipExcerpt", "Dataset"]


@dataclass(frozen=True)
class ClipExcerpt:
    """A piece of a clip as it lies in its source.

    Attributes:
        samples: float32 (samples,), mono.
        sampling_rate: in Hz.
        phones: when each phone begins, in seconds from the excerpt's beginning, and which it is: float64 and int64
            (phones,); the first begins at 0 or before. None where nobody knows.
        codes: int64 (codes,), where the source has them.
    """

    samples: np.ndarray
    sampling_rate: int
    phones: tuple[np.ndarray, np.ndarray] | None = None
    codes: np.ndarray | None = None


class Dataset(Protocol):
    """Clips of one origin.

    Attributes:
        seconds: how long each clip is, float64 (clips,).
        sources: names of the origins.
        source_ids: the number of each clip's origin, int64 (clips,).
        makers: the models that made its codes, where it has codes and they tell.
    """

    seconds: np.ndarray
    sources: list[str]
    source_ids: np.ndarray
    makers: set[CodecIdentity]

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        """Read a piece of a clip; it is shorter where the clip ends."""
