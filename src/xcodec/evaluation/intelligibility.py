"""Short-time objective intelligibility, by pystoi."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["Stoi"]

SAMPLING_RATE = 16_000  # pystoi goes on to 10 kHz with the resampler of its definition


class Stoi(Metric):
    """STOI, or extended STOI.

    Args:
        extended: whether spectral correlation is used, which hears modulated noise too.

    Raises:
        MissingExtraError: where pystoi is not installed.
    """

    packages = ("pystoi",)

    def __init__(self, extended: bool = False) -> None:
        self._stoi = require("pystoi", "eval").stoi
        self.extended = extended
        name = "ESTOI" if extended else "STOI"
        source = "Jensen and Taal 2016" if extended else "Taal et al. 2011"
        about = f"short-time objective intelligibility ({source}), up to 4.3 kHz, 1 at best"
        self.scales = (Scale(name.lower(), name, about, 3),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = pair.at(SAMPLING_RATE)
        audible(reference, "recording")
        with warnings.catch_warnings(), same_draws():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                value = self._stoi(reference, reconstruction, SAMPLING_RATE, extended=self.extended)
            except (RuntimeWarning, ValueError):  # too few frames for one segment, or for one frame
                raise UndefinedError("fewer than 30 frames, 0.4 s, are within 40 dB of the loudest") from None
        return {self.scales[0].key: Score(float(value))}


@contextmanager
def same_draws() -> Iterator[None]:
    """Let numpy's global generator begin at the same number, and go on as before when the block ends.

    Extended STOI of pystoi adds draws as small as a rounding, so that its last digit would differ from call to call.
    """
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)
