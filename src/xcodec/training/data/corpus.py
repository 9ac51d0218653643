"""Training speech on disk: all samples in one memory-mapped file, and a list of where each clip begins."""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xcodec.audio import Audio, media_files
from xcodec.codes import CodecIdentity
from xcodec.errors import AudioError, InputError
from xcodec.files import written_whole
from xcodec.training.data.dataset import ClipExcerpt
from xcodec.training.data.stretches import SpokenClip, Stretch, stretches
from xcodec.training.data.unreadable import Unreadable
from xcodec.training.limit import Limit
from xcodec.training.phones import INVENTORY, UNKNOWN
from xcodec.training.sections import SynthesisRecipe
from xcodec.training.synthesis import SAMPLING_RATE, Utterance

__all__ = ["Corpus", "build_corpus", "needs_building"]

UNFINISHED = ".unfinished-speech"

logger = logging.getLogger(__name__)


class Corpus:
    """Clips of 16 kHz mono int16 speech, one after the other in `samples`, each from a named source.

    Attributes:
        seconds: how long each clip is, float64 (clips,).
        sources: names of the origins: "espeak", "flite", "festival", "recordings".
        source_ids: the number of each clip's origin, int64 (clips,).
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a folder that `build_corpus` wrote; the samples are mapped, not read.

        Raises:
            InputError: where there is none, or what is there is damaged.
        """
        folder = Path(folder)
        if not (folder / "index.json").is_file():
            raise InputError(f"no prepared speech at {folder}; a recipe with a synthesis section makes it there")
        try:
            index = json.loads((folder / "index.json").read_text())
            self.samples: np.ndarray = np.load(folder / "samples.npy", mmap_mode="r")
            self.offsets = np.asarray(index["offsets"], dtype=np.int64)
            self.sources: list[str] = index["sources"]
            self.makers: set[CodecIdentity] = set()
            self.source_ids = np.asarray(index["source_ids"], dtype=np.int64)
            # Speech that was prepared before phones were labelled has none.
            self._phone_starts = np.asarray(index.get("phone_starts", []), dtype=np.int64)
            self._phones = np.asarray(index.get("phones", []), dtype=np.int64)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"the prepared speech at {folder} is damaged ({error})", remedy="remove it, to make it anew"
            ) from None
        if len(self.samples) != self.offsets[-1] or self._phones.max(initial=0) >= len(INVENTORY):
            raise InputError(
                f"prepared speech at {folder} is not what its index says", remedy="remove it, to make it anew"
            )
        self.seconds = np.diff(self.offsets) / SAMPLING_RATE

    def __len__(self) -> int:
        return len(self.source_ids)

    def hours(self) -> dict[str, float]:
        """Compute the hours of speech by source."""
        counts = np.bincount(self.source_ids, weights=self.seconds, minlength=len(self.sources))
        return {name: float(count) / 3600 for name, count in zip(self.sources, counts, strict=True)}

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        """Read a piece of a clip; it is shorter where the clip ends."""
        first = int(self.offsets[clip]) + round(start * SAMPLING_RATE)
        end = min(first + round(seconds * SAMPLING_RATE), int(self.offsets[clip + 1]))
        samples = self.samples[first:end].astype(np.float32) / 32768.0
        return ClipExcerpt(samples, SAMPLING_RATE, self._phones_between(first, end))

    def _phones_between(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray] | None:
        begin = max(0, int(np.searchsorted(self._phone_starts, first, "right")) - 1)
        found = slice(begin, int(np.searchsorted(self._phone_starts, end)))
        phones = self._phones[found]
        if not (phones != UNKNOWN).any():
            return None
        return (self._phone_starts[found] - first) / SAMPLING_RATE, phones


def _recordings(folder: Path, limit: Limit) -> Iterator[SpokenClip]:
    """Read the recordings of people in a folder, as far as the limit lets."""
    paths = sorted(media_files(folder))
    unreadable = Unreadable(len(paths), logger)
    for number, path in enumerate(paths):
        if limit.is_reached():
            return
        try:
            audio = Audio.read(path)
        except AudioError as error:
            unreadable.note(number, error)
            continue
        if audio.sampling_rate < SAMPLING_RATE:
            raise AudioError(
                f"{path} has {audio.sampling_rate} Hz; recordings to train on need {SAMPLING_RATE} Hz or more"
            )
        samples = audio.mono().resample(SAMPLING_RATE).samples[0]
        if (clip := SpokenClip.of(Utterance(samples, path.name))) is not None:
            yield clip


