"""Training speech on disk: all samples in one memory-mapped file, and a list of where each clip begins."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xcodec.audio import Audio, media_files
from xcodec.errors import AudioError, InputError
from xcodec.files import written_whole
from xcodec.training.data.source import Excerpt
from xcodec.training.data.unreadable import Unreadable
from xcodec.training.phones import INVENTORY, UNKNOWN
from xcodec.training.sections import SynthesisRecipe
from xcodec.training.synthesis import SAMPLING_RATE, Utterance, utterances

__all__ = ["Corpus", "build_corpus"]


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
            self.source_ids = np.asarray(index["source_ids"], dtype=np.int64)
            # Speech that was prepared before phones were labelled has none.
            self._phone_starts = np.asarray(index.get("phone_starts", []), dtype=np.int64)
            self._phones = np.asarray(index.get("phones", []), dtype=np.int64)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"the prepared speech at {folder} is damaged ({error}); remove it, to make it anew"
            ) from None
        if len(self.samples) != self.offsets[-1] or self._phones.max(initial=0) >= len(INVENTORY):
            raise InputError(f"prepared speech at {folder} is not what its index says; remove it, to make it anew")
        self.seconds = np.diff(self.offsets) / SAMPLING_RATE

    def __len__(self) -> int:
        return len(self.source_ids)

    def hours(self) -> dict[str, float]:
        """Hours of speech by source."""
        counts = np.bincount(self.source_ids, weights=self.seconds, minlength=len(self.sources))
        return {name: float(count) / 3600 for name, count in zip(self.sources, counts, strict=True)}

    def excerpt(self, clip: int, start: float, seconds: float) -> Excerpt:
        """Read a piece of a clip; it is shorter where the clip ends."""
        first = int(self.offsets[clip]) + round(start * SAMPLING_RATE)
        end = min(first + round(seconds * SAMPLING_RATE), int(self.offsets[clip + 1]))
        samples = self.samples[first:end].astype(np.float32) / 32768.0
        return Excerpt(samples, SAMPLING_RATE, self._phones_between(first, end))

    def _phones_between(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray] | None:
        begin = max(0, int(np.searchsorted(self._phone_starts, first, "right")) - 1)
        found = slice(begin, int(np.searchsorted(self._phone_starts, end)))
        phones = self._phones[found]
        if not (phones != UNKNOWN).any():
            return None
        return (self._phone_starts[found] - first) / SAMPLING_RATE, phones


def _recordings(folder: Path) -> Iterator[Utterance]:
    paths = sorted(media_files(folder))
    unreadable = Unreadable(len(paths), print)
    for number, path in enumerate(paths):
        try:
            audio = Audio.read(path)
        except AudioError as error:
            unreadable.note(number, error)
            continue
        if audio.sampling_rate < SAMPLING_RATE:
            raise AudioError(
                f"{path} has {audio.sampling_rate} Hz; recordings to train on need {SAMPLING_RATE} Hz or more"
            )
        yield Utterance(audio.mono().resample(SAMPLING_RATE).samples[0], path.name)


def _clips(recipe: SynthesisRecipe) -> Iterator[tuple[str, Utterance]]:
    for engine, hours in recipe.hours.items():
        if engine in recipe.optional and shutil.which(engine) is None:
            print(f"{engine} is not installed; its {hours:g} h are left out", flush=True)
            continue
        left = hours * 3600 * SAMPLING_RATE
        for spoken in utterances(engine, recipe.seed):
            yield engine, spoken
            left -= len(spoken.samples)
            if left <= 0:
                break
    if recipe.recordings is not None:
        if not Path(recipe.recordings).is_dir():
            print(f"there is no folder {recipe.recordings}; no recordings are added", flush=True)
            return
        yield from (("recordings", spoken) for spoken in _recordings(Path(recipe.recordings)))


def build_corpus(recipe: SynthesisRecipe, folder: str | Path) -> Corpus:
    """Make the speech that a recipe asks for, and write it to `folder`; it is complete once its index is there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chunks: list[np.ndarray] = []
    sources: list[str] = []
    source_ids: list[int] = []
    starts: list[int] = []
    phones: list[int] = []
    length = 0
    for source, spoken in _clips(recipe):
        peak = float(np.abs(spoken.samples).max(initial=0.0))
        if peak == 0.0:
            continue
        if source not in sources:
            sources.append(source)
        source_ids.append(sources.index(source))
        # All at one level: training draws its own, and int16 keeps most detail near full scale.
        chunks.append(np.round(spoken.samples * (0.9 / peak) * 32767).astype(np.int16))
        for second, phone in spoken.phones or ((0.0, UNKNOWN),):
            starts.append(length + round(second * SAMPLING_RATE))
            phones.append(phone)
        length += len(chunks[-1])
    if not chunks:
        raise InputError("the recipe's synthesis section gives no speech; see its hours and recordings")
    index = {
        "offsets": np.cumsum([0, *(len(chunk) for chunk in chunks)]).tolist(),
        "sources": sources,
        "source_ids": source_ids,
        "phone_starts": starts,
        "phones": phones,
    }
    with written_whole(folder / "samples.npy") as part, part.open("wb") as file:
        np.save(file, np.concatenate(chunks))
    with written_whole(folder / "index.json") as part:
        part.write_text(json.dumps(index))
    return Corpus(folder)
