"""Where a long recording may be cut: at its pauses, between two frames of codes."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

__all__ = ["cut", "segment_starts"]

CONTEXT = 2  # frames on either side of a cut whose energy counts: 40 ms each at 50 Hz


def segment_starts(samples: np.ndarray, hop_length: int, max_frames: int | None) -> tuple[int, ...]:
    """Choose the frames at which segments start: where the recording is quietest, near the longest they may be.

    A cut falls within the last third of what is allowed. No segment is shorter than about a third of it, except where
    the whole recording is.

    Args:
        samples: one channel, floating point, shape (samples,).
        hop_length: samples per frame.
        max_frames: frames that a segment may have, at least 3; None makes one segment of all.

    Returns:
        Ascending frame numbers, the first of them 0.
    """
    num_frames = -(-len(samples) // hop_length)
    if max_frames is None or num_frames <= max_frames:
        return (0,)
    whole = samples[: len(samples) // hop_length * hop_length].reshape(-1, hop_length)
    energy = np.zeros(num_frames)
    energy[: len(whole)] = np.einsum("ij,ij->i", whole, whole, dtype=np.float64)
    # energy_around[i] is that of the frames i - CONTEXT to i + CONTEXT - 1, between which a cut at i lies.
    energy_around = np.convolve(energy, np.ones(2 * CONTEXT))[CONTEXT - 1 : CONTEXT - 1 + num_frames]
    starts = [0]
    third = max_frames // 3
    while num_frames - starts[-1] > max_frames:
        latest = min(starts[-1] + max_frames, num_frames - third)
        window = energy_around[latest - third : latest + 1]
        quietest = np.flatnonzero(window == window.min())[-1]  # of equals the last: longer segments
        starts.append(int(latest - third + quietest))
    return tuple(starts)


def cut(
    samples: np.ndarray, hop_length: int, starts: tuple[int, ...], samples_of: Callable[[int], int]
) -> Iterator[np.ndarray]:
    """Cut samples where segments start, so that every frame keeps its time.

    Args:
        samples: one channel, shape (samples,).
        hop_length: samples per frame.
        starts: frames at which segments start.
        samples_of: tells of how many samples a codec makes so many frames, as `CodecModel.samples_of`.
    """
    for start, end in pairwise(starts):
        yield samples[start * hop_length : start * hop_length + samples_of(end - start)]
    yield samples[starts[-1] * hop_length :]
