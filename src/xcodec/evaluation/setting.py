"""A model and how it is run, in one word: "mini", "mini:int8", "hf-audio/xcodec-hubert-general@2"."""

import re
from dataclasses import dataclass
from pathlib import Path

from xcodec.device import Precision
from xcodec.errors import InputError

__all__ = ["Setting"]

SUFFIXES = re.compile(r"(?P<model>.+?)(@(?P<bandwidth>[^@:/]*))?(:(?P<precision>[a-z]+[0-9]+))?")


@dataclass(frozen=True)
class Setting:
    """What to load, and what to ask of it.

    Attributes:
        text: as it was given; no two settings that differ share it.
        model: a folder, a hub id or a built-in name.
        bandwidth: what stands behind @: kbit/s or, of a codec that has no bandwidths, a number of codebooks; None where
            it is not said.
        precision: likewise.
    """

    text: str
    model: str
    bandwidth: float | None = None
    precision: Precision | None = None

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Read MODEL, MODEL@RATE, MODEL:TYPE or MODEL@RATE:TYPE; a folder of just that name comes first.

        Raises:
            InputError: where the bandwidth is no number, or the type is not known.
        """
        found = SUFFIXES.fullmatch(text)
        if found is None or Path(text).is_dir():
            return cls(text, text)
        bandwidth, precision = found["bandwidth"], found["precision"]
        known = ", ".join(each.value for each in Precision)
        if precision is not None and precision not in [each.value for each in Precision]:
            raise InputError(f"{precision!r} is no type; expected MODEL:TYPE with one of {known}", subject=text)
        try:
            rate = None if bandwidth is None else float(bandwidth)
        except ValueError:
            raise InputError(
                f"{bandwidth!r} is no number, of kbit/s or of codebooks; expected such as MODEL@2", subject=text
            ) from None
        return cls(text, found["model"], rate, None if precision is None else Precision(precision))
