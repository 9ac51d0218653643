"""Synthetic speech on its way to a corpus: stretches on disk, each from a seed of its own.

What a stretch says depends on nothing before it. So a build that was stopped, by whatever, goes on behind the
last whole stretch, and comes out as one that never was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.training.limit import Limit
from xcodec.training.phones import UNKNOWN
from xcodec.training.synthesis import SAMPLING_RATE, Utterance, utterances

__all__ = ["SpokenClip", "Stretch", "stretches"]

STRETCH_SECONDS = 300.0


@dataclass(frozen=True)
class SpokenClip:
    """A clip as a corpus keeps it.

    Attributes:
        samples: int16 (samples,), 16 kHz, its peak at 0.9 of full scale.
        phones: where each phone begins, in samples, and its label.
    """

    samples: np.ndarray
    phones: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, spoken: Utterance) -> "SpokenClip | None":
        """Keep of an utterance what is heard; nothing of a silent one.

        All are at one level: training draws its own, and int16 keeps most detail near full scale.
        """
        peak = float(np.abs(spoken.samples).max(initial=0.0))
        if peak == 0.0:
            return None
        phones = ((round(second * SAMPLING_RATE), label) for second, label in spoken.phones or ((0.0, UNKNOWN),))
        return cls(np.round(spoken.samples * (0.9 / peak) * 32767).astype(np.int16), tuple(phones))


@dataclass(frozen=True)
class Stretch:
    """So many seconds, or a little more, of one synthesizer's speech.

    Attributes:
        engine: the synthesizer.
        seed: as for `utterances`.
        number: likewise.
        seconds: how long.
        folder: where it lies, once it is made.
    """

    engine: str
    seed: int
    number: int
    seconds: float
    folder: Path

    @property
    def path(self) -> Path:
        """The file, of arrays."""
        return self.folder / f"{self.engine}-{self.seed}-{self.number:05}-{self.seconds:g}s.npz"

    def make(self, limit: Limit) -> Iterator[float]:
        """Make the speech and write it, whole or, where the limit is reached before its end, not at all.

        Yields:
            The seconds of each utterance.
        """
        clips: list[SpokenClip] = []
        left = self.seconds * SAMPLING_RATE
        for spoken in utterances(self.engine, self.seed, self.number, limit.is_reached):
            if (clip := SpokenClip.of(spoken)) is not None:
                clips.append(clip)
            left -= len(spoken.samples)
            yield len(spoken.samples) / SAMPLING_RATE
            if left <= 0:
                self._write(clips)
                return

    def _write(self, clips: list[SpokenClip]) -> None:
        phones = [pair for clip in clips for pair in clip.phones]
        with written_whole(self.path) as part, part.open("wb") as file:
            np.savez(
                file,
                samples=np.concatenate([clip.samples for clip in clips]),
                lengths=np.array([len(clip.samples) for clip in clips]),
                phones=np.array(phones, dtype=np.int64).reshape(-1, 2),
                phone_counts=np.array([len(clip.phones) for clip in clips]),
            )

    def clips(self) -> Iterator[SpokenClip]:
        """Read what was made.

        Raises:
            InputError: where the file is damaged.
        """
        try:
            with np.load(self.path) as arrays:
                samples, lengths, phones, counts = (
                    arrays[name] for name in ("samples", "lengths", "phones", "phone_counts")
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(f"{self.path} is damaged ({error})", remedy="remove it, to make it anew") from None
        phones_of = np.split(phones, np.cumsum(counts)[:-1])
        for clip, labels in zip(np.split(samples, np.cumsum(lengths)[:-1]), phones_of, strict=True):
            yield SpokenClip(clip, tuple((int(start), int(label)) for start, label in labels))


def stretches(engine: str, seed: int, hours: float, folder: Path) -> Iterator[Stretch]:
    """Divide hours of a synthesizer's speech."""
    seconds = hours * 3600
    number = 0
    while seconds > 1e-6:
        yield Stretch(engine, seed, number, min(seconds, STRETCH_SECONDS), folder)
        seconds -= STRETCH_SECONDS
        number += 1
