"""Files that appear whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["folder_written_whole", "open_to_umask", "written_whole"]


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
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    part.touch(exist_ok=False)
    try:
        yield part
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    with suppress(OSError):  # not every system lets folders be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder`, which takes its name if the block succeeds and is removed if it fails.

    A folder that is there is replaced; whether it may be is for the caller to decide.
    """
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    retired = part.with_suffix(".old")
    try:
        part.mkdir()
        yield part
        for path in part.iterdir():
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


def open_to_umask(path: Path) -> None:
    """Give a file the permissions that `open` gives a new one: those of the umask.

    Libraries that write through a temporary file, as safetensors does, leave one that only its owner may read.
    """
    probe = path.with_name(f".{uuid.uuid4().hex}.part")
    probe.touch(exist_ok=False)  # asked of the system, since reading the umask itself means to change it for a moment
    try:
        path.chmod(probe.stat().st_mode & 0o777)
    finally:
        probe.unlink()
