"""The run: every clip through every system, every pair through every metric."""

from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, XcodecError
from xcodec.evaluation.clips import Clip, Pair
from xcodec.evaluation.codebook import CodebookUse, CodeCounter
from xcodec.evaluation.metric import Metric, Missing, Scale, Score, UndefinedError
from xcodec.evaluation.summary import Mean, mean_of
from xcodec.evaluation.systems.system import Reconstruction, Reference, System
from xcodec.progress import shares, told_to

__all__ = ["Evaluation", "Example", "Failed", "Row", "SystemResult", "evaluate"]


@dataclass(frozen=True)
class Row:
    """One clip through one system.

    Args:
        name: the clip's.
        seconds: of the recording.
        scores: by scale key; None where a metric is not defined for this clip.
        reasons: why not, by scale key.
        bits: what the system kept of the clip, where that is known.
        tokens: how many codes that is, of all codebooks; None where there are none.
        took: seconds that it took to give the clip back; None where that was done before.
    """

    name: str
    seconds: float
    scores: dict[str, Score | None]
    reasons: dict[str, str]
    bits: float | None
    tokens: int | None = None
    took: float | None = None


@dataclass(frozen=True)
class Failed:
    """What could not be done: the clip's name, the system's (or "" where the recording could not be read), and why."""

    clip: str
    system: str
    reason: str

    def __str__(self) -> str:
        return f"{self.clip}, {self.system}: {self.reason}" if self.system else self.reason


