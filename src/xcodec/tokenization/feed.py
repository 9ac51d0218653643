"""The recordings of a shard, read ahead of the model by threads, as much as may be in memory at once."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xcodec.errors import AudioError
from xcodec.tokenization.readers import ReaderPool, Sound

__all__ = ["Feed", "Loaded"]

_KEYS = ("uri", "byte_start", "byte_count", "start", "duration", "channel")


@dataclass(frozen=True)
class Loaded:
    """The recording of one row of a shard, or why it cannot be read."""

    row: int
    sound: Sound | AudioError


class Feed:
    """Reads rows in their order, and is emptied in windows.

    Args:
        rows: of the plan.
        pool: of reader processes.
        window_seconds: audio that is read ahead; what the readers have begun comes on top.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], pool: ReaderPool, window_seconds: float) -> None:
        self._rows, self._pool, self._limit = rows, pool, window_seconds
        self._changed = threading.Condition()
        self._loaded: list[Loaded] = []
        self._seconds = 0.0
        self._taken = self._finished = 0
        self._stopped = False
        self._error: BaseException | None = None
        threads = [threading.Thread(target=self._read, daemon=True) for _ in range(min(pool.count, len(rows)))]
        for thread in threads:
            thread.start()

    @property
    def is_read(self) -> bool:
        """Whether all rows are read, taken or not."""
        return self._finished == len(self._rows)

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
        while (row := self._next()) is not None:
            try:
                entry = {name: self._rows[row][name] for name in _KEYS}
                sound: Sound | AudioError = self._pool.read(entry)
            except AudioError as error:
                sound = error
            except BaseException as error:
                self._error = error
                self.stop()
                return
            with self._changed:
                self._loaded.append(Loaded(row, sound))
                self._seconds += sound.audio.duration if isinstance(sound, Sound) else 0.0
                self._finished += 1
                self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._seconds < self._limit)
            if self._stopped or self._taken == len(self._rows):
                return None
            self._taken += 1
            return self._taken - 1
