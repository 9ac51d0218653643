"""What every store of an output can do."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

__all__ = ["RunLock", "Store", "WrittenAlreadyError"]


class WrittenAlreadyError(Exception):
    """A file that was to be written once is there already; what it holds is for the caller to look at."""


class RunLock(Protocol):
    """What keeps two runs from the same work. It only saves work: what is written is right without it."""

    holder: str
    """What who took the lock last has said of itself."""

    def take(self, wait: bool) -> bool:
        """Take the lock; without waiting, tell whether it was free."""

    def close(self) -> None:
        """Give the lock back, if it was taken."""

    def __enter__(self) -> "RunLock": ...

    def __exit__(self, *_: object) -> None: ...


class Store(ABC):
    """The files of an output, by name. `str` of a store is what people call it."""

    status_seconds: float
    """How long the status of a run may be old."""

    @abstractmethod
    def called(self, name: str) -> str:
        """Return what people call a file: its path or URL."""

    @abstractmethod
    def make(self) -> None:
        """Make the output, where stores have to be told of it.

        Raises:
            OSError: where it cannot be made.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files in a folder of the output, in order; none where there is no such folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Raises:
            FileNotFoundError: where there is none.
        """

    @abstractmethod
    def here(self, name: str) -> AbstractContextManager[Path]:
        """Give a file on this machine with the same contents, for as long as the block lasts.

        Raises:
            FileNotFoundError: where there is none.
        """

    @abstractmethod
    def footer(self, name: str) -> Path | IO[bytes]:
        """Return a Parquet file, of which no more than the footer need be there.

        Raises:
            FileNotFoundError: where there is none.
        """

    @abstractmethod
    def writing(self, name: str, once: bool = False) -> AbstractContextManager[Path]:
        """Give an empty file on this machine, which becomes `name`, whole, once the block has ended well.

        Args:
            name: of the file; one that is there is replaced.
            once: leave a file that is there alone, where the store can tell.

        Raises:
            WrittenAlreadyError: with `once`, where there is a file.
            OSError: where it cannot be written.
        """

    @abstractmethod
    def create(self, name: str, contents: bytes) -> bool:
        """Write a file that is not there, whole or not at all; of several processes one does, which is told so."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; there may be none."""

    @abstractmethod
    def lock(self, name: str) -> RunLock:
        """Return a lock that all who work on the output see."""

    @abstractmethod
    def clean(self) -> None:
        """Remove what killed runs left half-written, but not what another run may be writing now."""