@dataclass
class SystemResult:
    """One system's scores.

    Args:
        name: the system's.
        about: what exactly was run.
        rows: one for each clip that came back.
        codebooks: how they were used, one for each; empty for what has none.
        parameters: how many weights the system has; None where that is not known.
        macs: multiplications, each with its addition, for a second of audio; None where they were not counted.
    """

    name: str
    about: str
    rows: list[Row] = field(default_factory=list)
    codebooks: list[CodebookUse] = field(default_factory=list)
    parameters: int | None = None
    macs: float | None = None

    @property
    def bitrate(self) -> float | None:
        """The bitrate in bit/s: all that was kept over all that was said; None where it is not known."""
        return self._a_second([row.bits for row in self.rows])

    @property
    def token_rate(self) -> float | None:
        """Codes a second, of all codebooks together; None where there are none."""
        return self._a_second([row.tokens for row in self.rows])

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for a second of audio: the median over clips, which a slow first one does not move."""
        factors = [row.took / row.seconds for row in self.rows if row.took is not None]
        return median(factors) if factors else None

    def _a_second(self, amounts: Sequence[float | None]) -> float | None:
        known = [amount for amount in amounts if amount is not None]
        if not known or len(known) < len(amounts):
            return None
        return sum(known) / sum(row.seconds for row in self.rows)

    def scores(self, key: str) -> list[Score]:
        """Return the scores of the clips that have one."""
        return [score for row in self.rows if (score := row.scores.get(key)) is not None]

    def mean(self, key: str) -> Mean | None:
        """Average over the clips that have this score, with an interval."""
        return mean_of(self.scores(key))


@dataclass(frozen=True)
class Example:
    """A clip to be heard and seen: the recording, and what came back of it, by system."""

    clip: Clip
    recording: Audio
    reconstructions: dict[str, Reconstruction]


@dataclass
class Evaluation:
    """All that came of a run.

    Args:
        scales: what was measured.
        missing: what was not, and how to get it.
        systems: in the order given; first the recordings themselves, if a metric needs no reference.
        packages: whose versions decide the scores.
        failures: what could not be done.
        examples: clips with their audio.
        levels: of each system's finite scalar quantizer, by name, where it has one.
    """

    scales: list[Scale]
    missing: list[Missing]
    systems: list[SystemResult]
    packages: list[str]
    failures: list[Failed] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    levels: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def clips(self) -> dict[str, float]:
        """The clips that any system gave back, with their seconds."""
        return {row.name: row.seconds for system in self.systems for row in system.rows}


def evaluate(
    clips: Sequence[Clip],
    systems: Sequence[System],
    metrics: Sequence[Metric],
    missing: Sequence[Missing] = (),
    examples: Collection[str] = (),
    on_progress: Callable[[float], object] | None = None,
    *,
    count_macs: bool = False,
) -> Evaluation:
    """Score systems on clips.

    One clip is in memory at a time. A clip that cannot be read, or that a system cannot give back, is a failure and
    keeps no other from its score.

    Args:
        clips: the recordings.
        systems: what gives them back, each of its own name.
        metrics: what to measure.
        missing: what cannot be measured, for the report.
        examples: names of clips whose audio is kept.
        on_progress: called with how many more clips are done, in fractions too. What it raises ends the evaluation.
        count_macs: whether to count each model's operations, for which it runs once more.

    Raises:
        InputError: where two systems have one name.
    """
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise InputError(
            f"two systems are called {max(names, key=names.count)}",
            remedy="give each once, or with settings that differ, as mini:int8 and MODEL@2",
        )
    if any(not metric.needs_reference for metric in metrics):
        systems = [Reference(), *systems]
    result = Evaluation(
        scales=[scale for metric in metrics for scale in metric.scales],
        missing=list(missing),
        systems=[SystemResult(system.name, system.about, parameters=system.parameters) for system in systems],
        packages=sorted({package for metric in metrics for package in metric.packages}),
        levels={system.name: system.levels for system in systems if system.levels},
    )
    if count_macs:
        for system, system_result in zip(systems, result.systems, strict=True):
            with suppress(XcodecError):  # the first clip will tell
                system_result.macs = system.count_macs()
    counters: list[list[CodeCounter]] = [[] for _ in systems]
    with told_to(on_progress, len(clips)):
        for clip in shares(clips):
            _evaluate_clip(clip, systems, metrics, result, counters, clip.name in examples)
    for system_result, counted in zip(result.systems, counters, strict=True):
        system_result.codebooks = [counter.use() for counter in counted]
    return result


def _evaluate_clip(
    clip: Clip,
    systems: Sequence[System],
    metrics: Sequence[Metric],
    result: Evaluation,
    counters: list[list[CodeCounter]],
    keep: bool,
) -> None:
    try:
        recording = Audio.read(clip.path)
    except XcodecError as error:
        result.failures.append(Failed(clip.name, "", str(error)))
        return
    kept: dict[str, Reconstruction] = {}
    memory: dict[Hashable, Any] = {}
    for i, system in enumerate(shares(systems)):
        try:
            started = perf_counter()
            reconstruction = system.reconstruct(clip, recording)
            took = perf_counter() - started
            pair = Pair(clip, recording, reconstruction.audio, memory)
        except XcodecError as error:
            result.failures.append(Failed(clip.name, system.name, str(error)))
            continue
        if reconstruction.codes is not None:
            _count(reconstruction.codes.ids, reconstruction.codes.codebook_sizes, system, counters[i])
        applicable = [metric for metric in metrics if not (isinstance(system, Reference) and metric.needs_reference)]
        scores, reasons = _measured(pair, applicable)
        tokens = None if reconstruction.codes is None else reconstruction.codes.ids.size
        kept_of_it = (reconstruction.bits, tokens, took if system.works else None)
        result.systems[i].rows.append(Row(clip.name, recording.duration, scores, reasons, *kept_of_it))
        kept[system.name] = reconstruction
    if keep:
        result.examples.append(Example(clip, recording, kept))


def _measured(pair: Pair, metrics: Sequence[Metric]) -> tuple[dict[str, Score | None], dict[str, str]]:
    """Give a pair's scores, and why it has none, by scale key."""
    scores: dict[str, Score | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        try:
            measured = metric.measure(pair)
            unusable = [score.value for score in measured.values() if not -1e300 < score.value < 1e300]
            if unusable:
                raise UndefinedError(f"it came out as {unusable[0]}")
            scores |= measured
        except UndefinedError as error:
            scores |= dict.fromkeys((scale.key for scale in metric.scales), None)
            reasons |= dict.fromkeys((scale.key for scale in metric.scales), str(error))
    return scores, reasons


def _count(ids: np.ndarray, sizes: Sequence[int], system: System, counters: list[CodeCounter]) -> None:
    if not counters:
        counters += [CodeCounter(size, system.levels) for size in sizes]
    for counter, row in zip(counters, ids, strict=True):
        counter.add(row)
