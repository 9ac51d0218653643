"""Sizes and times of the files that a data set names, many at once: file systems of a network are slow to answer."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from xcodec.location import as_path, is_url

__all__ = ["FileStamps"]

_THREADS = 8
_AT_ONCE = 4096  # files that a thread looks at in one go
_REMEMBERED = 1 << 16  # files, some 20 MB

Stamp = tuple[int | None, int | None]
"""Size of a file in bytes, and when it was written last, in milliseconds since 1970; None where that is not told."""


class FileStamps:
    """Looks at files here, each once while it is remembered; those far away are not asked."""

    def __init__(self) -> None:
        self._seen: dict[str, Stamp] = {}

    def of(self, uris: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Look at the files of some recordings, several perhaps in one file.

        Args:
            uris: where they are.

        Returns:
            Of each, the size of its file in bytes, and when that was written last, in milliseconds since 1970, both
            int64; null where that is not told.
        """
        files = uris.dictionary_encode()
        names = files.dictionary.to_pylist()
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        asked = [name for name in names if name not in self._seen]
        chunks = [asked[first : first + _AT_ONCE] for first in range(0, len(asked), _AT_ONCE)]
        if len(chunks) <= 1:
            found = list(map(looked_at, chunks))
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                found = list(pool.map(looked_at, chunks))
        for chunk, stamps in zip(chunks, found, strict=True):
            self._seen.update(zip(chunk, stamps, strict=True))
        stamps = [self._seen[name] for name in names]
        sizes, times = (pa.array([stamp[i] for stamp in stamps], pa.int64()) for i in range(2))
        return sizes.take(files.indices), times.take(files.indices)


def looked_at(uris: Sequence[str]) -> list[Stamp]:
    """Look at some files, one after the other."""
    stamps: list[Stamp] = []
    for uri in uris:
        size = time = None
        if not is_url(uri):
            try:
                seen = os.stat(as_path(uri))  # noqa: PTH116  (called for millions of names)
                size, time = seen.st_size, int(seen.st_mtime * 1000)
            except (OSError, ValueError):  # ValueError: a NUL in the name
                pass
        stamps.append((size, time))
    return stamps
