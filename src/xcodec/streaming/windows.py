"""Windows of streams: how many frames they may have."""

from xcodec.errors import InputError

__all__ = ["check_windows"]


def check_windows(context: object, lookahead: object, chunk: object, least_lookahead: int) -> None:
    """Refuse numbers of frames that make no windows."""
    for name, value, least in (("context", context, 0), ("lookahead", lookahead, least_lookahead), ("chunk", chunk, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"expected a whole number of frames, at least {least}", argument=name, value=value)
