"""What became of an export."""

from collections import Counter
from dataclasses import dataclass, field

from xcodec.tokenization.headers import Failure

__all__ = ["ExportReport"]


@dataclass
class ExportReport:
    """What was written.

    Args:
        rows: recordings.
        failures: recordings, and files of codes, that could not be.
        skipped: recordings that have no place in the form, by reason.
        rooms: what holds the recordings, such as "in 12 rows of 2,048 ids"; empty where each has its own.
    """

    rows: int = 0
    failures: list[Failure] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    rooms: str = ""

    def __str__(self) -> str:
        """The report in one line."""
        skipped = "".join(f"; {count:,} skipped: {reason}" for reason, count in self.skipped.items())
        return f"{self.rows:,} recordings{self.rooms and ' '}{self.rooms}{skipped}"
