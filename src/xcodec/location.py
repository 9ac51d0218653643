"""Locations: what people name as input, here or on any file system that fsspec knows."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec

from xcodec.errors import InputError, MissingExtraError

__all__ = ["Location", "as_text", "explained", "is_url"]


def is_url(text: str) -> bool:
    """Whether a name says its protocol, as in s3://bucket/key; everything else is a path here."""
    return "://" in text or "::" in text


def as_text(path: str) -> str:
    r"""A path in which the bytes that are no UTF-8, as old discs have them, are written as \xe9: Arrow wants text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def as_path(text: str) -> str:
    """The path that `as_text` wrote; where a file is really called so, it stays as it is."""
    if "\\x" not in text or os.path.lexists(text):
        return text
    return os.fsdecode(re.sub(rb"\\x([89a-f][0-9a-f])", lambda at: bytes.fromhex(at[1].decode()), os.fsencode(text)))


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
    def of(cls, text: str) -> "Location":
        """Understand a path or a URL.

        Raises:
            InputError: for an unknown protocol or an unusable URL.
            MissingExtraError: where fsspec needs a library for the protocol.
        """
        if not is_url(text):
            path = os.path.abspath(Path(as_path(text)).expanduser())  # noqa: PTH100  (links stay as they are named)
            return cls(fsspec.filesystem("file"), path, True)
        try:
            fs, path = fsspec.core.url_to_fs(text)
        except ImportError as error:
            raise MissingExtraError(f"{text}: {error}") from None
        except (ValueError, OSError) as error:
            raise InputError(f"{text}: cannot be understood as a URL: {error}") from None
        return cls(fs, path, False)

    def __str__(self) -> str:
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    def at(self, path: str) -> "Location":
        """Another path on the same file system."""
        return Location(self.fs, path, self.is_local)

    def child(self, name: str) -> "Location":
        """A file in this folder."""
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
        """Whether there is a folder."""
        with explained(self):
            return bool(self.fs.isdir(self.path))

    def exists(self) -> bool:
        """Whether there is anything."""
        with explained(self):
            return bool(self.fs.exists(self.path))

    def size(self) -> int | None:
        """Of a file, in bytes, where that can be told at once: of files here."""
        if not self.is_local:
            return None
        try:
            return os.stat(self.path).st_size  # noqa: PTH116  (called for millions of files)
        except OSError:
            return None

    def matches(self) -> list["Location"]:
        """What a pattern matches, in order of name; empty where the name is no pattern."""
        if not glob.has_magic(self.path):
            return []
        with explained(self):
            return [self.at(path) for path in sorted(self.fs.glob(self.path))]

    def files(self, suffixes: tuple[str, ...], seen: frozenset[str] = frozenset()) -> Iterator[tuple["Location", int]]:
        """The files below this folder that end in one of `suffixes`, with their sizes; each folder in order of name.

        What is hidden is left out. Links to folders are followed, unless they lead back up.
        """
        if self.is_local:
            real = os.path.realpath(self.path)
            if real in seen:
                return
            seen |= {real}
        with explained(self):
            listed = sorted(self.fs.ls(self.path, detail=True), key=lambda info: info["name"])
        for info in listed:
            inside = self.at(info["name"])
            if inside.name.startswith(".") or inside.path.rstrip("/") == self.path.rstrip("/"):
                continue
            if info["type"] == "directory" or (info["type"] == "link" and self.fs.isdir(inside.path)):
                yield from inside.files(suffixes, seen)
            elif inside.name.lower().endswith(suffixes):
                yield inside, info["size"]

    def open(self, mode: str = "rb") -> IO[Any]:
        """Open the file for reading; what ends in .gz, .bz2, .xz or .zst is unpacked."""
        options = {"encoding": "utf-8", "newline": ""} if "b" not in mode else {}
        with explained(self):
            opened: IO[Any] = self.fs.open(self.path, mode, compression="infer", **options)
        return opened


class explained:  # noqa: N801  (a context manager, used like a function)
    """Turn what a file system raises into an error that names the place."""

    def __init__(self, place: object) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{self.place}: no such file or folder") from None
        if isinstance(error, ImportError):
            raise MissingExtraError(f"{self.place}: {error}") from None
        if isinstance(error, OSError):
            raise InputError(f"{self.place}: cannot be read: {error.strerror or error}") from None
