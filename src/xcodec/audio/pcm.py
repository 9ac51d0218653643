"""Samples of any type as float32 with full scale at 1.0."""

import numpy as np

from xcodec.errors import AudioError

__all__ = ["pcm_to_float32"]


def pcm_to_float32(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 with full scale at 1.0, the one way in which the package reads PCM.

    Args:
        samples: any shape and byte order. int8, int16 and int32 are divided by 128, 32768 and 2147483648; uint8 has its
            silence at 128, as in 8-bit WAV, and becomes (samples - 128) / 128. Floating point keeps its values; what
            float32 cannot hold becomes infinite.

    Returns:
        float32 of the same shape, in native byte order; always a new array, which shares no memory with `samples`.

    Raises:
        AudioError: for any other type, such as int64 or uint16, whose full scale is not known.
    """
    dtype = samples.dtype.newbyteorder("=")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if dtype in (np.int8, np.int16, np.int32):
        return (samples / -float(np.iinfo(dtype).min)).astype(np.float32)
    raise AudioError(
        f"samples of type {samples.dtype}: expected floating point with full scale at 1.0, or PCM as int16, int32, "
        "int8 or uint8"
    )
