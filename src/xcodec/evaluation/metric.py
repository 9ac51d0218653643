"""What a metric is: it takes a pair and gives scores, or says why there is none."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xcodec.errors import XcodecError
from xcodec.evaluation.clips import Pair

__all__ = ["Metric", "Missing", "Scale", "Score", "UndefinedError", "audible"]


class UndefinedError(XcodecError, ValueError):
    """A metric has no value for a clip; the message is the reason, as reports give it."""


@dataclass(frozen=True)
class Scale:
    """One kind of score.

    Args:
        key: its name in JSON.
        label: its name for people.
        about: what is measured, at which rate, and the source, in one sentence.
        digits: how many decimals mean something.
        unit: such as "dB"; empty for none.
        higher_is_better: and if not, lower is.
    """

    key: str
    label: str
    about: str
    digits: int
    unit: str = ""
    higher_is_better: bool = True


@dataclass(frozen=True)
class Score:
    """A value, and how much it counts in the mean over clips."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Missing:
    """What was not measured, and how to get it."""

    what: str
    how_to_get: str


class Metric(ABC):
    """Scores a pair. Whatever it needs to load is loaded by the constructor, which raises `MissingExtraError`.

    One that is not `on_device` can be pickled, and measures the same in another process.
    """

    scales: tuple[Scale, ...]
    packages: tuple[str, ...] = ()
    """Whose versions decide the scores, as installers name them."""
    needs_reference: ClassVar[bool] = True
    """Whether a reconstruction is held against its recording; if not, a recording has scores too."""

    on_device: bool = False
    """Whether a model of torch does the work, which then stays in the process that loaded it."""

    @abstractmethod
    def measure(self, pair: Pair) -> dict[str, Score]:
        """Return a score for each scale's key.

        Raises:
            UndefinedError: where the metric has no value for this pair.
        """


def audible(samples: np.ndarray, whose: str) -> None:
    """Check that there is anything but digital silence.

    Raises:
        UndefinedError: where there is not.
    """
    if not samples.any():
        raise UndefinedError(f"the {whose} is digital silence")
