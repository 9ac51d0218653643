"""Ctrl-C that is not lost, whatever it comes upon."""

import signal
from types import FrameType

__all__ = ["Interruption"]


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
