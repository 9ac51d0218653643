"""The run: every clip through every system, every pair through every metric."""

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, XcodecError
from xcodec.evaluation.clips import Clip, Pair
from xcodec.evaluation.codebook import CodebookUse, CodeCounter
from xcodec.evaluation.level import matched
from xcodec.evaluation.measuring import Asked, Measurement, Measuring
from xcodec.evaluation.metric import Metric, Missing, Scale, Score
from xcodec.evaluation.summary import Mean, mean_of
from xcodec.evaluation.systems.system import Reconstruction, Reference, System
from xcodec.progress import share, shares, told_to

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
        levels_matched: whether reconstructions were brought to the active levels of the recordings.
    """

    scales: list[Scale]
    missing: list[Missing]
    systems: list[SystemResult]
    packages: list[str]
    failures: list[Failed] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    levels: dict[str, tuple[int, ...]] = field(default_factory=dict)
    levels_matched: bool = False

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
    workers: int = 0,
    match_level: bool = False,
) -> Evaluation:
    """Score systems on clips.

    One clip is in memory at a time, and one for each worker. A clip that cannot be read, or that a system cannot give
    back, is a failure and keeps no other from its score.

    Args:
        clips: the recordings.
        systems: what gives them back, each of its own name.
        metrics: what to measure.
        missing: what cannot be measured, for the report.
        examples: names of clips whose audio is kept.
        on_progress: called with how many more clips are done, in fractions too. What it raises ends the evaluation.
        count_macs: whether to count each model's operations, for which it runs once more.
        workers: processes that measure one clip while the systems give the next one back; 0 to do it in turn. The
            result is the same.
        match_level: whether to bring reconstructions to the active levels of the recordings before they are measured
            and kept.

    Raises:
        InputError: where two systems have one name.
        MeasuringError: where a worker dies.
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
        levels_matched=match_level,
    )
    if count_macs:
        for system, system_result in zip(systems, result.systems, strict=True):
            with suppress(XcodecError):  # the first clip will tell
                system_result.macs = system.count_macs()
    counters: list[list[CodeCounter]] = [[] for _ in systems]
    begun: deque[list[Begun]] = deque()

    def take(finished: Iterable[Sequence[Measurement]]) -> None:
        for measurements in finished:
            for each, measurement in zip(begun.popleft(), measurements, strict=True):
                result.systems[each.system].rows.append(each.row(measurement))

    # What processes measure beside the codecs is not all done when the codecs are: the wait counts as one more clip.
    with (
        told_to(on_progress, len(clips)),
        Measuring(metrics, workers, lambda: on_progress and on_progress(0.0)) as measuring,
    ):
        with share(len(clips) / (len(clips) + bool(workers))) if clips else nullcontext():
            for clip in shares(clips):
                if rows := _reconstruct(clip, systems, result, counters, clip.name in examples):
                    begun.append(rows)
                    measuring.begin([Asked(row.pair, _applicable(systems[row.system], metrics)) for row in rows])
                take(measuring.finished())
        take(measuring.rest())
    for system_result, counted in zip(result.systems, counters, strict=True):
        system_result.codebooks = [counter.use() for counter in counted]
    return result


@dataclass(frozen=True)
class Begun:
    """A row without scores.

    Args:
        system: its number.
        pair: what is to be measured.
        facts: of the row, by their names.
    """

    system: int
    pair: Pair
    facts: dict[str, Any]

    def row(self, measurement: Measurement) -> Row:
        """Complete it."""
        return Row(scores=measurement.scores, reasons=measurement.reasons, **self.facts)


def _applicable(system: System, metrics: Sequence[Metric]) -> tuple[int, ...]:
    """Number the metrics that a system's reconstructions go through: the recordings are held against nothing."""
    alone = isinstance(system, Reference)
    return tuple(i for i, metric in enumerate(metrics) if not (alone and metric.needs_reference))


def _reconstruct(
    clip: Clip,
    systems: Sequence[System],
    result: Evaluation,
    counters: list[list[CodeCounter]],
    keep: bool,
) -> list[Begun]:
    """Let each system give a clip back."""
    try:
        recording = Audio.read(clip.path)
    except XcodecError as error:
        result.failures.append(Failed(clip.name, "", str(error)))
        return []
    kept: dict[str, Reconstruction] = {}
    memory: dict[Hashable, Any] = {}
    rows = []
    for i, system in enumerate(shares(systems)):
        try:
            started = perf_counter()
            reconstruction = system.reconstruct(clip, recording)
            took = perf_counter() - started
            pair = Pair(clip, recording, reconstruction.audio, memory)
            if result.levels_matched and not isinstance(system, Reference):
                reconstruction = replace(reconstruction, audio=matched(pair, reconstruction.audio))
                pair = Pair(clip, recording, reconstruction.audio, memory)
        except XcodecError as error:
            result.failures.append(Failed(clip.name, system.name, str(error)))
            continue
        codes = reconstruction.codes
        if codes is not None:
            _count(codes.ids, codes.codebook_sizes, system, counters[i])
        facts = {
            "name": clip.name,
            "seconds": recording.duration,
            "bits": reconstruction.bits,
            "tokens": None if codes is None else codes.ids.size,
            "took": took if system.works else None,
        }
        rows.append(Begun(i, pair, facts))
        kept[system.name] = reconstruction
    if keep:
        result.examples.append(Example(clip, recording, kept))
    return rows


def _count(ids: np.ndarray, sizes: Sequence[int], system: System, counters: list[CodeCounter]) -> None:
    if not counters:
        counters += [CodeCounter(size, system.levels) for size in sizes]
    for counter, row in zip(counters, ids, strict=True):
        counter.add(row)
