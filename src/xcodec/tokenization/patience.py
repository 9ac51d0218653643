"""Patience with what is far away: what a busy store or a lost connection refuses is asked for again, for minutes."""

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from xcodec.errors import XcodecError, first_line

__all__ = ["StoreError", "patiently"]

WAITS: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds before each further attempt, about five minutes in all; what the protocol's library tries comes on top."""

_FINAL = (PermissionError, IsADirectoryError, NotImplementedError, EOFError, ValueError, TypeError)

Result = TypeVar("Result")


class StoreError(XcodecError, OSError):
    """A store refuses, or does not answer."""


def patiently(place: str, call: Callable[[], Result], waits: Sequence[float] | None = None) -> Result:
    """Call, and call again where that fails for a reason that may pass.

    Args:
        place: what it is about, for messages.
        call: may be called several times.
        waits: seconds before each further attempt, of which up to a quarter is left to chance; None is `WAITS`.

    Raises:
        FileNotFoundError: where there is no such thing.
        StoreError: where it is not allowed or not possible, or fails every time.
    """
    remaining = list(WAITS if waits is None else waits)
    while True:
        try:
            return call()
        except (FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # of whatever library serves the protocol
            if isinstance(error, _FINAL) or not remaining:
                said = first_line(error) or type(error).__name__
                raise StoreError(f"the store refuses: {said}", subject=place) from error
        time.sleep(remaining.pop(0) * random.uniform(0.75, 1.0))
