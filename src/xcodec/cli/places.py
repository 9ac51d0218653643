"""What commands read and write besides files here: the standard streams, and URLs that fsspec knows."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import typer

from xcodec.errors import InputError, XcodecError
from xcodec.files import scratch_file

if TYPE_CHECKING:
    from xcodec.location import Location

__all__ = [
    "STANDARD",
    "Saved",
    "Source",
    "StandardInput",
    "StandardOutput",
    "Target",
    "fetched",
    "is_remote",
    "refuse_terminal",
    "send",
]

STANDARD = "-"


@dataclass(frozen=True)
class StandardInput:
    """Standard input, as a file to read."""

    def __str__(self) -> str:
        return "standard input"


@dataclass(frozen=True)
class StandardOutput:
    """Standard output, as a file to write that ends in `suffix`, which says its format."""

    suffix: str

    def __str__(self) -> str:
        return "standard output"


Source: TypeAlias = "Path | Location | StandardInput"
Target: TypeAlias = Path | StandardOutput


class Saved(Protocol):
    """Something that can be written to a file, whole or not at all."""

    def save(self, path: Path) -> None:
        """Write a file."""


def is_remote(text: str) -> bool:
    """Tell whether a name is a URL; what exists here under a name that looks like one is a file here."""
    return ("://" in text or "::" in text) and not os.path.lexists(text)


def refuse_terminal() -> None:
    """Refuse to write audio or codes to a terminal.

    Raises:
        typer.BadParameter: where standard output is one.
    """
    if sys.stdout.isatty():
        raise typer.BadParameter("standard output is a terminal; send it into a program or a file: ... | aplay")


@contextmanager
def fetched(source: Source) -> Iterator[Path]:
    """Give the path of a file here that holds what a source does; errors of the block name the source.

    Raises:
        InputError: where it cannot be fetched.
    """
    if isinstance(source, Path):
        yield source
        return
    with scratch_file(Path(tempfile.gettempdir())) as copy:
        try:
            opened = sys.stdin.buffer if isinstance(source, StandardInput) else source.fs.open(source.path, "rb")
            with opened as content, copy.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
        except FileNotFoundError:
            raise InputError("no such file", subject=source) from None
        except Exception as error:  # the errors of whatever library fsspec uses for this protocol
            raise InputError(f"cannot be fetched: {type(error).__name__}: {error}", subject=source) from None
        try:
            yield copy
        except XcodecError as error:
            error.subject = str(source)
            if error.remedy is not None:  # which may hold a command to be run on it
                error.remedy = error.remedy.replace(str(copy), str(source))
            raise


def send(result: Saved, target: StandardOutput) -> None:
    """Write a result to standard output, once it is whole."""
    with tempfile.TemporaryDirectory(prefix="xcodec-") as folder:
        path = Path(folder, f"output{target.suffix}")
        result.save(path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()
