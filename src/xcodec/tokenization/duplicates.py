"""Ids that occur twice, found in bounded memory whatever their number."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import numpy as np

__all__ = ["DuplicateFinder"]

_BUCKETS = 64


class DuplicateFinder:
    """Remembers the hashes of ids on disk, in buckets small enough to be sorted in memory one by one: 8 bytes an id."""

    def __init__(self) -> None:
        self._files = ExitStack()
        self._buckets = [self._files.enter_context(tempfile.TemporaryFile()) for _ in range(_BUCKETS)]  # noqa: SIM115

    def __enter__(self) -> "DuplicateFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, ids: Iterable[str]) -> None:
        """Remember some more ids."""
        hashes = np.fromiter(map(hash, ids), np.int64)
        bucket = hashes % _BUCKETS
        for number in np.unique(bucket):
            self._buckets[number].write(hashes[bucket == number].tobytes())

    def found(self, ids: Callable[[], Iterable[str]]) -> dict[str, int]:
        """The ids that were added more than once, and how often.

        Args:
            ids: gives all of them again; read only where hashes meet.
        """
        suspects: set[int] = set()
        for bucket in self._buckets:
            bucket.seek(0)
            hashes = np.sort(np.frombuffer(bucket.read(), np.int64))
            suspects.update(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not suspects:
            return {}
        counts = Counter(each for each in ids() if hash(each) in suspects)
        return {each: count for each, count in counts.items() if count > 1}
