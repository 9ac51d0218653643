"""Values of options, checked: names that are empty, places that are not written to, channels, sizes."""

from pathlib import Path
from typing import TypeVar

import typer

from xcodec.cli.paths import home
from xcodec.cli.places import STANDARD, is_remote, refuse_terminal
from xcodec.device import memory_size
from xcodec.errors import InputError

__all__ = [
    "from_files",
    "known_channel",
    "known_conditions",
    "known_size",
    "not_empty",
    "path_to_write",
    "to_file",
    "to_file_or_pipe",
    "to_store",
]

Named = TypeVar("Named", str, list[str], str | None)
# typer asks of a callback's annotation whether it is a subclass, which on Python 3.10 fails for `list[str]` itself.
Names = TypeVar("Names", bound=list[str])


def not_empty(value: Named) -> Named:
    """Refuse a name that is empty, such as an unset shell variable gives; as a path it would be the current folder.

    Raises:
        typer.BadParameter: where one is.
    """
    if value == "" or (isinstance(value, list) and "" in value):
        raise typer.BadParameter("a name is empty; for the current folder give .")
    return value


def to_file(value: Named) -> Named:
    """Refuse a name to write to that is empty, a URL, or standard output; what names an output has this check.

    Raises:
        typer.BadParameter: says what to give.
    """
    if value == STANDARD:
        raise typer.BadParameter("standard output, -, is not written to by this command; a file called so is ./-")
    return to_file_or_pipe(value)


def to_file_or_pipe(value: Named) -> Named:
    """Refuse a name to write to that is empty or a URL, and standard output where that is a terminal.

    Raises:
        typer.BadParameter: says what to give.
    """
    if value == STANDARD:
        refuse_terminal()
    if isinstance(value, str) and is_remote(value):
        raise typer.BadParameter(f"'{value}' is a URL; outputs are written here only: give a path, and copy it then")
    return not_empty(value)


def to_store(value: Named) -> Named:
    """Refuse a name of an output that is empty or standard output; it may be a URL.

    Raises:
        typer.BadParameter: says what to give.
    """
    return not_empty(value) if isinstance(value, str) and is_remote(value) else to_file(value)


def path_to_write(text: str) -> Path:
    """Understand what `to_file` takes as a path."""
    return home(to_file(text))


def from_files(values: Names) -> Names:
    """Refuse inputs that are no files here.

    Raises:
        typer.BadParameter: says what to give.
    """
    for value in values:
        if value == STANDARD or is_remote(value):
            raise typer.BadParameter(f"'{value}': this command reads files here; copy it into one first")
    not_empty(values)
    return values


def known_channel(value: str) -> str:
    """Refuse what names no channel.

    Raises:
        typer.BadParameter: says what does.
    """
    if value not in ("mean", "left", "right", "each") and not (value.isascii() and value.isdecimal()):
        raise typer.BadParameter(f"'{value}': expected mean, left, right, each, or a number counted from 0")
    return value


def known_conditions(value: str) -> str:
    """Refuse conditions on recordings that cannot be understood.

    Raises:
        typer.BadParameter: says what can be.
    """
    if not value:
        return value
    from xcodec.tokenization.treatment import Treatment

    try:
        return Treatment(where=value).where
    except InputError as error:
        raise typer.BadParameter(f"'{value}': {error.problem}") from None


def known_size(value: str | None) -> str | None:
    """Refuse what is no size of memory.

    Raises:
        typer.BadParameter: says what is one.
    """
    if value is not None:
        try:
            memory_size(value)
        except InputError as error:
            raise typer.BadParameter(f"{value!r}: {error.problem}") from None
    return value
