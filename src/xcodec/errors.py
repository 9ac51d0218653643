"""The exceptions of the package: all descend from XcodecError, so one `except` catches what the package raises itself.

Each also descends from the built-in exception a caller would expect, so that code written against transformers or
plain Python keeps working. Messages say what was given, what was expected and what to do.
"""

__all__ = [
    "AudioError",
    "CheckpointError",
    "CodesError",
    "InputError",
    "MissingExtraError",
    "TrainingError",
    "XcodecError",
]


class XcodecError(Exception):
    """The root of every error that the package raises on purpose."""


class InputError(XcodecError, ValueError):
    """An argument has the wrong shape, type, rate or value."""


class AudioError(XcodecError, ValueError):
    """A recording cannot be read, is not audio, or holds samples that are not numbers."""


class CodesError(XcodecError, ValueError):
    """Codes are malformed, damaged, or of another model than the one asked to decode them."""


class CheckpointError(XcodecError, OSError):
    """A checkpoint is missing, incomplete, of another shape, or in a format that is not read."""


class MissingExtraError(XcodecError, ImportError):
    """An optional library is needed; the message names the extra that installs it."""


class TrainingError(XcodecError, ArithmeticError):
    """A training run has left the numbers: its loss or gradients are infinite or NaN."""


def some_of(names: list[str], limit: int = 8) -> str:
    """The first few of a list of names, for a message, and how many more there are."""
    return ", ".join(names[:limit]) + (f", and {len(names) - limit} more" if len(names) > limit else "")
