"""What people see: two consoles, and numbers as people read them."""

import logging
from typing import TYPE_CHECKING

from xcodec.cli.log_lines import is_logged

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["errors", "output", "show_error", "spoken_bytes", "spoken_seconds"]


def output() -> "Console":
    """Standard output. A console is made when it is used, since it looks at the stream it finds."""
    from rich.console import Console

    return Console(highlight=False)


def errors() -> "Console":
    """Standard error: failures, and progress while a terminal shows it."""
    from rich.console import Console

    return Console(highlight=False, stderr=True)


def show_error(message: str) -> None:
    """Print a message in red; it is one line however wide the terminal is, and its brackets are no markup.

    Where standard error takes a log, it is a line of that.
    """
    if is_logged():
        logging.getLogger("xcodec").error("%s", message)
        return
    from rich.text import Text

    errors().print(Text.assemble(("error: ", "bold red"), (message, "red")), soft_wrap=True)


def spoken_seconds(seconds: float) -> str:
    """A duration: "0.020 s", "12.3 s", "4 min 05 s", "2 h 31 min"."""
    if seconds < 1:
        return f"{seconds:.3f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def spoken_bytes(count: int) -> str:
    """A size: "312 bytes", "227.2 kB", "2.5 GB"."""
    if count < 1000:
        return f"{count} bytes"
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.99995 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.1f} kB"
