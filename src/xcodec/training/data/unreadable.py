"""Recordings that cannot be read: passed over, told once, counted; too many of them end a run."""

import logging
import threading

from xcodec.errors import AudioError

__all__ = ["Unreadable"]

_TENTH = 10  # one in so many recordings may be unreadable


class Unreadable:
    """Counts the unreadable ones among recordings, from any thread.

    Args:
        count: recordings there are.
        logger: is told of each.
    """

    def __init__(self, count: int, logger: logging.Logger) -> None:
        self.count, self.logger = count, logger
        self.clips: set[int] = set()
        self._lock = threading.Lock()

    def note(self, clip: int, error: AudioError) -> None:
        """Take note of a recording that cannot be read.

        Raises:
            AudioError: where it is one too many: more than one and more than a tenth of all, or every one.
        """
        with self._lock:
            if clip in self.clips:
                return
            self.clips.add(clip)
            found = len(self.clips)
            if found > min(self.count - 1, max(1, self.count // _TENTH)):
                raise AudioError(
                    f"{found} of the {self.count} recordings cannot be read, which are too many to go on without them",
                    remedy=f"repair them or take them out. The last: {error}",
                ) from error
            self.logger.warning(
                "passed over, since it cannot be read (number %d of %d recordings): %s", found, self.count, error
            )
