"""Bandwidths: which of those that a codec offers is meant."""

import math
from collections.abc import Sequence

from xcodec.errors import InputError

__all__ = ["choose_bandwidth", "find_bandwidth"]


def find_bandwidth(bandwidth: float | None, offered: Sequence[float]) -> float | None:
    """Return the bandwidth that is meant as it is offered, or None where it is not.

    Args:
        bandwidth: in kbit/s; None means the highest.
        offered: in kbit/s, ascending.
    """
    if bandwidth is None:
        return offered[-1]
    is_number = isinstance(bandwidth, (int, float))
    near = [each for each in offered if is_number and math.isclose(each, bandwidth)]
    return near[0] if near else None  # of a list, since torch 2.6 compiles no `next` with a default


def choose_bandwidth(bandwidth: float | None, offered: Sequence[float], name: str) -> float:
    """Return the bandwidth that is meant as a codec offers it.

    Args:
        bandwidth: in kbit/s; None means the highest.
        offered: in kbit/s, ascending.
        name: of the codec.

    Raises:
        InputError: where it is not offered; it says which are.
    """
    chosen = find_bandwidth(bandwidth, offered)
    if chosen is None:
        offers = ", ".join(f"{each:g}" for each in offered)
        raise InputError(f"{name} has {offers} kbit/s", argument="bandwidth", value=bandwidth)
    return chosen
