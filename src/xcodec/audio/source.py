"""Where audio comes from: a path, a URL, bytes or an open file, as one file that can be read at any place."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xcodec.errors import AudioError, first_line
from xcodec.location import Location, is_url

__all__ = ["AudioSource", "Excerpt", "Source", "opened_source"]

AudioSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""A path, a URL, the bytes of a file, or a file that is open for reading bytes."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file that can be read at any place.

    Args:
        name: for messages.
        file: open for reading; its position may be changed by anyone at any time.
        begin: the byte of `file` at which the recording starts.
        size: in bytes.
        path: where the whole file lies here, or None.
    """

    name: str
    file: IO[bytes]
    begin: int
    size: int
    path: Path | None

    def read_at(self, start: int, count: int) -> bytes:
        """Read up to `count` bytes from byte `start` on; fewer only at the end.

        Raises:
            AudioError: where the system cannot read them.
        """
        try:
            self.file.seek(self.begin + start)
            wanted = min(count, max(0, self.size - start))
            pieces = []
            while wanted and (piece := self.file.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except OSError as error:
            raise AudioError(f"cannot be read: {first_line(error)}", subject=self.name) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def find(self, pattern: bytes, start: int, end: int | None = None) -> int:
        """Find the first place of `pattern` from byte `start` on, before byte `end`; -1 where there is none."""
        end = self.size if end is None else min(end, self.size)
        while start < end:
            chunk = self.read_at(start, min(_CHUNK, end - start))
            found = chunk.find(pattern)
            if found >= 0:
                return start + found
            if start + len(chunk) >= end:
                break
            start += len(chunk) - len(pattern) + 1
        return -1


class Excerpt(io.RawIOBase):
    """Pieces of a source, and bytes in between, as one file for libsndfile.

    What libsndfile calls must not raise, so an error of reading ends the file, and is kept in `error`.

    Args:
        source: where the pieces come from.
        pieces: each bytes, or the first byte and the byte after the last of a piece of the source.
    """

    def __init__(self, source: Source, pieces: Sequence[bytes | tuple[int, int]]) -> None:
        self.error: AudioError | None = None
        self.seems_endless = False
        self._source = source
        self._position = 0
        self._pieces: list[tuple[int, int, bytes | tuple[int, int]]] = []  # each with where it begins and ends here
        end = 0
        for piece in pieces:
            begin, end = end, end + (len(piece) if isinstance(piece, bytes) else piece[1] - piece[0])
            self._pieces.append((begin, end, piece))
        self._size = end

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, which may lie past the end."""
        end = 1 << 40 if self.seems_endless else self._size
        self._position = max(0, (0, self._position, end)[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as there are bytes; while the file seems endless, zeros follow them."""
        into, filled = memoryview(buffer).cast("B"), 0
        while filled < len(into):
            data = self._next(len(into) - filled)
            if not data:
                break
            into[filled : filled + len(data)] = data
            filled += len(data)
            self._position += len(data)
        if self.seems_endless and filled < len(into):
            into[filled:] = bytes(len(into) - filled)
            self._position += len(into) - filled
            return len(into)
        return filled

    def _next(self, count: int) -> bytes:
        for begin, end, piece in self._pieces:
            if begin <= self._position < end:
                inside = self._position - begin
                count = min(count, end - self._position)
                if isinstance(piece, bytes):
                    return piece[inside : inside + count]
                try:
                    return self._source.read_at(piece[0] + inside, count)
                except AudioError as error:
                    self.error = error
        return b""


@contextmanager
def opened_source(given: AudioSource) -> Iterator[Source]:
    """Open what was given.

    An open file is read from where it stands to its end. Where it cannot seek, as standard input, and where a URL is
    given, its contents are copied into a temporary file first.

    Raises:
        AudioError: where there is no such file, it may not be read, or is empty.
        InputError: for a URL of an unknown protocol.
    """
    if isinstance(given, str) and is_url(given):
        with _fetched(given) as path, _opened_path(path, given) as source:
            yield source
    elif isinstance(given, (str, os.PathLike)):
        name = os.fsdecode(given)
        with _opened_path(Path(name), name) as source:
            yield source
    elif isinstance(given, (bytes, bytearray, memoryview)):
        content = bytes(given)
        yield _checked(Source("the recording", io.BytesIO(content), 0, len(content), None))
    elif hasattr(given, "read"):
        with _opened_file(given) as source:
            yield source
    else:
        raise AudioError(f"a {type(given).__name__} is no recording: expected a path, a URL, bytes or an open file")


def _checked(source: Source) -> Source:
    if not source.size:
        raise AudioError("is empty, 0 bytes; expected audio", subject=source.name)
    return source


@contextmanager
def _fetched(url: str) -> Iterator[Path]:
    """Copy what a URL names into a temporary file."""
    location = Location.of(url)
    with tempfile.TemporaryDirectory(prefix="xcodec-") as folder:
        path = Path(folder) / "recording"
        try:
            location.fs.get_file(location.path, str(path))
        except Exception as error:  # the errors of whatever library fsspec uses for this protocol
            raise AudioError(f"cannot be fetched: {type(error).__name__}: {error}", subject=url) from None
        yield path


@contextmanager
def _opened_path(path: Path, name: str) -> Iterator[Source]:
    try:
        is_folder, is_other = path.is_dir(), path.exists() and not path.is_file()
        file = None if is_folder or is_other else path.open("rb")
    except FileNotFoundError:
        raise AudioError("no such file", subject=name) from None
    except PermissionError:
        raise AudioError("permission to read it is denied", subject=name) from None
    except OSError as error:
        raise AudioError(f"cannot be opened: {first_line(error)}", subject=name) from error
    except ValueError as error:  # a NUL in the path
        raise AudioError(f"cannot be opened: {error}", subject=repr(name)) from None
    if file is None:
        advice = (
            "is a folder; give a file in it"
            if is_folder
            else "is not a regular file; write the audio into a file first"
        )
        raise AudioError(advice, subject=name)
    with file:
        yield _checked(Source(name, file, 0, os.fstat(file.fileno()).st_size, path))


@contextmanager
def _opened_file(file: IO[bytes]) -> Iterator[Source]:
    given = getattr(file, "name", None)
    name = given if isinstance(given, str) else "the recording"
    if not isinstance(file.read(0), bytes):
        raise AudioError("is open for reading text", subject=name, remedy="open it for reading bytes")
    seekable = getattr(file, "seekable", None)
    if seekable is not None and seekable():
        begin = file.tell()
        size = file.seek(0, os.SEEK_END) - begin
        try:
            yield _checked(Source(name, file, begin, size, None))
        finally:
            file.seek(begin)
        return
    with tempfile.TemporaryFile(prefix="xcodec-") as copy:
        try:
            shutil.copyfileobj(file, copy, _CHUNK)
        except OSError as error:
            raise AudioError(f"cannot be read: {first_line(error)}", subject=name) from error
        yield _checked(Source(name, copy, 0, copy.tell(), None))
