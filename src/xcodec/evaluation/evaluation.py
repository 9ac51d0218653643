"""The run: every clip through every system, every pair through every metric."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, XcodecError
from xcodec.evaluation.clips import Clip, Pair
from xcodec.evaluation.codebook import CodebookUse, CodeCounter
from xcodec.evaluation.metric import Metric, Missing, Scale, Score, UndefinedError
from xcodec.evaluation.summary import Mean, mean_of
from xcodec.evaluation.systems import Model, Reconstruction, Reference, System
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
    """

    name: str
    seconds: float
    scores: dict[str, Score | None]
    reasons: dict[str, str]
    bits: float | None


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
    """

    name: str
    about: str
    rows: list[Row] = field(default_factory=list)
    codebooks: list[CodebookUse] = field(default_factory=list)

    @property
    def bitrate(self) -> float | None:
        """The bitrate in bit/s: all that was kept over all that was said; None where it is not known."""
        if not self.rows or any(row.bits is None for row in self.rows):
            return None
        return sum(row.bits or 0.0 for row in self.rows) / sum(row.seconds for row in self.rows)

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
        systems=[SystemResult(system.name, system.about) for system in systems],
        packages=sorted({package for metric in metrics for package in metric.packages}),
        levels={system.name: system.levels for system in systems if isinstance(system, Model) and system.levels},
    )
    counters: list[list[CodeCounter]] = [[] for _ in systems]
    with told_to(on_progress, len(clips)):
        for clip in shares(clips):
            _evaluate_clip(clip, systems, metrics, result, counters, clip.name in examples)
    for system, counted in zip(result.systems, counters, strict=True):
        system.codebooks = [counter.use() for counter in counted]
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
    for i, system in enumerate(shares(systems)):
        try:
            reconstruction = system.reconstruct(clip, recording)
            pair = Pair(clip, recording, reconstruction.audio)
        except XcodecError as error:
            result.failures.append(Failed(clip.name, system.name, str(error)))
            continue
        if reconstruction.codes is not None:
            _count(reconstruction.codes.ids, reconstruction.codes.codebook_sizes, system, counters[i])
        applicable = [metric for metric in metrics if not (isinstance(system, Reference) and metric.needs_reference)]
        result.systems[i].rows.append(_row(pair, recording.duration, applicable, reconstruction.bits))
        kept[system.name] = reconstruction
    if keep:
        result.examples.append(Example(clip, recording, kept))


def _row(pair: Pair, seconds: float, metrics: Sequence[Metric], bits: float | None) -> Row:
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
    return Row(pair.clip.name, seconds, scores, reasons, bits)


def _count(ids: np.ndarray, sizes: Sequence[int], system: System, counters: list[CodeCounter]) -> None:
    levels = system.levels if isinstance(system, Model) else ()
    if not counters:
        counters += [CodeCounter(size, levels) for size in sizes]
    for counter, row in zip(counters, ids, strict=True):
        counter.add(row)
