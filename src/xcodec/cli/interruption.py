"""Signals: Ctrl-C that is not lost, whatever it comes upon, and the request to end at the next good place."""

import os
import signal
import threading
from types import FrameType

__all__ = ["Interruption", "StopRequest"]


class Interruption:
    """Remembers Ctrl-C while it is entered.

    Python raises KeyboardInterrupt wherever it happens to be. In a finalizer, or in a callback from native code, it is
    printed and forgotten, and some libraries catch everything. So it is raised at once, as always, and again by `check`
    and on leaving, whatever became of it and whatever else happened.

    Where Ctrl-C is ignored, as in what a script starts in the background, it stays so.
    """

    def __init__(self) -> None:
        self._came = False

    def __enter__(self) -> "Interruption":
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._remember:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.check()

    def check(self) -> None:
        """Stop here if Ctrl-C came, which loops ask between two pieces of work.

        Raises:
            KeyboardInterrupt: if it did.
        """
        if self._came:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        signal.default_int_handler(number, frame)


class StopRequest:
    """Takes Ctrl-C and SIGTERM, while it is entered, as the request to end at the next good place.

    Nothing is raised, so that none is lost in a callback from native code, and no step is broken off. A second one of
    the same kind does what it always does. Where Ctrl-C is ignored, as in what a script starts in the background, it
    stays so.

    Args:
        note: what to write to standard error when it comes.

    Attributes:
        came: set when it has.
        number: of the signal; None while none has come.
    """

    def __init__(self, note: str) -> None:
        self.came = threading.Event()
        self.number: int | None = None
        self._note = note
        self._previous: dict[int, signal.Handlers | object] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN:
                self._previous[number] = handler
                signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._previous):
            self._restore(number)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.number = number
        self.came.set()
        self._restore(number)
        os.write(2, f"{self._note}\n".encode())  # print may be what was interrupted, and does not bear a second call

    def _restore(self, number: int) -> None:
        if (handler := self._previous.pop(number, None)) is not None:
            signal.signal(number, handler)  # type: ignore[arg-type]
