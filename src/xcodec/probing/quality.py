"""How good what is decoded is, by the metrics of `xcodec.evaluation`, for probes that damage codes."""

import numpy as np

from xcodec.audio import Audio
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.distortion import MelDistance
from xcodec.evaluation.intelligibility import Stoi
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError
from xcodec.probing.probe import CodedClip

__all__ = ["Quality"]


class Quality:
    """STOI, where pystoi is installed, and mel distance of decoded audio to the recording.

    Raises:
        MissingExtraError: where pystoi is not installed.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {"stoi": Stoi(), "mel": MelDistance()}

    def scales(self, key: str, label: str, about: str, measured: tuple[str, ...] = ("stoi", "mel")) -> list[Scale]:
        """Give a scale for each metric: its key begins with `key`, and ends with the metric's name here."""
        found = []
        for name in measured:
            [scale] = self._metrics[name].scales
            found.append(
                Scale(
                    f"{key}.{name}",
                    f"{scale.label}, {label}",
                    f"{scale.about}, {about}",
                    scale.digits,
                    scale.unit,
                    scale.higher_is_better,
                )
            )
        return found

    def measure(
        self, key: str, clip: CodedClip, rate: int, decoded: np.ndarray, measured: tuple[str, ...] = ("stoi", "mel")
    ) -> dict[str, Score]:
        """Score what was decoded, float32 (samples,) at a rate in Hz, by the keys that `scales` gives."""
        pair = Pair(clip.clip, Audio(clip.samples, rate), Audio(decoded, rate))
        scores = {}
        for name in measured:
            try:
                [score] = self._metrics[name].measure(pair).values()
                scores[f"{key}.{name}"] = score
            except UndefinedError:  # of a clip too short or too quiet, which has no such score
                continue
        return scores
