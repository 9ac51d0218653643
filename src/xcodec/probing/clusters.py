"""Latents in a few clusters, so that codecs of codebooks large and small can be held against the same phones."""

import numpy as np

__all__ = ["cluster"]

ROUNDS = 25
SEED = 0


def cluster(points: np.ndarray, count: int) -> np.ndarray:
    """Put points into clusters by k-means (Lloyd 1982), which begins at points drawn at random, with a fixed seed.

    Args:
        points: (points, channels); each channel is brought to unit variance first.
        count: clusters at most.

    Returns:
        The cluster of each point, integers (points,).
    """
    scaled = ((points - points.mean(0)) / (points.std(0) + 1e-6)).astype(np.float32)
    distinct = np.unique(scaled, axis=0)
    chosen = np.random.default_rng(SEED).permutation(len(distinct))[:count]
    centres = distinct[chosen]
    nearest = np.zeros(len(scaled), np.int64)
    for _ in range(ROUNDS):
        nearest = (scaled @ centres.T - 0.5 * np.square(centres).sum(1)).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, scaled)
        sizes = np.bincount(nearest, minlength=len(centres))
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    return nearest
