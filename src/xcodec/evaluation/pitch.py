"""Whether the melody of speech stays the same: its fundamental frequency, by swift-f0."""

from typing import Any

import numpy as np

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["SAMPLING_RATE", "Pitch", "pitch_network"]

SAMPLING_RATE = 16_000  # Hz, which the network reads
VOICED = 0.5  # confidence from which on a frame counts as voiced, as the network's authors say
HIGHEST = 600.0  # Hz; of voices, a child's included
FEWEST = 10  # frames, 0.16 s, that a correlation needs


def pitch_network(threads: int | None = None) -> Any:
    """Load the network of swift-f0, to run on so many threads; None is one for each core.

    Raises:
        MissingExtraError: where it is not installed.
    """
    return require("swift_f0", "pitch", "swift-f0, which carries its network").SwiftF0(threads, spin=False)


class Pitch(Metric):
    """The correlation of fundamental frequencies where both signals are voiced, and how often only one of them is.

    Raises:
        MissingExtraError: where swift-f0 is not installed.
    """

    packages = ("swift-f0", "onnxruntime")

    def __init__(self) -> None:
        self._network = pitch_network()
        by = "by SwiftF0 at 16 kHz, every 16 ms"
        self.scales = (
            Scale("f0_correlation", "F0 correlation", f"correlation of log fundamental frequencies, {by}", 3),
            Scale(
                "voicing_error",
                "voicing error",
                f"frames that are voiced in only one of recording and reconstruction, {by}",
                1,
                "%",
                higher_is_better=False,
            ),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = pair.at(SAMPLING_RATE)
        audible(reference, "recording")
        pitch, voiced = pair.of_reference("pitch", SAMPLING_RATE, self._track)
        other, other_voiced = self._track(reconstruction)
        both = voiced & other_voiced
        if both.sum() < FEWEST:
            raise UndefinedError(f"fewer than {FEWEST} frames are voiced in both")
        logs = np.log(pitch[both]), np.log(other[both])
        if min(each.max() - each.min() for each in logs) < 1e-6:
            raise UndefinedError("the fundamental frequency does not move")
        correlation = float(np.corrcoef(*logs)[0, 1])
        return {
            "f0_correlation": Score(correlation),
            "voicing_error": Score(100 * float((voiced != other_voiced).mean()), weight=len(voiced)),
        }

    def _track(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the frequency in Hz of each frame, and whether it is voiced."""
        found = self._network.detect(samples, SAMPLING_RATE, fmax=HIGHEST)
        return found.pitch_hz, found.confidence >= VOICED
