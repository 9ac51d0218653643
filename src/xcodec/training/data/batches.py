"""Batches of augmented crops, each a function of the seed, the step, the process and the sampler's position alone.

So a run that resumes sees what it would have seen, and nothing random has to be saved.
"""

import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor

from xcodec.errors import AudioError
from xcodec.training.data.augmentation import augment
from xcodec.training.data.batch import Batch
from xcodec.training.data.dataset import ClipExcerpt, Dataset
from xcodec.training.data.sampler import Item, Position, Sampler
from xcodec.training.data.unreadable import Unreadable
from xcodec.training.phones import UNKNOWN
from xcodec.training.sections import AugmentationRecipe, DataRecipe

__all__ = ["Batches", "Geometry"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Geometry:
    """The rates between which a codec works.

    Args:
        sampling_rate: in Hz, of what it reads.
        output_rate: in Hz, of what it writes.
        hop_length: samples per code that it reads.
    """

    sampling_rate: int
    output_rate: int
    hop_length: int

    def samples(self, codes: int) -> int:
        """Count the samples that the codec writes of so many codes."""
        return codes * self.hop_length * self.output_rate // self.sampling_rate

    @property
    def frame(self) -> float:
        """Seconds per code."""
        return self.hop_length / self.sampling_rate


class Batches:
    """Makes the batches of one process.

    Args:
        dataset: of the clips.
        data: how they are cut.
        augmentation: what is done to them.
        geometry: of the codec.
        seed: of everything random.
        rank: which process this is.
        count: how many there are.
        track_pitch: tells the pitch of targets, as `Batch` has it; None where nobody needs it.
    """

    def __init__(
        self,
        dataset: Dataset,
        data: DataRecipe,
        augmentation: AugmentationRecipe,
        geometry: Geometry,
        seed: int,
        rank: int = 0,
        count: int = 1,
        track_pitch: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.track_pitch = track_pitch
        self.unreadable = Unreadable(len(dataset.seconds), logger)
        self.dataset = dataset
        self.data = data
        self.augmentation = augmentation
        self.geometry = geometry
        self.seed = seed
        self.rank = rank
        shares = np.array([data.shares.get(name, 1.0) for name in dataset.sources])[dataset.source_ids]
        longest = data.crop_seconds[1] * augmentation.speed[1]
        self.sampler = Sampler(dataset.seconds, shares, longest, seed, rank, count)

    def batch(self, step: int, position: Position) -> tuple[Batch, Position]:
        """Make the batch of a step, and say where the sampler stands after it.

        Raises:
            AudioError: where too many recordings cannot be read.
        """
        items, codes, after = self._choose(step, position)
        return self._make(step, items, codes), after

    def following(self, step: int, position: Position) -> Iterator[tuple[Batch, Position]]:
        """Yield the batches of `step`, `step` + 1, ..., making the next ones in threads meanwhile."""
        with ThreadPoolExecutor(self.data.workers) as pool:
            upcoming: list[tuple[Future[Batch], Position]] = []
            try:
                while True:
                    while len(upcoming) <= self.data.workers:
                        items, codes, position = self._choose(step, position)
                        upcoming.append((pool.submit(self._make, step, items, codes), position))
                        step += 1
                    made, after = upcoming.pop(0)
                    yield made.result(), after
            finally:
                for future, _ in upcoming:
                    future.cancel()

    def _choose(self, step: int, position: Position) -> tuple[list[Item], int, Position]:
        """Choose stretches, how many codes of each, and the position afterwards; all processes choose alike."""
        seconds = np.random.default_rng((self.seed, step)).uniform(*self.data.crop_seconds)
        codes = max(1, round(seconds / self.geometry.frame))
        clips = max(1, round(self.data.batch_seconds / (codes * self.geometry.frame)))
        items, after = self.sampler.take(position, clips)
        return items, codes, after

    def _make(self, step: int, items: list[Item], codes: int) -> Batch:
        rng = np.random.default_rng((self.seed, step, self.rank))
        crops = [self._crop_or_another(item, codes, rng) for item in items]
        target = np.stack([samples for samples, _, _ in crops])
        waveform = target
        if self.geometry.output_rate != self.geometry.sampling_rate:
            length = codes * self.geometry.hop_length
            down = (
                soxr.resample(row, self.geometry.output_rate, self.geometry.sampling_rate)[:length] for row in target
            )
            waveform = np.stack([np.pad(row, (0, length - len(row))) for row in down])
        stored = [ids for _, _, ids in crops if ids is not None]
        written = torch.from_numpy(target)
        return Batch(
            waveform=torch.from_numpy(waveform),
            target=written,
            phones=torch.from_numpy(np.stack([phones for _, phones, _ in crops])),
            codes=torch.from_numpy(np.stack(stored)) if stored else None,
            pitch=None if self.track_pitch is None else self.track_pitch(written),
        )

    def _crop_or_another(
        self, item: Item, codes: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Cut a crop; where the recording cannot be read, one of another of its source, the same when a run resumes."""
        while True:
            try:
                return self._crop(item, codes, rng)
            except AudioError as error:
                self.unreadable.note(item.clip, error)
            clip = int(rng.choice(np.flatnonzero(self.dataset.source_ids == self.dataset.source_ids[item.clip])))
            item = Item(clip, 0.0, float(self.dataset.seconds[clip]))

    def _crop(
        self, item: Item, codes: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Cut samples at the output's rate, the phone at each code, and stored codes."""
        frame = self.geometry.frame
        speed = float(rng.uniform(*self.augmentation.speed))
        needed = codes * frame * speed
        start = item.start + rng.random() * max(0.0, item.seconds - needed)
        if self.augmentation.changes_nothing:  # stored codes begin at whole frames
            start = math.floor(start / frame + 1e-6) * frame
        read = self.dataset.excerpt(item.clip, start, needed)
        samples = read.samples
        wanted = round(needed * read.sampling_rate)
        if read.codes is not None and len(read.codes) < codes:  # up to the end of the last code
            samples = np.pad(samples, (0, max(0, round(len(read.codes) * frame * read.sampling_rate) - len(samples))))
        if len(samples) < wanted:  # a clip that is too short is said again
            samples = np.resize(samples, wanted)
        length = self.geometry.samples(codes)
        crop = augment(samples, read.sampling_rate * speed, self.geometry.output_rate, length, self.augmentation, rng)
        times = (np.arange(codes) + 0.5) * frame * speed
        stored = None if read.codes is None else np.resize(read.codes, codes)
        return crop, _phones_at(read, times % max(len(read.samples) / read.sampling_rate, frame)), stored


def _phones_at(read: ClipExcerpt, times: np.ndarray) -> np.ndarray:
    """Return the phone that is spoken at each time, in seconds from the excerpt's beginning: int64 (times,)."""
    if read.phones is None:
        return np.full(len(times), UNKNOWN)
    starts, phones = read.phones
    return phones[np.maximum(np.searchsorted(starts, times, "right") - 1, 0)]