def needs_building(folder: Path) -> bool:
    """Tell whether there is no corpus in a folder, or one whose making was stopped."""
    return not folder.exists() or ((folder / UNFINISHED).is_dir() and not (folder / "index.json").is_file())


def build_corpus(recipe: SynthesisRecipe, folder: str | Path, limit: Limit | None = None) -> Corpus | None:
    """Make the speech that a recipe asks for, and write it to `folder`; it is complete once its index is there.

    What is made so far is kept in `folder`, and taken up by the next call with the same recipe. The log says how far it
    has come, and what is left out.

    Args:
        recipe: which speech.
        folder: where to.
        limit: when to stop; None is never.

    Returns:
        The corpus, or None where the limit was reached.

    Raises:
        InputError: where the recipe gives no speech, or a synthesizer is not installed.
        AudioError: where recordings are of too low a rate, or too many of them cannot be read.
    """
    folder, limit = Path(folder), limit or Limit()
    unfinished = folder / UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    spoken = list(_stretches(recipe, unfinished))
    if not _make(spoken, limit):
        return None
    recorded: list[SpokenClip] = []
    if recipe.recordings is not None and not Path(recipe.recordings).is_dir():
        logger.warning("there is no folder %s; no recordings are added", recipe.recordings)
    elif recipe.recordings is not None:
        recorded = list(_recordings(Path(recipe.recordings), limit))
        if limit.is_reached():
            return None
    clips = chain(
        ((stretch.engine, clip) for stretch in spoken for clip in stretch.clips()),
        (("recordings", clip) for clip in recorded),
    )
    _write(clips, folder)
    shutil.rmtree(unfinished)
    return Corpus(folder)


def _stretches(recipe: SynthesisRecipe, folder: Path) -> Iterator[Stretch]:
    """List all the speech that a recipe asks for and the machine can make."""
    for engine, hours in recipe.hours.items():
        if engine in recipe.optional and shutil.which(engine) is None:
            logger.warning("%s is not installed; its %g h are left out", engine, hours)
            continue
        yield from stretches(engine, recipe.seed, hours, folder)


def _make(wanted: Sequence[Stretch], limit: Limit) -> bool:
    """Make the stretches that are not there yet, and tell every percent; whether all are there at the end."""
    total = sum(stretch.seconds for stretch in wanted)
    absent = [stretch for stretch in wanted if not stretch.path.is_file()]
    done = kept = total - sum(stretch.seconds for stretch in absent)
    if kept:
        logger.info("taking up %s of the speech", _share(kept, total))
    told = int(100 * done / total) if total else 0
    for stretch in absent:
        now = 0.0
        for seconds in stretch.make(limit):
            now = min(stretch.seconds, now + seconds)
            if (percent := int(100 * (done + now) / total)) > told:
                told = percent
                logger.info("made %s of the speech: %s", _share(done + now, total), stretch.engine)
        if not stretch.path.is_file():
            logger.info("stopped; %s of the speech is kept, and the next run goes on there", _share(done, total))
            return False
        done += stretch.seconds
    return True


def _share(seconds: float, total: float) -> str:
    return f"{100 * seconds / total:.0f} % ({seconds / 3600:.2f} of {total / 3600:.2f} h)"


def _write(clips: Iterable[tuple[str, SpokenClip]], folder: Path) -> None:
    """Write the samples, clip after clip as they come, and then the index."""
    sources: list[str] = []
    source_ids: list[int] = []
    offsets = [0]
    starts: list[int] = []
    phones: list[int] = []
    with written_whole(folder / "samples.npy") as part, part.open("wb") as file:
        _write_header(file, 0)
        for source, clip in clips:
            if source not in sources:
                sources.append(source)
            source_ids.append(sources.index(source))
            file.write(clip.samples.astype("<i2").tobytes())
            for start, phone in clip.phones:
                starts.append(offsets[-1] + start)
                phones.append(phone)
            offsets.append(offsets[-1] + len(clip.samples))
        if not source_ids:
            raise InputError("the recipe's synthesis section gives no speech; see its hours and recordings")
        file.seek(0)
        _write_header(file, offsets[-1])
    index = {
        "offsets": offsets,
        "sources": sources,
        "source_ids": source_ids,
        "phone_starts": starts,
        "phones": phones,
    }
    with written_whole(folder / "index.json") as part:
        part.write_text(json.dumps(index))


def _write_header(file: BinaryIO, count: int) -> None:
    """Write the header of a file of int16, one-dimensional; numpy leaves it room for any count."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (count,)})
