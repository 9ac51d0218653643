"""Batches of augmented crops, each a function of the seed and the step alone: a run that resumes sees the same ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from xcodec.training.augmentation import augment, source_length
from xcodec.training.corpus import Corpus
from xcodec.training.recipe import Recipe
from xcodec.training.synthesis import SAMPLING_RATE

__all__ = ["batches", "make_batch"]


def make_batch(corpus: Corpus, recipe: Recipe, hop_length: int, step: int) -> Tensor:
    """Make the batch of a step: float32 (clips, samples) at 16 kHz, samples a multiple of the hop."""
    rng = np.random.default_rng((recipe.seed, step))
    seconds = rng.uniform(*recipe.crop_seconds)
    length = max(1, round(seconds * SAMPLING_RATE / hop_length)) * hop_length
    clips = max(1, round(recipe.batch_seconds * SAMPLING_RATE / length))
    chosen = rng.choice(len(corpus), clips, p=corpus.likelihoods(recipe.synthesis.shares))
    batch = np.empty((clips, length), dtype=np.float32)
    for row, clip in enumerate(chosen):
        speed = rng.uniform(*recipe.augmentation.speed)
        samples = corpus.crop(int(clip), source_length(length, speed), rng.random())
        batch[row] = augment(samples, length, speed, recipe.augmentation, rng)
    return torch.from_numpy(batch)


def batches(corpus: Corpus, recipe: Recipe, hop_length: int, first_step: int) -> Iterator[Tensor]:
    """Yield the batches of steps `first_step`, `first_step` + 1, ..., making the next one in a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        step = first_step
        upcoming = executor.submit(make_batch, corpus, recipe, hop_length, step)
        while True:
            ready = upcoming.result()
            step += 1
            upcoming = executor.submit(make_batch, corpus, recipe, hop_length, step)
            yield ready
