"""Means over clips, and how far they can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xcodec.evaluation.metric import Score

__all__ = ["METHOD", "Mean", "mean_of"]

DRAWS = 10_000
SEED = 0
_BLOCK = 1 << 22  # counts drawn at once

METHOD = (
    f"95% percentile bootstrap over clips (Efron 1979; for word error rates Bisani and Ney 2004), {DRAWS:,} draws. "
    "It tells how the mean would vary with other clips of the same kind; with fewer than about 20 it is too narrow."
)


@dataclass(frozen=True)
class Mean:
    """A weighted mean over clips.

    Args:
        value: the mean.
        low: lower end of the 95% interval; None for a single clip, which has none.
        high: its upper end.
        clips: how many clips had a score.
    """

    value: float
    low: float | None
    high: float | None
    clips: int


def mean_of(scores: Sequence[Score]) -> Mean | None:
    """Average scores, each by its weight; None where there are none."""
    if not scores:
        return None
    weights = np.array([score.weight for score in scores])
    sums = weights * [score.value for score in scores]
    value, count = float(sums.sum() / weights.sum()), len(scores)
    if count == 1:
        return Mean(value, None, None, 1)
    drawn = np.random.default_rng(SEED)  # the same clips for every metric and system, so that intervals compare
    rows = max(1, _BLOCK // count)
    means: list[np.ndarray] = []
    for done in range(0, DRAWS, rows):
        times = drawn.multinomial(count, np.full(count, 1 / count), size=min(rows, DRAWS - done))
        means.append(times @ sums / (times @ weights))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Mean(value, float(low), float(high), count)
