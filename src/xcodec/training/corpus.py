"""Training speech on disk: all samples in one memory-mapped file, and a list of where each clip begins."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xcodec.audio import AUDIO_SUFFIXES, Audio
from xcodec.errors import AudioError, InputError
from xcodec.training.recipe import SynthesisRecipe
from xcodec.training.synthesis import SAMPLING_RATE, utterances

__all__ = ["Corpus", "build_corpus"]


class Corpus:
    """Clips of 16 kHz mono int16 speech, one after the other in `samples`, each from a named source."""

    def __init__(self, folder: str | Path) -> None:
        """Open a folder that `build_corpus` wrote; the samples are mapped, not read."""
        folder = Path(folder)
        if not (folder / "index.json").is_file():
            raise InputError(
                f"no training speech at {folder}; `python -m xcodec.training` makes it there, or give another --data"
            )
        index = json.loads((folder / "index.json").read_text())
        self.samples: np.ndarray = np.load(folder / "samples.npy", mmap_mode="r")
        self.offsets = np.asarray(index["offsets"], dtype=np.int64)
        self.sources: list[str] = index["sources"]
        self.source_ids = np.asarray(index["source_ids"], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.source_ids)

    def hours(self) -> dict[str, float]:
        """Hours of speech by source."""
        counts = np.bincount(self.source_ids, weights=np.diff(self.offsets), minlength=len(self.sources))
        return {name: float(count) / SAMPLING_RATE / 3600 for name, count in zip(self.sources, counts, strict=True)}

    def likelihoods(self, shares: dict[str, float]) -> np.ndarray:
        """The probability of each clip to be drawn: as its length, times its source's share."""
        factors = np.array([shares.get(name, 1.0) for name in self.sources])
        weights = np.diff(self.offsets) * factors[self.source_ids]
        return np.asarray(weights / weights.sum())

    def crop(self, clip: int, length: int, where: float) -> np.ndarray:
        """Return float32 (length,) from within a clip; a clip that is too short runs on into the next one.

        Args:
            clip: which clip.
            length: in samples.
            where: 0 for the clip's first crop to 1 for its last.
        """
        first, end = self.offsets[clip], self.offsets[clip + 1]
        start = int(first + where * max(0, end - first - length))
        start = max(0, min(start, len(self.samples) - length))
        return self.samples[start : start + length].astype(np.float32) / 32768.0


def _recordings(folder: Path) -> Iterator[np.ndarray]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        audio = Audio.read(path)
        if audio.sampling_rate < SAMPLING_RATE:
            raise AudioError(
                f"{path} has {audio.sampling_rate} Hz; recordings to train on need {SAMPLING_RATE} Hz or more"
            )
        yield audio.mono().resample(SAMPLING_RATE).samples[0]


def _clips(recipe: SynthesisRecipe) -> Iterator[tuple[str, np.ndarray]]:
    for engine, hours in recipe.hours.items():
        if engine in recipe.optional and shutil.which(engine) is None:
            print(f"{engine} is not installed; its {hours:g} h are left out", flush=True)
            continue
        left = hours * 3600 * SAMPLING_RATE
        for spoken in utterances(engine, recipe.seed):
            yield engine, spoken.samples
            left -= len(spoken.samples)
            if left <= 0:
                break
    if recipe.recordings is not None:
        if not Path(recipe.recordings).is_dir():
            print(f"there is no folder {recipe.recordings}; no recordings are added", flush=True)
            return
        yield from (("recordings", samples) for samples in _recordings(Path(recipe.recordings)))


def build_corpus(recipe: SynthesisRecipe, folder: str | Path) -> Corpus:
    """Make the speech that a recipe asks for, and write it to `folder`; what is there appears whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chunks: list[np.ndarray] = []
    sources: list[str] = []
    source_ids: list[int] = []
    for source, samples in _clips(recipe):
        peak = float(np.abs(samples).max(initial=0.0))
        if peak == 0.0:
            continue
        if source not in sources:
            sources.append(source)
        source_ids.append(sources.index(source))
        # All at one level: training draws its own, and int16 keeps most detail near full scale.
        chunks.append(np.round(samples * (0.9 / peak) * 32767).astype(np.int16))
    offsets = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    for name in ("samples.npy", "index.json"):
        temporary = folder / f".{name}"
        with temporary.open("wb") as file:
            if name == "samples.npy":
                np.save(file, np.concatenate(chunks))
            else:
                index = {"offsets": offsets.tolist(), "sources": sources, "source_ids": source_ids}
                file.write(json.dumps(index).encode())
        temporary.replace(folder / name)
    return Corpus(folder)
