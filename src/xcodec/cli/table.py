"""Two columns in a frame, without importing what of rich takes a tenth of a second."""

import shutil
import sys
import textwrap
from collections.abc import Iterable

from rich.cells import cell_len

__all__ = ["table"]

NARROWEST = 16  # columns for text
FRAME, ASCII = "╭─┬╮│╰┴╯", "+-++|+++"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out labels and texts, whose lines are broken where the terminal ends.

    Args:
        rows: at least one.
    """
    rows = list(rows)
    label_width = max(cell_len(label) for label, _ in rows)
    room = max(NARROWEST, shutil.get_terminal_size().columns - label_width - 7)
    lines: list[tuple[str, str]] = []
    for label, text in rows:
        pieces = [piece for line in text.splitlines() for piece in textwrap.wrap(line, room) or [""]] or [""]
        if any(cell_len(piece) > room for piece in pieces):  # characters that are two columns wide
            pieces = [piece for line in pieces for piece in textwrap.wrap(line, room // 2)]
        lines += zip([label, *[""] * len(pieces)], pieces, strict=False)
    width = max(cell_len(text) for _, text in lines)
    encodable = (sys.stdout.encoding or "").lower().startswith("utf")
    left, line, down, right, bar, lower_left, up, lower_right = list(FRAME if encodable else ASCII)
    return "\n".join(
        [
            left + line * (label_width + 2) + down + line * (width + 2) + right,
            *(f"{bar} {padded(label, label_width)} {bar} {padded(text, width)} {bar}" for label, text in lines),
            lower_left + line * (label_width + 2) + up + line * (width + 2) + lower_right,
        ]
    )


def padded(text: str, width: int) -> str:
    """Fill up with spaces."""
    return text + " " * (width - cell_len(text))
