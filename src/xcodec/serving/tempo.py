"""Speech that is spoken faster or slower at its own pitch, while it comes: FFmpeg's `atempo`, through PyAV."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from xcodec.errors import require

__all__ = ["SPEEDS", "Tempo"]

SPEEDS = (0.25, 4.0)
"""The slowest and the fastest, as OpenAI's service has them."""


class Tempo:
    """Changes how long mono audio lasts, and not how high it is.

    Args:
        speed: how many times as fast, within `SPEEDS`.
        sampling_rate: in Hz.

    Raises:
        MissingExtraError: where PyAV is not installed.
    """

    def __init__(self, speed: float, sampling_rate: int) -> None:
        require("av", "formats")
        from av.filter import Graph

        self._speed, self._rate, self._position, self._given = speed, sampling_rate, 0, 0
        self._graph: Any = Graph()
        nodes = [
            self._graph.add_abuffer(
                format="flt", sample_rate=sampling_rate, layout="mono", time_base=Fraction(1, sampling_rate)
            ),
            *(self._graph.add("atempo", f"{factor:.9f}") for factor in factors(speed)),
            self._graph.add("abuffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take samples, float32 (samples,), and give those that are ready."""
        if not len(samples):
            return samples
        from av import AudioFrame

        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, Fraction(1, self._rate)
        self._position += len(samples)
        self._graph.push(frame)
        return self._ready()

    def finish(self) -> np.ndarray:
        """Give the rest, so that all of it lasts as long as it should: the filter is some milliseconds off."""
        if not self._position:
            return np.zeros(0, np.float32)
        missing = max(0, round(self._position / self._speed) - self._given)
        self._graph.push(None)
        rest = self._ready()[:missing]
        return np.pad(rest, (0, missing - len(rest)))

    def _ready(self) -> np.ndarray:
        ready = np.concatenate([np.zeros(0, np.float32), *self._pulled()])
        self._given += len(ready)
        return ready

    def _pulled(self) -> Iterator[np.ndarray]:
        from av.error import BlockingIOError as NothingYetError
        from av.error import EOFError as EndError

        while True:
            try:
                frame = self._graph.pull()
            except (NothingYetError, EndError):
                return
            yield frame.to_ndarray()[0]


def factors(speed: float) -> list[float]:
    """Give speeds from 0.5 to 2 that make up another: beyond these the filter drops what it would have to blend."""
    if speed > 2:
        return [2.0, *factors(speed / 2)]
    return [0.5, *factors(speed * 2)] if speed < 0.5 else [speed]
