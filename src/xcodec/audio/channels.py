"""Which channels of a recording are wanted."""

from collections.abc import Callable

import numpy as np

from xcodec.errors import AudioError, InputError

__all__ = ["Channel", "channel_selection"]

Channel = int | str | None
"""None for all channels, "mean" for their average, "left", "right" or a number from 0 for one of them."""

_NAMES = {"left": 0, "right": 1}


def channel_selection(channel: Channel, num_channels: int, name: str) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """Return how many channels are wanted, and the function that makes them of (samples, channels).

    Raises:
        InputError: where `channel` is none of the words that are known, nor a number from 0.
        AudioError: where the recording has no such channel.
    """
    if channel is None or (channel == "mean" and num_channels == 1):
        return num_channels, lambda block: block
    if channel == "mean":
        return 1, _mean
    index = _NAMES.get(channel, -1) if isinstance(channel, str) else channel
    if not isinstance(index, (int, np.integer)) or isinstance(index, bool) or index < 0:
        raise InputError(
            'expected "mean", "left", "right", a number from 0, or None for all', argument="channel", value=channel
        )
    if index >= num_channels:
        raise AudioError(f"has no channel {channel}, only {num_channels}; the first is 0, or left", subject=name)
    return 1, lambda block: block[:, index : index + 1]


def _mean(block: np.ndarray) -> np.ndarray:
    # Laid out as whole recordings are, so that numpy adds in the same order.
    mean = np.ascontiguousarray(block.T).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)[:, None]
