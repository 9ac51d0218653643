"""The level of speech: what brings a reconstruction to that of its recording."""

import numpy as np

from xcodec.audio import Audio
from xcodec.evaluation.clips import Pair

__all__ = ["gain", "matched"]

SAMPLING_RATE = 16_000
FRAME = 320  # samples, 20 ms
BELOW = 40.0  # dB under the loudest frame of the recording, within which a frame is active


def gain(reference: np.ndarray, reconstruction: np.ndarray) -> float:
    """Compute the factor that brings a reconstruction to the active level of its recording.

    The level is the root mean square over the frames in which the recording speaks, so that what a codec makes of
    pauses does not count. Where either is silent there, the factor is 1.

    Args:
        reference: the recording, (samples,) at 16 kHz.
        reconstruction: as long.
    """
    count = len(reference) // FRAME
    energies = [
        np.square(each[: count * FRAME].astype(np.float64)).reshape(count, FRAME).sum(axis=1)
        for each in (reference, reconstruction)
    ]
    active = energies[0] > 10 ** (-BELOW / 10) * energies[0].max(initial=0.0)
    spoken, given = (float(each[active].sum()) for each in energies)
    return (spoken / given) ** 0.5 if spoken and given else 1.0


def matched(pair: Pair, reconstruction: Audio) -> Audio:
    """Bring what came back of a recording to the recording's active level.

    Args:
        pair: the recording, and what came back of it.
        reconstruction: the latter, as it came.
    """
    return Audio(reconstruction.samples * np.float32(gain(*pair.at(SAMPLING_RATE))), reconstruction.sampling_rate)
