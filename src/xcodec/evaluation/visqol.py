"""The virtual speech quality objective listener, by visqol-python."""

from typing import Any

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["Visqol"]

SAMPLING_RATE = 16_000
SHORTEST = 0.5  # seconds; it compares patches of 0.4 s


class Visqol(Metric):
    """ViSQOL v3 in its mode for speech, by the polynomial from similarity to opinion.

    Raises:
        MissingExtraError: where visqol-python is not installed.
    """

    packages = ("visqol-python",)

    def __init__(self) -> None:
        api = require("visqol.api", "visqol", "visqol-python, one of whose libraries needs a C++ compiler")
        self._visqol = api.VisqolApi()
        self._visqol.create(mode="speech", use_lattice_model=False)
        about = "ViSQOL v3 (Chinen et al. 2020), speech mode with the polynomial mapping, at 16 kHz, from 1 to 5"
        self.scales = (Scale("visqol", "ViSQOL", about, 2),)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = pair.at(SAMPLING_RATE)
        if len(reference) < SHORTEST * SAMPLING_RATE:
            raise UndefinedError(f"shorter than {SHORTEST:g} s")
        audible(reference, "recording")
        audible(reconstruction, "reconstruction")
        try:
            told = self._visqol.measure_from_arrays(reference, reconstruction, SAMPLING_RATE)
        except (ValueError, RuntimeError, IndexError) as error:
            raise UndefinedError(f"ViSQOL says: {error}") from None
        return {"visqol": Score(float(told.moslqo))}
