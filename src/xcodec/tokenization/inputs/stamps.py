"""Sizes and times of the files that a data set names, many at once: file systems of a network are slow to answer."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa

from xcodec.location import as_path, is_url

__all__ = ["stamps_of"]

_THREADS = 8
_AT_ONCE = 4096  # files that a thread looks at in one go

Stamps = tuple[list[int | None], list[int | None]]
"""Of each file its size in bytes, and when it was written last, in milliseconds since 1970; None where not told."""


def stamps_of(uris: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Look at files here, each once; those far away are not asked.

    Args:
        uris: where recordings are, several perhaps in one file.

    Returns:
        Of each, the size of its file in bytes, and when that was written last, in milliseconds since 1970, both int64;
        null where that is not told.
    """
    files = uris.dictionary_encode()
    asked = files.dictionary.to_pylist()
    chunks = [asked[first : first + _AT_ONCE] for first in range(0, len(asked), _AT_ONCE)]
    if len(chunks) <= 1:
        found = list(map(looked_at, chunks))
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(looked_at, chunks))
    sizes, times = (pa.array(list(chain.from_iterable(each[i] for each in found)), pa.int64()) for i in range(2))
    return sizes.take(files.indices), times.take(files.indices)


def looked_at(uris: Sequence[str]) -> Stamps:
    """Look at some files, one after the other."""
    sizes: list[int | None] = []
    times: list[int | None] = []
    for uri in uris:
        size = time = None
        if not is_url(uri):
            try:
                seen = os.stat(as_path(uri))  # noqa: PTH116  (called for millions of names)
                size, time = seen.st_size, int(seen.st_mtime * 1000)
            except (OSError, ValueError):  # ValueError: a NUL in the name
                pass
        sizes.append(size)
        times.append(time)
    return sizes, times
