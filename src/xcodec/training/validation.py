"""How a model in training sounds on recordings it never trains on, by the metrics of `xcodec.evaluation`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import MissingExtraError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.codebook import CodebookUse
from xcodec.evaluation.distortion import MelDistance
from xcodec.evaluation.evaluation import Failed, evaluate
from xcodec.evaluation.intelligibility import Stoi
from xcodec.evaluation.metric import Metric, Scale
from xcodec.evaluation.perceptual import Pesq
from xcodec.evaluation.summary import weighted_mean
from xcodec.evaluation.systems import Model

__all__ = ["SCORES", "Validation", "check_installed", "validate"]

SCORES = {"mel": "mel_distance", "stoi": "stoi", "pesq": "pesq_wb"}
"""What a recipe's `validation.best` may name, with the key of the score that it means."""


@dataclass(frozen=True)
class Validation:
    """Scores of a model on recordings, and how all of them together use its codebooks.

    Attributes:
        scales: what was measured.
        scores: the mean over the clips that have the score, by the scale's key; none where no clip has it.
        codebooks: how they are used, one for each; empty where no clip came back.
        reconstructions: what came back, in the order of the clips.
        failures: clips that could not be measured.
    """

    scales: tuple[Scale, ...]
    scores: dict[str, float]
    codebooks: tuple[CodebookUse, ...]
    reconstructions: tuple[Audio, ...]
    failures: tuple[Failed, ...] = ()

    @property
    def entropy(self) -> float | None:
        """The observed entropy of a code in bits, averaged over codebooks; None where there are no codes."""
        return float(np.mean([use.entropy for use in self.codebooks])) if self.codebooks else None

    def __str__(self) -> str:
        parts = [
            f"{scale.label} {self.scores[scale.key]:.{scale.digits + 1}f}{' ' * bool(scale.unit)}{scale.unit}"
            for scale in self.scales
            if scale.key in self.scores
        ]
        if self.entropy is not None:
            distinct, codes = (sum(getattr(use, name) for use in self.codebooks) for name in ("distinct", "codes"))
            parts.append(f"{distinct} distinct of {codes} codes, entropy {self.entropy:.2f} bit")
        return "  ".join(parts)

    def figure(self, key: str) -> float:
        """Return a score by its scale's key, turned so that higher is better; minus infinity where there is none."""
        [scale] = [scale for scale in self.scales if scale.key == key]
        return (1 if scale.higher_is_better else -1) * self.scores[key] if key in self.scores else -np.inf


def installed_metrics() -> list[Metric]:
    """Make the metrics of a validation: mel distance, and of STOI and PESQ those that are installed."""
    metrics: list[Metric] = [MelDistance()]
    for make in (Stoi, partial(Pesq, "wb")):
        with suppress(MissingExtraError):
            metrics.append(make())
    return metrics


def check_installed(best: str) -> None:
    """Check that what a recipe's `validation.best` names can be measured here.

    Raises:
        MissingExtraError: where it cannot.
    """
    if not any(scale.key == SCORES[best] for metric in installed_metrics() for scale in metric.scales):
        raise MissingExtraError(f"validation.best={best} needs pystoi and pesq: pip install 'xcodec[eval]'")


def validate(codec: Codec, clips: Sequence[Clip]) -> Validation:
    """Encode and decode each recording, whole and by itself, and compare."""
    metrics = installed_metrics()
    result = evaluate(clips, [Model(codec, "model")], metrics, examples={clip.name for clip in clips})
    [system] = result.systems
    outputs = [reconstruction.audio for each in result.examples for reconstruction in each.reconstructions.values()]
    means = {scale.key: weighted_mean(system.scores(scale.key)) for scale in result.scales}
    return Validation(
        scales=tuple(result.scales),
        scores={key: mean for key, mean in means.items() if mean is not None},
        codebooks=tuple(system.codebooks),
        reconstructions=tuple(outputs),
        failures=tuple(result.failures),
    )
