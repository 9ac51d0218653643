"""A store that is a folder of a file system, of this machine or shared by several."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xcodec.files import remove_stale_parts, scratch_file, written_whole
from xcodec.tokenization.lock import Lock
from xcodec.tokenization.stores.store import Store

__all__ = ["FolderStore"]


class FolderStore(Store):
    """The files of an output in a folder.

    Args:
        folder: its path, which need not be there yet.
    """

    status_seconds = 5.0

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def called(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)

    def make(self) -> None:
        """Make the folder."""
        (self.folder / "codes").mkdir(parents=True, exist_ok=True)

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.folder / name).is_file()

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files in a folder of the output, in order, but for those that are hidden."""
        try:
            found = sorted(path.name for path in (self.folder / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{folder}/{name}" if folder else name for name in found if not name.startswith(".")]

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return (self.folder / name).read_bytes()

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """Give the file itself."""
        yield self.folder / name

    def footer(self, name: str) -> Path:
        """Return the file itself."""
        return self.folder / name

    @contextmanager
    def writing(self, name: str, once: bool = False) -> Iterator[Path]:
        """Give an empty file beside `name`. With `once`, too, a file that is there is replaced: by an equal one."""
        del once
        path = self.folder / name
        if path.parent != self.folder:
            path.parent.mkdir(exist_ok=True)
        with written_whole(path) as part:
            yield part

    def create(self, name: str, contents: bytes) -> bool:
        """Write a file that is not there; a hard link is what one of several processes makes."""
        path = self.folder / name
        with scratch_file(path.parent) as part:
            with part.open("r+b") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(part, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                part.rename(path)
        return True

    def remove(self, name: str) -> None:
        """Remove a file; there may be none."""
        (self.folder / name).unlink(missing_ok=True)

    def lock(self, name: str) -> Lock:
        """Return a lock of the system's, which ends with the process."""
        return Lock(self.folder / name)

    def clean(self) -> None:
        """Remove half-written files that nobody writes to any more."""
        for folder in (self.folder, self.folder / "codes"):
            remove_stale_parts(folder)
