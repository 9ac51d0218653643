"""Locks that end with the process that holds them, and folders that tell by a lock whether anybody still uses them."""

import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock
else:
    LOCK_EX = LOCK_NB = 0

    def flock(file: int, how: int) -> None:
        """Lock nothing."""
        raise OSError(f"file {file}: no locks of kind {how} here")


__all__ = ["Lock", "ScratchFolder"]

_PREFIX = "xcodec-scratch-"
_UNLOCKED = 3600.0  # seconds after which a folder without a lock is nobody's: its maker died before locking it


class Lock:
    """A lock on a file, as the system keeps it (flock): it ends with the process, however that ends.

    It holds between machines where the shared file system passes such locks on, as NFS 4 and Lustre with -o flock do.
    Where a file system or an operating system knows none, everybody gets the lock.

    Args:
        path: of the file, which is made and stays.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self.is_kept = False

    def take(self, wait: bool) -> bool:
        """Take the lock; without waiting, tell whether it was free. `is_kept` says whether it keeps others out."""
        try:
            flock(self._file, LOCK_EX | (0 if wait else LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # there are no locks here
            return True
        self.is_kept = True
        return True

    @property
    def holder(self) -> str:
        """What who took the lock last has said of itself."""
        return os.pread(self._file, 200, 0).decode(errors="replace")

    @holder.setter
    def holder(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._file)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ScratchFolder:
    """A temporary folder. Those that killed runs have left are removed when the next one is made."""

    def __init__(self) -> None:
        remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = Lock(self.path / "lock")
        self._lock.take(wait=False)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> "ScratchFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_abandoned() -> None:
    """Remove the folders that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if not (folder / "lock").exists():
                if time.time() - folder.stat().st_mtime > _UNLOCKED:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with Lock(folder / "lock") as lock:
                if lock.take(wait=False) and lock.is_kept:
                    shutil.rmtree(folder, ignore_errors=True)
