"""Files that appear whole or not at all, and what killed runs left of them."""

import functools
import hashlib
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["folder_written_whole", "open_to_umask", "remove_stale_parts", "scratch_file", "written_whole"]

# `.xcodec-MACHINE-NUMBER.part` is being written; `.xcodec-MACHINE-NUMBER.NAME.old` was the folder NAME until a moment
# ago. Whoever writes holds a lock (flock) on the part, which the system drops when the process ends, however it ends.
_LEFT = re.compile(r"(?P<stem>\.xcodec-(?P<machine>[0-9a-f]{8})-[0-9a-f]{32})\.(?:part|(?P<name>.+)\.old)", re.DOTALL)
_STALE = 24 * 3600  # seconds; where a lock tells nothing, what nobody wrote to for so long is nobody's


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its name if the block succeeds and is removed if it fails.

    The contents are on the disk before the name is, so that not even a power failure leaves half a file.

    Raises:
        OSError: where the folder is missing or cannot be written, or `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(None, "it is a folder; give the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(None, f"the folder {path.parent} does not exist; make it first", str(path))
    with scratch_file(path.parent) as part:
        yield part
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
    with suppress(OSError):  # not every system lets folders be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def scratch_file(folder: Path) -> Iterator[Path]:
    """Give an empty file in `folder`, which is removed at the end; where this process is killed, by the next run.

    Raises:
        OSError: where the folder cannot be written.
    """
    _clean_once(folder)
    with _locked_part(folder, _create_file) as part:
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder`, which takes its name if the block succeeds and is removed if it fails.

    A folder that is there is replaced; whether it may be is for the caller to decide.
    """
    _clean_once(folder.parent)
    with _locked_part(folder.parent, Path.mkdir) as part:
        retired = part.with_name(f"{part.stem}.{folder.name}.old")
        try:
            yield part
            for path in filter(Path.is_file, part.rglob("*")):
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
            if folder.exists():
                folder.rename(retired)
            part.rename(folder)
        except BaseException:
            if retired.exists() and not folder.exists():
                retired.rename(folder)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)


def remove_stale_parts(folder: Path) -> None:
    """Remove what killed runs left half-written in a folder, and nothing that a living run is writing.

    What was made under this very kernel is a dead run's if its lock is free: the system drops a lock with the process
    that held it. Of what another machine made, or this one before it was started anew, the lock may say nothing, since
    network file systems may keep locks to each machine: that goes when nobody has written to it for a day. A folder
    that was about to be replaced gets its name back if the new one did not come.

    Args:
        folder: to look in, not below it. One that cannot be read is left alone.
    """
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if (found := _LEFT.fullmatch(path.name)) is not None:
                part = path.with_name(f"{found['stem']}.part")
                with suppress(OSError), _lock(part) as held:
                    told = held if found["machine"] == _machine() or held is False else None
                    if _is_stale(part, told):
                        _remove(path, found["name"])


@functools.cache
def _clean_once(folder: Path) -> None:
    """Clean a folder when this process first writes to it: looking through a large one takes time."""
    remove_stale_parts(folder)


@contextmanager
def _locked_part(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make a part of a new name, and hold its lock."""
    while True:
        part = folder / f".xcodec-{_machine()}-{uuid.uuid4().hex}.part"
        make(part)
        with _lock(part) as held:
            if held is not False and part.exists():  # else another run took it for a dead one's before it was locked
                yield part
                return


def _create_file(path: Path) -> None:
    path.touch(exist_ok=False)


@functools.cache
def _machine() -> str:
    """Tell this run of the kernel from all others, in eight hexadecimal digits."""
    try:
        said = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # not Linux
        said = f"{platform.node()} {uuid.getnode()}".encode()
    return hashlib.sha256(said).hexdigest()[:8]


def _is_stale(part: Path, held: bool | None) -> bool:
    """Whether nobody writes a part any more, given whether we could take its lock; None where that says nothing."""
    if held is not None or not part.exists():
        return held is not False
    inside = part.rglob("*") if part.is_dir() else ()
    return time.time() - max(path.lstat().st_mtime for path in (part, *inside)) > _STALE


def _remove(path: Path, name: str | None) -> None:
    """Remove a part, or a retired folder; one whose `name` is free gets it back."""
    if name is not None and not os.path.lexists(path.with_name(name)):
        path.rename(path.with_name(name))
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


@contextmanager
def _lock(part: Path) -> Iterator[bool | None]:
    """Take the lock of a part for a while: True where we have it, False where another has, None where there is none.

    Windows has no such locks, and would not let a file be renamed that is open; some network file systems have none.
    """
    try:
        import fcntl

        descriptor = os.open(part, os.O_RDONLY if part.is_dir() else os.O_RDWR)  # NFS locks only what may be written
    except (ImportError, OSError):
        yield None
        return
    try:
        held: bool | None = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = False
        except OSError:
            held = None
        yield held
    finally:
        os.close(descriptor)


def open_to_umask(path: Path) -> None:
    """Give a file the permissions that `open` gives a new one: those of the umask.

    Libraries that write through a temporary file, as safetensors does, leave one that only its owner may read.
    """
    with scratch_file(path.parent) as probe:  # asked of the system: reading the umask itself means to change it
        path.chmod(probe.stat().st_mode & 0o777)
