"""Means over clips, and how far they can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from xcodec.errors import MissingExtraError
from xcodec.evaluation.metric import Score

__all__ = ["METHOD", "Mean", "mean_of", "weighted_mean"]

DRAWS = 10_000
SEED = 0
_BLOCK = 1 << 22  # scores drawn at once

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


def weighted_mean(scores: Sequence[Score]) -> float | None:
    """Average scores, each by its weight; None where there are none."""
    if not scores:
        return None
    weights = [score.weight for score in scores]
    return float(np.average([score.value for score in scores], weights=weights))


def mean_of(scores: Sequence[Score]) -> Mean | None:
    """Average scores, each by its weight, with a 95% interval; None where there are none.

    Raises:
        MissingExtraError: without scipy.
    """
    return _mean_of(tuple(scores))


@lru_cache(maxsize=4096)  # tables, pages and JSON ask for the same
def _mean_of(scores: tuple[Score, ...]) -> Mean | None:
    value = weighted_mean(scores)
    if value is None:
        return None
    if len(scores) == 1:
        return Mean(value, None, None, 1)
    try:
        from scipy.stats import bootstrap
    except ImportError as error:
        raise MissingExtraError("intervals of means need scipy: pip install 'xcodec[eval]'") from error
    weights = np.array([score.weight for score in scores])
    interval = bootstrap(
        (weights * [score.value for score in scores], weights),
        lambda sums, weights, axis: sums.sum(axis) / weights.sum(axis),
        n_resamples=DRAWS,
        batch=max(1, _BLOCK // len(scores)),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(SEED),  # the same clips for every metric and system, so that intervals compare
    ).confidence_interval
    return Mean(value, float(interval.low), float(interval.high), len(scores))
