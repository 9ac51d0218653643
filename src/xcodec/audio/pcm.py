"""Samples of any type as float32 with full scale at 1.0, and back to PCM that goes on until it ends."""

import struct

import numpy as np

from xcodec.errors import AudioError

__all__ = ["float32_to_pcm16", "live_wav_header", "pcm_to_float32"]

UNKNOWN = 0xFFFFFFFF  # what a WAV header says of a length that is not known yet; sox and ffmpeg read on to the end


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


def float32_to_pcm16(samples: np.ndarray) -> bytes:
    """Return samples as 16-bit little-endian PCM; what lies beyond full scale is clipped."""
    return (samples.clip(-1.0, 1.0) * 32767).round().astype("<i2").tobytes()


def live_wav_header(sampling_rate: int) -> bytes:
    """Return the header of 16-bit mono PCM that goes on until it ends."""
    form = struct.pack("<HHIIHH", 1, 1, sampling_rate, 2 * sampling_rate, 2, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", UNKNOWN, b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", UNKNOWN)
    )
