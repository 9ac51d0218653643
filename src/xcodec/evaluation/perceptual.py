"""Perceptual evaluation of speech quality (ITU-T P.862), by the pesq library."""

from typing import Literal

from xcodec.errors import require
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible

__all__ = ["Pesq"]

LONGEST = 60.0  # seconds; made for 8 to 12, and the library's arrays of utterances overflow on minutes of speech


class Pesq(Metric):
    """PESQ as MOS-LQO, from 1 to 4.6.

    Args:
        band: "wb", wide-band (P.862.2) at 16 kHz, or "nb", narrow-band (P.862.1) at 8 kHz.

    Raises:
        MissingExtraError: where the library is not installed.
    """

    packages = ("pesq",)

    def __init__(self, band: Literal["wb", "nb"]) -> None:
        pesq = require("pesq", "eval", "pesq, which needs a C compiler")
        self._pesq, self._refused = pesq.pesq, pesq.PesqError
        self.band = band
        self.sampling_rate = 16_000 if band == "wb" else 8_000
        recommendation = "P.862.2" if band == "wb" else "P.862.1"
        about = f"perceptual evaluation of speech quality (ITU-T {recommendation}) at {self.sampling_rate // 1000} kHz"
        self.scales = (Scale(f"pesq_{band}", f"PESQ-{band.upper()}", f"{about}, from 1 to 4.6", 2),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = pair.at(self.sampling_rate)
        if len(reference) > LONGEST * self.sampling_rate:
            raise UndefinedError(f"longer than {LONGEST:g} s, for which PESQ is not made; cut the recording")
        audible(reference, "recording")
        audible(reconstruction, "reconstruction")
        try:
            value = self._pesq(self.sampling_rate, reference, reconstruction, self.band)
        except self._refused as error:
            said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            raise UndefinedError(f"PESQ says: {said}") from None
        return {self.scales[0].key: Score(float(value))}
