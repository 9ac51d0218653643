"""Comparisons of systems on the same clips: what is said of known differences, and how many clips they need."""

import numpy as np
import pytest

from xcodec.evaluation.comparison import FEWEST, best_of, clips_needed, compare, compare_all, of_the_leader
from xcodec.evaluation.evaluation import Evaluation, Row, SystemResult
from xcodec.evaluation.figures import comparison_text
from xcodec.evaluation.metric import Scale, Score
from xcodec.evaluation.record import record

pytest.importorskip("scipy", reason="needs pip install 'xcodec[eval]'")

HIGHER = Scale("stoi", "STOI", "", 3)
LOWER = Scale("wer", "WER", "", 1, "%", higher_is_better=False)
CLIPS = np.random.default_rng(0).normal(size=40)  # how hard each clip is, for every system


def system(name: str, values: np.ndarray, weights: np.ndarray | None = None, scale: Scale = HIGHER) -> SystemResult:
    weights = np.ones(len(values)) if weights is None else weights
    rows = [
        Row(f"{i}.wav", 1.0, {scale.key: Score(value, weight)}, {}, None)
        for i, (value, weight) in enumerate(zip(values.tolist(), weights.tolist(), strict=True))
    ]
    return SystemResult(name, name, rows)


def test_a_small_difference_that_all_clips_share_is_seen_though_their_means_spread_far() -> None:
    noise = 0.01 * np.random.default_rng(1).normal(size=40)
    first, second = system("a", CLIPS + 0.02 + noise), system("b", CLIPS)
    found = compare(first, second, HIGHER)
    assert found is not None
    assert found.better == "a"
    assert found.difference.value == pytest.approx(0.02 + noise.mean())
    mean = first.mean("stoi")
    assert mean is not None
    assert mean.low is not None
    assert mean.low < mean.value - 0.1  # by its own interval it could not be told from the other
    assert comparison_text(HIGHER, found).startswith("a is better than b by 0.02")


def test_better_is_lower_where_lower_is_better() -> None:
    found = compare(system("a", CLIPS + 1, scale=LOWER), system("b", CLIPS, scale=LOWER), LOWER)
    assert found is not None
    assert found.better == "b"
    assert comparison_text(LOWER, found) == "b is better than a by 1.0 % (95% interval 1.0 to 1.0)"


def test_noise_is_no_difference_and_the_clips_that_it_needs_are_told() -> None:
    noise = np.random.default_rng(2).normal(size=40)
    found = compare(system("a", CLIPS + noise), system("b", CLIPS), HIGHER)
    assert found is not None
    assert found.better is None
    text = comparison_text(HIGHER, found)
    assert "a and b cannot be told apart" in text
    assert f"takes about {found.clips_needed:,} clips" in text


def test_of_few_clips_nothing_is_said_whatever_they_say() -> None:
    for clips, better in ((FEWEST - 1, None), (FEWEST, "a")):
        found = compare(system("a", np.ones(clips)), system("b", np.zeros(clips)), HIGHER)
        assert found is not None
        assert found.better == better
    few = compare(system("a", np.ones(1)), system("b", np.zeros(1)), HIGHER)
    assert few is not None
    assert comparison_text(HIGHER, few) == "of a and b nothing can be said from 1 clip; it takes 6 at least"


def test_the_clips_needed_see_the_difference_eight_times_in_ten() -> None:
    """Differences of mean 0.5 and deviation 1: 32 clips by the formula, and four in five samples of 32 are seen."""
    random = np.random.default_rng(3)
    values = random.normal(size=100_000)
    values = (values - values.mean()) / values.std(ddof=1) + 0.5
    needed = clips_needed([Score(value) for value in values.tolist()])
    assert needed == 32
    drawn = random.choice(values, (4000, 32))
    seen = np.abs(drawn.mean(1)) > 1.96 * drawn.std(1, ddof=1) / 32**0.5
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_heavy_clips_count_more_and_clips_of_one_system_alone_do_not() -> None:
    first = system("a", np.array([1.0, 0.0, 5.0]), np.array([3.0, 1.0, 1.0]))
    second = system("b", np.array([0.0, 0.0]), np.array([3.0, 1.0]))
    found = compare(first, second, HIGHER)
    assert found is not None
    assert found.difference.value == pytest.approx(0.75)
    assert found.difference.clips == 2


def test_the_best_is_only_what_is_better_than_each_other() -> None:
    noise = np.random.default_rng(4).normal(size=40)
    alone = Evaluation([HIGHER], [], [system("a", CLIPS + 1), system("b", CLIPS), system("c", CLIPS - 1)], [])
    assert best_of(alone, compare_all(alone), HIGHER) == "a"
    assert [(each.first, each.second) for each in of_the_leader(alone, compare_all(alone), HIGHER)] == [
        ("a", "b"),
        ("a", "c"),
    ]
    tied = Evaluation(
        [HIGHER], [], [system("a", CLIPS + 0.001 * noise), system("b", CLIPS), system("c", CLIPS - 1)], []
    )
    assert best_of(tied, compare_all(tied), HIGHER) is None
    single = Evaluation([HIGHER], [], [system("a", CLIPS)], [])
    assert best_of(single, compare_all(single), HIGHER) is None
    (first, *rest) = record(alone)["comparisons"]
    assert first["better"] == "a"
    assert first["difference"]["clips"] == 40
    assert len(rest) == 2
