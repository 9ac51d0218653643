"""When a run ends before it is done."""

import math
import threading
import time

__all__ = ["Limit"]


class Limit:
    """The end of a run: when somebody asks for it, or when its time is up.

    Args:
        minutes: how long from now; None is for ever.
        asked: whoever sets it asks for the end. A handler of signals may, in the main thread.
    """

    def __init__(self, minutes: float | None = None, asked: threading.Event | None = None) -> None:
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self._asked = threading.Event() if asked is None else asked

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._asked.is_set()

    def is_reached(self) -> bool:
        """Tell whether the run is to end; work of more than a moment looks here as it goes."""
        return self.is_asked_for or time.monotonic() >= self._end
