"""The recordings of a shard, read ahead of the model by threads, as much as may be in memory at once."""

import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from xcodec.errors import AudioError
from xcodec.tokenization.readers import ReaderPool, Sound

__all__ = ["Feed", "Loaded", "passes"]

_FILE = ("uri", "byte_start", "byte_count", "channel")
_KEYS = (*_FILE, "start", "duration", "file_size", "file_modified", "file_sha256")
_ROUNDING = 1e-6  # seconds by which spans may overlap that follow one another
_PASS_ROWS = 128  # spans that one reader takes at once, at most


@dataclass(frozen=True)
class Loaded:
    """The recording of one row of a shard, or why it cannot be read."""

    row: int
    sound: Sound | AudioError


class Feed:
    """Reads rows, the spans of a file in one pass, and is emptied in windows.

    Args:
        rows: of the plan.
        wanted: numbers of the rows that are to be read.
        pool: of reader processes.
        window_seconds: audio that is read ahead; what the readers have begun comes on top.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], wanted: Sequence[int], pool: ReaderPool, window_seconds: float
    ) -> None:
        self._rows, self._pool, self._limit = rows, pool, window_seconds
        self._passes = deque(passes(rows, wanted))
        self._changed = threading.Condition()
        self._loaded: list[Loaded] = []
        self._seconds = 0.0
        self._left = len(wanted)
        self._stopped = False
        self._error: BaseException | None = None
        threads = [threading.Thread(target=self._read, daemon=True) for _ in range(min(pool.count, len(self._passes)))]
        for thread in threads:
            thread.start()

    @property
    def is_read(self) -> bool:
        """Whether all rows are read, taken or not."""
        return self._left == 0

    def window(self) -> list[Loaded]:
        """Take what is there once it is half of what may be read ahead, or the rest.

        Raises:
            Exception: what stopped a reader from working at all.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self.is_read or self._seconds >= self._limit / 2)
            if self._error is not None:
                raise self._error
            loaded, self._loaded, self._seconds = self._loaded, [], 0.0
            self._changed.notify_all()
            return loaded

    def stop(self) -> None:
        """Read no further."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            while self._may_read():
                with self._changed:
                    if not self._passes:
                        return
                    numbers = self._passes.popleft()
                entries = [{name: self._rows[number][name] for name in _KEYS} for number in numbers]
                with closing(self._pool.read(entries)) as sounds:
                    for number, sound in zip(numbers, sounds, strict=True):
                        self._put(Loaded(number, sound))
                        if not self._may_read():
                            return
        except BaseException as error:
            self._error = error
            self.stop()

    def _may_read(self) -> bool:
        """Wait for room; False where there is to be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._seconds < self._limit)
            return not self._stopped

    def _put(self, loaded: Loaded) -> None:
        with self._changed:
            self._loaded.append(loaded)
            self._seconds += loaded.sound.audio.duration if isinstance(loaded.sound, Sound) else 0.0
            self._left -= 1
            self._changed.notify_all()


def passes(rows: Sequence[Mapping[str, Any]], wanted: Sequence[int]) -> list[list[int]]:
    """Rows that are read together: the spans of one channel of one file, in ascending order, that do not overlap.

    Files come in the order of their first rows. Of long ones there are several passes, so that several readers share
    them.
    """
    files: dict[tuple[Any, ...], list[int]] = {}
    for number in wanted:
        files.setdefault(tuple(rows[number][name] for name in _FILE), []).append(number)
    found: list[list[int]] = []
    for numbers in files.values():
        ended, room = 0.0, 0
        for number in sorted(numbers, key=lambda number: rows[number]["start"]):
            start, duration = rows[number]["start"], rows[number]["duration"]
            if not room or start < ended - _ROUNDING:
                found.append([])
                room = _PASS_ROWS
            found[-1].append(number)
            ended, room = math.inf if duration is None else start + duration, room - 1
    return found
