"""What became of an export."""

from dataclasses import dataclass, field

from xcodec.tokenization.headers import Failure

__all__ = ["ExportReport"]


@dataclass
class ExportReport:
    """What was written.

    Args:
        rows: recordings.
        failures: recordings, and files of codes, that could not be.
    """

    rows: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        """The report in one line."""
        return f"{self.rows:,} recordings"
