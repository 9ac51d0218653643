"""What is done to recordings besides encoding them: measured, cut, and left out where they are unfit or not new."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.tokenization.conditions import Condition, parse_conditions
from xcodec.tokenization.pieces import Inspection, Piece
from xcodec.tokenization.quality import QUALITY

__all__ = ["AUDIO_HASH", "DUPLICATE", "UNTREATED", "Treatment"]

AUDIO_HASH = "audio_hash"
"""The column by which duplicates are found."""

DUPLICATE = "has the same audio as a row before it"
"""Why a duplicate is left out."""

_SPAN = [("parent", pa.string()), ("start", pa.float64()), ("end", pa.float64())]
_MEASURED = (*QUALITY, "seconds", "source_rate")


@dataclass(frozen=True)
class Treatment:
    """What decides, besides the input and the codec, which rows an output has, and with which columns.

    Args:
        quality: whether each row has figures of its quality.
        where: conditions on them that a row has to meet, as `parse_conditions` understands them; empty for none.
        dedupe: "audio" keeps the first of all rows with the same samples; None keeps all.
        segment_seconds: at which longer recordings are cut into rows of their own; None cuts none.

    Raises:
        InputError: where one of them cannot be understood.
    """

    quality: bool = False
    where: str = ""
    dedupe: str | None = None
    segment_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.dedupe not in (None, "audio"):
            raise InputError("expected 'audio' or None", argument="dedupe", value=self.dedupe)
        if self.segment_seconds is not None and not 1 <= self.segment_seconds < math.inf:
            problem = "expected a number of seconds, at least 1"
            raise InputError(problem, argument="segment_seconds", value=self.segment_seconds)
        assert isinstance(self.conditions, tuple)  # or they cannot be understood

    @property
    def is_cut(self) -> bool:
        """Whether a row may be a piece of a recording."""
        return self.segment_seconds is not None

    @property
    def recording_column(self) -> str:
        """The column with the id that a row's recording has in the plan."""
        return "parent" if self.is_cut else "id"

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What a row has to meet."""
        return parse_conditions(self.where, _MEASURED) if self.where else ()

    @property
    def measures(self) -> bool:
        """Whether rows have figures."""
        return self.quality or bool(self.where)

    @property
    def leaves_out(self) -> bool:
        """Whether there may be rows that are left out."""
        return bool(self.where or self.dedupe)

    @property
    def columns(self) -> pa.Schema:
        """What a row has besides its codes and what is carried."""
        found = list(_SPAN) if self.segment_seconds is not None else []
        found += [(name, pa.float32()) for name in QUALITY] if self.measures else []
        return pa.schema([*found, *([(AUDIO_HASH, pa.string())] if self.dedupe else [])])

    def fields(self) -> dict[str, Any]:
        """What differs from no treatment at all, by name, in JSON's types."""
        return {name: value for name, value in asdict(self).items() if value != getattr(UNTREATED, name)}

    def changes(self, other: "Treatment") -> list[str]:
        """How another differs."""
        pairs = ((each.name, getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return [f"{name}={was!r} and not {now!r}" for name, was, now in pairs if was != now]

    def check_carried(self, names: Collection[str]) -> None:
        """Refuse further columns of an input that have the names of those that are added.

        Raises:
            InputError: names the first.
        """
        if taken := sorted(set(names).intersection(self.columns.names)):
            raise InputError(f"the input has a column {taken[0]!r}, which is added by what was asked for; rename it")

    def inspection(self, sampling_rate: int, hop_length: int) -> Inspection:
        """What readers have to find out.

        Args:
            sampling_rate: of the codec, in Hz.
            hop_length: samples that make a code.
        """
        seconds = self.segment_seconds
        frames = None if seconds is None else max(3, math.floor(seconds * sampling_rate / hop_length))
        limit = None if frames is None else frames * hop_length
        return Inspection(self.measures, self.dedupe is not None, limit, hop_length)

    def unmet(self, piece: Piece, sampling_rate: int, source_rate: int) -> str | None:
        """Why a piece is left out, by the first condition that it does not meet; None where it meets all."""
        figures: Mapping[str, float | None] = {
            **piece.figures,
            "seconds": (piece.stop - piece.start) / sampling_rate,
            "source_rate": source_rate,
        }
        return next((f"does not meet {each}" for each in self.conditions if not each.is_met(figures)), None)


UNTREATED = Treatment()
"""Every recording is encoded as it is."""
