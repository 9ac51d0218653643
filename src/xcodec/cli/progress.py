"""How far work is, shown on a terminal while it goes on."""

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from xcodec.cli.console import errors

__all__ = ["ProgressBar"]


class ProgressBar:
    """A line on standard error that is gone when the work is done; nothing where that is no terminal.

    Args:
        verb: what is done, in front of the bar; empty for work whose end is not known, which has no bar.
        total: what there is to do, in any unit; None while it is not known.
        counted: whether to show how much of how many is done, and the time that is left.
    """

    def __init__(self, verb: str = "", total: float | None = None, *, counted: bool = False) -> None:
        columns: list[ProgressColumn] = [TextColumn(verb), BarColumn()] if verb else [SpinnerColumn()]
        if counted:
            columns.append(MofNCompleteColumn())
        columns.append(TextColumn("{task.fields[text]}"))
        if counted:
            columns.append(TimeRemainingColumn(compact=True))
        console = errors()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._text = ""
        self._task = self._progress.add_task("", total=total, text=self._text)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._progress.disable:  # rich 13.0 ends even one that showed nothing with a line
            self._progress.stop()

    def show(self, done: float | None = None, text: str | None = None, total: float | None = None) -> None:
        """Show what is done, what there is to do, and a text behind the bar; what is left out stays as it was."""
        self._text = self._text if text is None else text
        self._progress.update(self._task, completed=done, total=total, text=self._text)
