"""Whether one system is better than another on the same clips, and how many clips it would take to see it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from xcodec.evaluation.evaluation import Evaluation, SystemResult
from xcodec.evaluation.metric import Scale, Score
from xcodec.evaluation.summary import Mean, mean_of
from xcodec.evaluation.systems.system import Reference

__all__ = ["FEWEST", "METHOD", "Comparison", "best_of", "compare", "compare_all", "of_the_leader"]

FEWEST = 6
"""Clips from which on a claim is made. That all of n clips agree by chance has the probability 2 ** (1 - n), which is
below 5% from six clips on; a bootstrap of fewer would claim more than they can show."""
QUANTILES = 1.959964 + 0.841621  # of the normal distribution: for 5% two-sided, and for a power of 80%

METHOD = (
    "Differences between two systems are of the same clips, with a 95% percentile bootstrap over clips. One system is "
    f"called better where the interval leaves out 0 and there are at least {FEWEST} clips; of many comparisons, one in "
    "twenty would be called so by chance. The clips needed are for a power of 80% at a level of 5%, two-sided, by the "
    "normal approximation, if the difference and its spread are as seen here."
)


@dataclass(frozen=True)
class Comparison:
    """Two systems by one scale, on the clips that have a score of both.

    Args:
        key: the scale's.
        first: a system's name.
        second: another's.
        difference: the mean of the first minus that of the second, with its interval.
        better: the name of the system of which it can be said that it is better; None where it cannot be said.
        clips_needed: with how many clips such a difference would be seen 8 times in 10; None where there is none.
    """

    key: str
    first: str
    second: str
    difference: Mean
    better: str | None
    clips_needed: int | None


def compare_all(evaluation: Evaluation) -> list[Comparison]:
    """Compare each pair of systems by each scale; the recordings themselves do not compete."""
    systems = [system for system in evaluation.systems if system.name != Reference.name]
    return [
        comparison
        for scale in evaluation.scales
        for first, second in combinations(systems, 2)
        if (comparison := compare(first, second, scale)) is not None
    ]


def compare(first: SystemResult, second: SystemResult, scale: Scale) -> Comparison | None:
    """Compare two systems by one scale; None where no clip has a score of both."""
    differences = list(paired(first, second, scale.key))
    mean = mean_of(differences)
    if mean is None:
        return None
    better = None
    if mean.low is not None and mean.high is not None and mean.clips >= FEWEST and not mean.low <= 0 <= mean.high:
        better = first.name if (mean.value > 0) == scale.higher_is_better else second.name
    return Comparison(scale.key, first.name, second.name, mean, better, clips_needed(differences))


def paired(first: SystemResult, second: SystemResult, key: str) -> Iterator[Score]:
    """Give the differences of the scores that both have, each with the clip's weight."""
    others = {row.name: row.scores.get(key) for row in second.rows}
    for row in first.rows:
        one, other = row.scores.get(key), others.get(row.name)
        if one is not None and other is not None:
            yield Score(one.value - other.value, one.weight)


def clips_needed(differences: Sequence[Score]) -> int | None:
    """Compute with how many clips a mean difference as that of these would be told from 0, at a power of 80%.

    Args:
        differences: of single clips, at least two for a result.
    """
    values = np.array([score.value for score in differences])
    weights = np.array([score.weight for score in differences])
    mean = np.average(values, weights=weights)
    if len(values) < 2 or mean == 0:
        return None
    # What each clip moves the weighted mean by, times the number of clips; with equal weights, its deviation.
    spread = float(np.std(weights * (values - mean) / weights.mean(), ddof=1))
    return max(FEWEST, math.ceil((QUANTILES * spread / abs(mean)) ** 2))


def of_the_leader(evaluation: Evaluation, comparisons: Sequence[Comparison], scale: Scale) -> list[Comparison]:
    """Give the comparisons of the system whose mean is best with each other, the closest first."""
    means = {
        system.name: mean.value
        for system in evaluation.systems
        if system.name != Reference.name and (mean := system.mean(scale.key)) is not None
    }
    ranked = sorted(means, key=lambda name: means[name], reverse=scale.higher_is_better)
    found = [each for each in comparisons if each.key == scale.key and ranked[0] in (each.first, each.second)]
    return sorted(found, key=lambda each: ranked.index(each.second if each.first == ranked[0] else each.first))


def best_of(evaluation: Evaluation, comparisons: Sequence[Comparison], scale: Scale) -> str | None:
    """Name the system of which it can be said that it is better than each other by a scale; None where there is none.

    A system without any score does not count.
    """
    scored = {
        system.name for system in evaluation.systems if system.name != Reference.name and system.scores(scale.key)
    }
    wins = dict.fromkeys(scored, 0)
    for comparison in comparisons:
        if comparison.key == scale.key and comparison.better is not None:
            wins[comparison.better] += 1
    return next((name for name, won in wins.items() if won == len(scored) - 1 > 0), None)
