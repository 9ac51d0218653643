"""Locations: what people name as input, here or on any file system that fsspec knows."""

import glob
import io
import itertools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xcodec.errors import InputError, MissingExtraError, first_line

__all__ = [
    "STANDARD_INPUT",
    "Found",
    "Location",
    "Stamp",
    "StandardInput",
    "as_path",
    "as_text",
    "explained",
    "is_url",
    "stamp",
]


STANDARD_INPUT = "-"
"""How standard input is named."""


def is_url(text: str) -> bool:
    """Tell whether a name says its protocol, as in s3://bucket/key; everything else is a path here."""
    return "://" in text or "::" in text


def as_text(path: str) -> str:
    r"""Write the bytes of a path that are no UTF-8, as old discs have them, as \xe9: Arrow wants text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def as_path(text: str) -> str:
    """Return the path that `as_text` wrote; where a file is really called so, it stays as it is."""
    if "\\x" not in text or os.path.lexists(text):
        return text
    return os.fsdecode(re.sub(rb"\\x([89a-f][0-9a-f])", lambda at: bytes.fromhex(at[1].decode()), os.fsencode(text)))


@dataclass(frozen=True)
class Stamp:
    """By what a file is known again.

    Args:
        size: in bytes; None where that cannot be told.
        modified: when it was written last, in milliseconds since 1970; None likewise.
    """

    size: int | None = None
    modified: int | None = None


def stamp(path: str) -> Stamp:
    """Look at a file here; it is called for millions of them."""
    try:
        seen = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return Stamp()
    return Stamp(seen.st_size, int(seen.st_mtime * 1000))


@dataclass(frozen=True)
class Found:
    """What the search of a folder came upon.

    Args:
        place: a file, or a folder that cannot be read.
        stamp: of the file.
        refused: why the folder cannot be read; empty for a file.
    """

    place: "Location"
    stamp: Stamp = Stamp()
    refused: str = ""


@dataclass(frozen=True)
class Location:
    """A file or folder, here or far away.

    Args:
        fs: the file system.
        path: as the file system calls it.
        is_local: whether plain paths are meant.
    """

    fs: Any
    path: str
    is_local: bool

    @classmethod
    def of(cls, text: str, **options: Any) -> "Location":
        """Understand a path or a URL.

        Args:
            text: the path or URL.
            **options: of fsspec, for the file system of a URL.

        Raises:
            InputError: for an unknown protocol or an unusable URL.
            MissingExtraError: where fsspec needs a library for the protocol.
        """
        import fsspec  # late: it would be a quarter of what `xcodec.runtime` imports

        if not is_url(text):
            path = os.path.abspath(Path(as_path(text)).expanduser())  # noqa: PTH100  (links stay as they are named)
            return cls(fsspec.filesystem("file"), path, True)
        try:
            fs, path = fsspec.core.url_to_fs(text, **options)
        except ImportError as error:
            raise MissingExtraError(str(error), subject=text) from None
        except (ValueError, OSError) as error:
            raise InputError(f"cannot be understood as a URL: {error}", subject=text) from None
        return cls(fs, path, False)

    def __str__(self) -> str:
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    def at(self, path: str) -> "Location":
        """Return another path on the same file system."""
        return Location(self.fs, path, self.is_local)

    def child(self, name: str) -> "Location":
        """Return a file in this folder."""
        return self.at(f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def folder(self) -> "Location":
        """The folder that this file is in."""
        return self.at(self.path.rstrip("/").rpartition("/")[0] or "/")

    def is_folder(self) -> bool:
        """Tell whether there is a folder."""
        with explained(self):
            return bool(self.fs.isdir(self.path))

    def exists(self) -> bool:
        """Tell whether there is anything."""
        with explained(self):
            return bool(self.fs.exists(self.path))

    def stamp(self) -> Stamp:
        """Look up by what the file is known again; far away, its size alone."""
        if self.is_local:
            return stamp(self.path)
        try:
            return Stamp(self.fs.size(self.path))
        except Exception:  # of whatever library serves the protocol; the file is asked for again when it is read
            return Stamp()

    def matches(self) -> list["Location"]:
        """Return what a pattern matches, in order of name; empty where the name is no pattern."""
        if not glob.has_magic(self.path):
            return []
        with explained(self):
            return [self.at(path) for path in sorted(self.fs.glob(self.path))]

    @property
    def fixed_part(self) -> str:
        """The path of a pattern before the first part that may match several names."""
        parts = self.path.split("/")
        return "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), parts))

    def files(self, wanted: Callable[[str], bool], seen: frozenset[str] = frozenset()) -> Iterator[Found]:
        """Find the files below this folder whose names are wanted, each folder in order of name.

        What is hidden is left out. Links to folders are followed, unless they lead back up. A folder that cannot be
        read is told.
        """
        if self.is_local:
            real = os.path.realpath(self.path)
            if real in seen:
                return
            seen |= {real}
        try:
            with explained(self):
                listed = self._listed()
        except InputError as error:
            yield Found(self, refused=error.beside(self))
            return
        for inside, is_folder, size in listed:
            if inside.name.startswith(".") or inside.path.rstrip("/") == self.path.rstrip("/"):
                continue
            if is_folder:
                yield from inside.files(wanted, seen)
            elif wanted(inside.name):
                yield Found(inside, stamp(inside.path) if self.is_local else Stamp(size))

    def _listed(self) -> list[tuple["Location", bool, int | None]]:
        """Return what is in this folder, by name: each with whether it is a folder, and far away its size."""
        if self.is_local:
            with os.scandir(self.path) as found:
                return [(self.child(each.name), each.is_dir(), None) for each in sorted(found, key=lambda e: e.name)]
        listed = sorted(self.fs.ls(self.path, detail=True), key=lambda info: info["name"])
        return [(self.at(info["name"]), info["type"] == "directory", info.get("size")) for info in listed]

    def open(self, mode: str = "rb") -> IO[Any]:
        """Open the file for reading; what ends in .gz, .bz2, .xz or .zst is unpacked.

        Bytes of a text that are no UTF-8 become surrogates, as Python has them in the names of files.
        """
        options = {} if "b" in mode else {"encoding": "utf-8", "newline": "", "errors": "surrogateescape"}
        with explained(self):
            opened: IO[Any] = self.fs.open(self.path, mode, compression="infer", **options)
        return opened


@dataclass(frozen=True)
class StandardInput(Location):
    """What came on standard input, kept in a file without a name, so that it can be read again."""

    kept: Any = None

    @classmethod
    def read(cls) -> "StandardInput":
        """Take all that comes, to its end."""
        import fsspec

        kept = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as this does)
        shutil.copyfileobj(sys.stdin.buffer, kept)
        return cls(fsspec.filesystem("file"), f"{os.getcwd()}/standard input", True, kept)  # noqa: PTH109

    def __str__(self) -> str:
        return "standard input"

    def __del__(self) -> None:
        self.kept.close()

    def open(self, mode: str = "rb") -> IO[Any]:
        """Read it from its beginning."""
        self.kept.flush()
        self.kept.seek(0)
        again = os.fdopen(os.dup(self.kept.fileno()), "rb")
        return again if "b" in mode else io.TextIOWrapper(again, encoding="utf-8", errors="surrogateescape")


class explained:  # noqa: N801  (a context manager, used like a function)
    """Turn what a file system raises into an error that names the place."""

    def __init__(self, place: object) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise InputError("no such file or folder", subject=self.place) from None
        if isinstance(error, ImportError):
            raise MissingExtraError(str(error), subject=self.place) from None
        if isinstance(error, OSError):
            raise InputError(f"cannot be read: {first_line(error)}", subject=self.place) from None
