"""What a probe is: it takes a codec and clips, and gives figures, of each clip or of all together."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xcodec.evaluation.clips import Clip
from xcodec.evaluation.metric import Scale, Score, UndefinedError
from xcodec.probing.coder import Coder, Coding
from xcodec.progress import shares

__all__ = ["ClipProbe", "CodedClip", "Curve", "Findings", "Probe", "by_codebook", "generator", "of_codebooks"]

FIRST = ".first"  # behind the key of a figure: of the first codebook alone


@dataclass(frozen=True)
class CodedClip:
    """A clip and what a codec makes of it.

    Args:
        clip: the clip.
        samples: mono float32 (samples,) at the codec's rate.
        coding: their codes and latents.
    """

    clip: Clip
    samples: np.ndarray
    coding: Coding

    @property
    def frames(self) -> int:
        """How many frames of codes there are."""
        return int(self.coding.ids.shape[1])


@dataclass(frozen=True)
class Curve:
    """Figures that belong together, as a plot.

    Args:
        title: what is plotted.
        axis: what changes from point to point.
        points: of each its label on the axis, and the key of its figure.
    """

    title: str
    axis: str
    points: tuple[tuple[str, str], ...]


@dataclass
class Findings:
    """What a probe found.

    Args:
        clips: by a clip's name, its scores by key.
        corpus: what is true of all clips together, by key.
        reasons: why a figure is missing, by key.
    """

    clips: dict[str, dict[str, Score]] = field(default_factory=dict)
    corpus: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


class Probe(ABC):
    """Measures something of a codec's codes.

    Attributes:
        name: as `--probe` calls it.
        title: for people.
        scales: what is measured.
        curves: which figures are plotted together.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    scales: tuple[Scale, ...]
    curves: tuple[Curve, ...] = ()

    @abstractmethod
    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Probe a codec on clips that it has encoded; what cannot be measured has a reason in the findings."""

    def unmeasured(self, reason: str) -> Findings:
        """Tell why there is no figure at all."""
        return Findings(reasons=dict.fromkeys((scale.key for scale in self.scales), reason))


class ClipProbe(Probe):
    """Measures each clip on its own."""

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Probe each clip; one for which there is no figure has none."""
        findings = Findings()
        for clip in shares(clips):
            try:
                findings.clips[clip.clip.name] = self.measure_clip(coder, clip)
            except UndefinedError as error:
                findings.reasons |= dict.fromkeys((scale.key for scale in self.scales), str(error))
        return findings

    @abstractmethod
    def measure_clip(self, coder: Coder, clip: CodedClip) -> dict[str, Score]:
        """Give a clip's scores, by key.

        Raises:
            UndefinedError: where there are none.
        """


def of_codebooks(scale: Scale, depth: int) -> tuple[Scale, ...]:
    """Give a scale of which there is one figure for all codebooks and, where any codec has several, one for the first.

    Args:
        scale: for all codebooks.
        depth: how many codebooks the codec with the most of them has.
    """
    if depth == 1:
        return (scale,)
    first = Scale(
        scale.key + FIRST,
        f"{scale.label}, first codebook",
        f"{scale.about}, of the first codebook alone",
        scale.digits,
        scale.unit,
        scale.higher_is_better,
    )
    return (Scale(scale.key, scale.label, f"{scale.about}, mean over codebooks", *_rest(scale)), first)


def _rest(scale: Scale) -> tuple[int, str, bool]:
    return scale.digits, scale.unit, scale.higher_is_better


def by_codebook(key: str, values: Sequence[float], weight: float) -> dict[str, Score]:
    """Score what was measured of each codebook: the mean, and the first's own.

    Args:
        key: of the scale.
        values: one for each codebook.
        weight: of the clip.
    """
    return {key: Score(float(np.mean(values)), weight), key + FIRST: Score(float(values[0]), weight)}


def generator(*purpose: object) -> np.random.Generator:
    """Make a source of random numbers that is the same for the same purpose, on every machine."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, purpose)).encode()))
