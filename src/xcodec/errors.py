"""The exceptions of the package: all descend from XcodecError, so one `except` catches what the package raises itself.

Each also descends from the built-in exception a caller would expect, so that code written against transformers or
plain Python keeps working. An error carries in fields what it is about, what is wrong and what to do; its text is made
of them, so that nobody has to take a text apart: not the command line, which speaks of options where the package speaks
of arguments, nor a table of failures or a server.

    XcodecError
      InputError           (ValueError)
      AudioError           (ValueError)
      CodesError           (ValueError)
      CheckpointError      (OSError)
      MissingExtraError    (ImportError)
      TrainingError        (ArithmeticError)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = [
    "AudioError",
    "CheckpointError",
    "CodesError",
    "InputError",
    "MissingExtraError",
    "TrainingError",
    "XcodecError",
]

_LONGEST_VALUE = 60
"""Characters of a value that a text shows; a damaged file may have made it very long."""


class XcodecError(Exception):
    """The root of every error that the package raises on purpose.

    The text is "ITEM: SUBJECT: ARGUMENT=VALUE: PROBLEM; REMEDY", less what is not there. All are attributes,
    too, and survive pickling.

    Args:
        problem: what is wrong, and what was expected.
        subject: what it is about, such as a file, a URL or a recording's id; None where whoever raises it does not
            know, so that `about` can tell.
        argument: the name of the argument that is at fault.
        value: what was given for it; an ellipsis where that is not told.
        remedy: what to do. An argument that it names is written as NAME=VALUE.
        item: of several inputs, the one that it is about, such as "inputs[1]" or "voice".
    """

    def __init__(
        self,
        problem: str = "",
        *,
        subject: object | None = None,
        argument: str | None = None,
        value: Any = ...,
        remedy: str | None = None,
        item: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.subject = None if subject is None else str(subject)
        self.argument = argument
        self.value = value
        self.remedy = remedy
        self.item = item

    def __str__(self) -> str:
        return ": ".join(part for part in (self.item, self.subject, self.reason) if part is not None)

    @property
    def reason(self) -> str:
        """The text without what it is about."""
        argument = "" if self.argument is None else f"{self.argument}{_shown(self.value)}: "
        return f"{argument}{self.problem}" + ("" if self.remedy is None else f"; {self.remedy}")

    def beside(self, subject: object) -> str:
        """Give the text for where `subject` is told already, such as in a column of its own."""
        return self.reason if self.subject == str(subject) and self.item is None else str(self)

    def fields(self) -> dict[str, Any]:
        """Give what is told, by name, as the constructor takes it: for JSON, where the value is of its types."""
        names = ("problem", "subject", "argument", "value", "remedy", "item")
        told = {name: getattr(self, name) for name in names}
        return {name: field for name, field in told.items() if field is not None and field is not ...}


def _shown(value: Any) -> str:
    if value is ...:
        return ""
    try:
        text = repr(value)
    except ValueError:
        return "=a number of thousands of digits"
    return f"={text}" if len(text) <= _LONGEST_VALUE else f"={text[:_LONGEST_VALUE]}..."


class InputError(XcodecError, ValueError):
    """An argument has the wrong shape, type, rate or value."""


class AudioError(XcodecError, ValueError):
    """A recording cannot be read, is not audio, or holds samples that are not numbers."""


class CodesError(XcodecError, ValueError):
    """Codes are malformed, damaged, or of another model than the one asked to decode them."""


class CheckpointError(XcodecError, OSError):
    """A checkpoint is missing, incomplete, of another shape, or in a format that is not read."""


class MissingExtraError(XcodecError, ImportError):
    """An optional library or program is needed; the remedy is how to install it."""


class TrainingError(XcodecError, ArithmeticError):
    """A training run has left the numbers: its loss or gradients are infinite or NaN."""


@contextmanager
def about(subject: object | None = None, *, item: str | None = None) -> Iterator[None]:
    """Tell the errors of a block what they are about, where they do not know it themselves.

    Args:
        subject: a file, a URL, a recording's id.
        item: of several inputs, the one that is at work, such as "inputs[1]" or "voice".
    """
    try:
        yield
    except XcodecError as error:
        if error.subject is None and subject is not None:
            error.subject = str(subject)
        if error.item is None:
            error.item = item
        raise


def require(module: str, extra: str, note: str | None = None) -> Any:
    """Import an optional library.

    Args:
        module: its name.
        extra: of this package, which installs it.
        note: what to say of the library, where its name says too little.

    Raises:
        MissingExtraError: where it cannot be imported; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_extra(module, extra, note or module, first_line(error)) from error


def missing_extra(library: str, extra: str, note: str, reason: str = "it is not installed") -> MissingExtraError:
    """Make the error of a library that cannot be used, which says how to install it."""
    return MissingExtraError(
        f"{library} is needed, and cannot be used: {reason}", remedy=f"pip install 'xcodec[{extra}]' ({note})"
    )


def first_line(error: BaseException) -> str:
    """Give what the exception of another library says, in one line: the first, or the name of its type."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def one_line(error: BaseException) -> str:
    """Give all that an exception says, in one line: where its first line alone would not say where."""
    return " ".join(str(error).split()) or type(error).__name__


def some_of(names: list[str], limit: int = 8) -> str:
    """The first few of a list of names, for a message, and how many more there are."""
    return ", ".join(names[:limit]) + (f", and {len(names) - limit} more" if len(names) > limit else "")
