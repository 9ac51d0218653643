"""What becomes of a row of the plan, and of each piece of it: codes, a failure, or a reason to leave it out."""

from dataclasses import dataclass

from xcodec.codes import Codes
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.pieces import Piece

__all__ = ["Excluded", "Outcome"]


@dataclass(frozen=True)
class Excluded:
    """A reason to leave out a piece that could be read.

    Args:
        reason: the condition that it does not meet.
        seconds: its length.
        source_rate: of its file, in Hz.
    """

    reason: str
    seconds: float
    source_rate: int


@dataclass(frozen=True)
class Outcome:
    """What became of a row of the plan, or of a piece of it.

    Args:
        id: its id.
        result: its codes, why there are none, or why it was left out.
        piece: which; None where nothing was read.
        is_cut: whether there are more pieces of the same row.
    """

    id: str
    result: Codes | Failure | Excluded
    piece: Piece | None = None
    is_cut: bool = False
