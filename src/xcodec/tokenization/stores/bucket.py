"""A store that is a prefix of an object store, reached by fsspec: s3://, gs://, memory:// and others."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xcodec.errors import first_line
from xcodec.location import Location
from xcodec.tokenization.lock import ScratchFolder
from xcodec.tokenization.patience import StoreError, patiently
from xcodec.tokenization.stores.lease import Lease
from xcodec.tokenization.stores.store import Store, WrittenAlreadyError

__all__ = ["BucketStore"]

_TAIL = 1 << 16  # bytes at the end of a Parquet file, which most footers fit into
_FOOTER_END = 8  # bytes: the length of the footer, and PAR1


class BucketStore(Store):
    """The files of an output as objects with a common prefix.

    An object appears when its last byte has arrived, so nothing is renamed. What is written once is put on condition
    that it is not there, of which S3 and GCS let one of several writers have its way; a store that cannot do so looks
    before it writes. Whatever fails for want of a connection, or for too many requests, is tried for minutes.

    Args:
        location: of the prefix.
    """

    status_seconds = 15.0

    def __init__(self, location: Location) -> None:
        self.location = location

    def __str__(self) -> str:
        return str(self.location)

    def called(self, name: str) -> str:
        """Return the URL of a file."""
        return str(self.location.child(name))

    def _path(self, name: str) -> str:
        return self.location.child(name).path

    def make(self) -> None:
        """Do nothing: a prefix is there when an object is."""

    def exists(self, name: str) -> bool:
        """Tell whether there is such an object."""
        return patiently(self.called(name), lambda: bool(self.location.fs.exists(self._path(name))))

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the objects directly below a prefix, in order, but for those that are hidden."""
        place = self.location.child(folder) if folder else self.location
        try:
            listed = patiently(str(place), lambda: self.location.fs.ls(place.path, detail=True))
        except FileNotFoundError:
            return []
        files = sorted(info["name"].rpartition("/")[2] for info in listed if info["type"] == "file")
        return [f"{folder}/{name}" if folder else name for name in files if not name.startswith(".")]

    def read(self, name: str) -> bytes:
        """Return what an object holds."""
        return patiently(self.called(name), lambda: bytes(self.location.fs.cat_file(self._path(name))))

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """Give a copy."""
        with ScratchFolder() as scratch:
            path = scratch.path / name.rpartition("/")[2]
            patiently(self.called(name), lambda: self.location.fs.get_file(self._path(name), str(path)))
            yield path

    def footer(self, name: str) -> IO[bytes]:
        """Return the end of an object, from its footer on: one request for each but the largest."""
        tail = self._tail(name, _TAIL)
        length = int.from_bytes(tail[-_FOOTER_END:-4], "little") + _FOOTER_END
        return io.BytesIO(tail if length <= len(tail) else self._tail(name, length))

    def _tail(self, name: str, count: int) -> bytes:
        return patiently(self.called(name), lambda: bytes(self.location.fs.cat_file(self._path(name), start=-count)))

    @contextmanager
    def writing(self, name: str, once: bool = False) -> Iterator[Path]:
        """Give an empty file on this machine, whose contents are put in one go."""
        with ScratchFolder() as scratch:
            part = scratch.path / name.rpartition("/")[2]
            part.touch()
            yield part
            contents = part.read_bytes()
        if not once:
            self._put(name, lambda: self.location.fs.pipe_file(self._path(name), contents))
        elif not self.create(name, contents):
            raise WrittenAlreadyError(self.called(name))

    def create(self, name: str, contents: bytes) -> bool:
        """Put an object that is not there.

        Where one is there with the same contents, an attempt of our own may have arrived whose answer was lost: that
        counts as written. Contents that name their writer tell writers apart.
        """
        path, fs = self._path(name), self.location.fs

        def put() -> bool:
            try:
                fs.pipe_file(path, contents, mode="create")
                return True
            except FileExistsError:
                pass
            except Exception:  # it may have arrived all the same, and stores call a condition that fails by many names
                if not fs.exists(path):
                    raise
            try:
                return bytes(fs.cat_file(path)) == contents
            except FileNotFoundError:  # it has been removed meanwhile
                return False

        return bool(self._put(name, put))

    def _put(self, name: str, put: Callable[[], object]) -> object:
        try:
            return patiently(self.called(name), put)
        except FileNotFoundError as error:
            raise StoreError(f"cannot be written: {first_line(error)}", subject=self.called(name)) from None

    def remove(self, name: str) -> None:
        """Remove an object; there may be none."""
        try:
            patiently(self.called(name), lambda: self.location.fs.rm_file(self._path(name)))
        except FileNotFoundError:
            return

    def lock(self, name: str) -> Lease:
        """Return a lease, which ends when its holder has said nothing for a while."""
        return Lease(self, name)

    def clean(self) -> None:
        """Do nothing: objects are never half-written."""
