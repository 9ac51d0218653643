"""Recordings to evaluate on, and the pairs that are scored: a recording and what came back of it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.evaluation.transcripts import Transcripts

__all__ = ["LENGTH_TOLERANCE", "Clip", "Pair", "clips_of", "spread"]

Made = TypeVar("Made")
LENGTH_TOLERANCE = 0.1  # seconds; what framing adds or drops, and less than a word


@dataclass(frozen=True)
class Clip:
    """A recording to evaluate on.

    Args:
        name: as reports call it; where it stands below a folder, with / between the parts.
        path: the file.
        transcript: what is said in it, where that is known.
    """

    name: str
    path: Path
    transcript: str | None = None


def clips_of(files: Sequence[tuple[Path, Path]], transcripts: Transcripts) -> list[Clip]:
    """Name files as clips, and find what is said in them.

    Args:
        files: where each stands below a folder, and its path.
        transcripts: where to look.

    Raises:
        InputError: where two files have one name.
    """
    clips: dict[str, Clip] = {}
    for relative, path in files:
        name = relative.as_posix()
        if name in clips:
            raise InputError(
                f"{clips[name].path} and {path} are both called {name}", remedy="give the folder above them"
            )
        clips[name] = Clip(name, path, transcripts.of(name, path))
    return list(clips.values())


def spread(clips: Sequence[Clip], count: int) -> set[str]:
    """Return the names of at most so many clips, evenly spaced from the first to the last."""
    return {clips[round(i)].name for i in np.linspace(0, len(clips) - 1, min(count, len(clips)))}


class Pair:
    """A recording and its reconstruction, mono, at whatever rate a metric asks for.

    Args:
        clip: what is compared.
        reference: the recording.
        reconstruction: what came back of it; its channels are averaged too.
        memory: what was made of this recording already, for other systems; it is added to.

    Raises:
        InputError: where they differ in length by more than a tenth of a second, and so are not of the same clip.
    """

    def __init__(
        self,
        clip: Clip,
        reference: Audio,
        reconstruction: Audio,
        memory: dict[Hashable, Any] | None = None,
    ) -> None:
        if abs(reference.duration - reconstruction.duration) > LENGTH_TOLERANCE:
            raise InputError(
                f"the reconstruction takes {reconstruction.duration:.2f} s and the recording {reference.duration:.2f} "
                f"s; expected lengths within {LENGTH_TOLERANCE:g} s, which are then cut to the shorter. Are they of "
                "the same clip?"
            )
        self.clip = clip
        self._reference, self._reconstruction = reference.mono(), reconstruction.mono()
        self._memory: dict[Hashable, Any] = {} if memory is None else memory
        self._own: dict[Hashable, Any] = {}
        self._at: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def at(self, sampling_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Reference and reconstruction at a rate in Hz, both float32 (samples,), cut to the shorter."""
        if sampling_rate not in self._at:
            reference = remembered(
                self._memory, sampling_rate, lambda: self._reference.resample(sampling_rate).samples[0]
            )
            reconstruction = self._reconstruction.resample(sampling_rate).samples[0]
            length = min(len(reference), len(reconstruction))
            self._at[sampling_rate] = (reference[:length], reconstruction[:length])
        return self._at[sampling_rate]

    def of_reference(self, key: Hashable, sampling_rate: int, make: Callable[[np.ndarray], Made]) -> Made:
        """Return what is made of the reference, which is made once for all reconstructions that are as long.

        Args:
            key: tells it from all else that is made of references.
            sampling_rate: in Hz.
            make: takes the reference as `at` gives it.
        """
        samples = self.at(sampling_rate)[0]
        return remembered(self._memory, (key, sampling_rate, len(samples)), lambda: make(samples))

    def of_reconstruction(self, key: Hashable, sampling_rate: int, make: Callable[[np.ndarray], Made]) -> Made:
        """Return what is made of the reconstruction, once for all metrics; of a copy, what was of the reference."""
        reference, samples = self.at(sampling_rate)
        if np.array_equal(reference, samples):
            return self.of_reference(key, sampling_rate, make)
        return remembered(self._own, (key, sampling_rate), lambda: make(samples))


def remembered(memory: dict[Hashable, Any], key: Hashable, make: Callable[[], Made]) -> Made:
    """Return what a memory holds under a key; make it first where it holds nothing."""
    if key not in memory:
        memory[key] = make()
    made: Made = memory[key]
    return made
