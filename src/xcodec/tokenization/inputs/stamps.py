"""Sizes and times of the files that a data set names, many at once: file systems of a network are slow to answer."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from xcodec.location import as_path, is_url

__all__ = ["stamps_of"]

_THREADS = 8
_AT_ONCE = 4096  # files that a thread looks at in one go

Stamps = tuple[list[int | None], list[int | None]]
"""Of each file its size in bytes, and when it was written last, in milliseconds since 1970; None where not told."""


def stamps_of(uris: Sequence[str]) -> Stamps:
    """Look at files here; those far away are not asked. Neighbours are often spans of one file, which is asked once."""
    asked: list[str] = []
    which: list[int] = []
    last = None
    for uri in uris:
        if uri != last:
            asked.append(uri)
            last = uri
        which.append(len(asked) - 1)
    chunks = [asked[first : first + _AT_ONCE] for first in range(0, len(asked), _AT_ONCE)]
    if len(chunks) == 1:
        sizes, times = looked_at(chunks[0])
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(looked_at, chunks))
        sizes = list(chain.from_iterable(sizes for sizes, _ in found))
        times = list(chain.from_iterable(times for _, times in found))
    if len(asked) == len(uris):
        return sizes, times
    return [sizes[at] for at in which], [times[at] for at in which]


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
