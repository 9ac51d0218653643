"""Lists of recordings, a line for each: a path, a JSON object, or an id and a path as in Kaldi's wav.scp."""

import json
import os
import re
from enum import Enum
from typing import Any

from xcodec.errors import InputError

__all__ = ["PATH_KEYS", "START_KEYS", "LineForm", "parse_line"]

PATH_KEYS, START_KEYS = ("path", "audio_filepath"), ("start", "offset")
"""How a JSON object may name its file, and where in it a span begins, in seconds; the second as NeMo's manifests do."""

_DEEPEST = 32  # levels of lists and objects in a value: Parquet and Arrow walk them by recursion
_SAID = 60  # characters of a value that a message repeats


class LineForm(Enum):
    """What the lines of a list are."""

    JSON = "JSON objects"
    PATHS = "paths, or JSON objects"
    KALDI = "an id and a path"

    @classmethod
    def of(cls, name: str) -> "LineForm":
        """Tell by the name of a list, without the suffix of its compression."""
        lower = name.lower()
        return cls.JSON if lower.endswith(".jsonl") else cls.KALDI if lower.endswith(".scp") else cls.PATHS


def parse_line(line: bytes, form: LineForm) -> dict[str, Any]:
    """Understand a line that is not empty.

    Returns:
        What the line says, as a JSON object would: `path`, of Kaldi's lines also `id`. An empty object inside a value
        is None, since no column can hold it.

    Raises:
        InputError: says what is wrong with the line, for the caller to say where it is.
    """
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    if form is LineForm.KALDI:
        return _kaldi(os.fsdecode(line))
    if form is LineForm.PATHS and not line.startswith(b"{"):
        return {"path": os.fsdecode(line)}
    try:
        row = json.loads(line)
    except RecursionError:
        raise InputError("is JSON that is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"is a {type(row).__name__}, expected an object")
    return {_text(key): _storable(value, str(key)) for key, value in row.items()}


def _kaldi(line: str) -> dict[str, Any]:
    parts = line.split(maxsplit=1)
    if len(parts) < 2:
        raise InputError(f"is {_short(line)}, expected an id and a path")
    name, path = parts
    if path.endswith("|"):
        raise InputError(
            f"names a command, {_short(path)}, which is not run", remedy="write its output to a file and name that"
        )
    if re.search(r"\.ark:\d+$", path):
        raise InputError(
            f"points into a Kaldi archive, {_short(path)}", remedy="copy the recordings to files, and name these"
        )
    return {"id": name, "path": path}


def _storable(value: Any, name: str, depth: int = 0) -> Any:
    """Return a value of JSON as a column can hold it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise InputError(
                f"has {_short(value)} as {name!r}, which no 64-bit number holds", remedy="write it as text"
            )
        return value
    if isinstance(value, (dict, list)) and depth == _DEEPEST:
        raise InputError(f"has a {name!r} that is nested in more than {_DEEPEST} levels")
    if isinstance(value, dict):
        return {_text(key): _storable(each, name, depth + 1) for key, each in value.items()} or None
    if isinstance(value, list):
        return [_storable(each, name, depth + 1) for each in value]
    return value


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"holds half a character (a lone surrogate) in {_short(value)}") from None
    return value


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SAID else text[:_SAID] + "..."
