"""The functions of the compiled library and the arguments that each takes, for ctypes and for the build.

This file imports nothing but the standard library: setup.py runs it to tell the library which interface it has.
"""

import zlib
from ctypes import c_int, c_int64, c_void_p

__all__ = ["INTERFACE", "SIGNATURES"]

GEOMETRY: dict[str, type] = dict.fromkeys(
    ("batch", "time", "channels", "steps", "outputs", "taps", "stride", "dilation", "padding"), c_int64
)
"""Of a convolution."""
SIGNATURES: dict[str, dict[str, type]] = {
    "xcodec_snake_forward": {
        "variant": c_int,
        "bfloat16": c_int64,
        "x": c_void_p,
        "y": c_void_p,
        "alpha": c_void_p,
        "gain": c_void_p,
        "taps": c_void_p,
        "lengths": c_void_p,
        "batch": c_int64,
        "time": c_int64,
        "channels": c_int64,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
    "xcodec_snake_backward": {
        "variant": c_int,
        "bfloat16": c_int64,
        "x": c_void_p,
        "grad": c_void_p,
        "dx": c_void_p,
        "d_alpha": c_void_p,
        "d_gain": c_void_p,
        "alpha": c_void_p,
        "gain": c_void_p,
        "taps": c_void_p,
        "lengths": c_void_p,
        "batch": c_int64,
        "time": c_int64,
        "channels": c_int64,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
    "xcodec_attention": {
        "variant": c_int,
        "bfloat16": c_int64,
        "q": c_void_p,
        "k": c_void_p,
        "v": c_void_p,
        "out": c_void_p,
        "table": c_void_p,
        "gates": c_void_p,
        "lengths": c_void_p,
        "batch": c_int64,
        "queries": c_int64,
        "keys": c_int64,
        "heads": c_int64,
        "key_heads": c_int64,
        "head_dim": c_int64,
        "start": c_int64,
        "left": c_int64,
        "distances": c_int64,
        "table_clip": c_int64,
        "table_query": c_int64,
        "table_head": c_int64,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
    "xcodec_int8_conv": {
        "variant": c_int,
        "bfloat16": c_int64,
        "x": c_void_p,
        "weight": c_void_p,
        "sums": c_void_p,
        "scale": c_void_p,
        "bias": c_void_p,
        "out": c_void_p,
        **GEOMETRY,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
    "xcodec_int16_conv": {
        "variant": c_int,
        "bfloat16": c_int64,
        "x": c_void_p,
        "weight": c_void_p,
        "scale": c_void_p,
        "bias": c_void_p,
        "out": c_void_p,
        **GEOMETRY,
        "most": c_int64,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
    "xcodec_toom_conv": {
        "variant": c_int,
        "x": c_void_p,
        "weight": c_void_p,
        "bias": c_void_p,
        "out": c_void_p,
        "batch": c_int64,
        "time": c_int64,
        "channels": c_int64,
        "steps": c_int64,
        "outputs": c_int64,
        "dilation": c_int64,
        "padding": c_int64,
        "threads": c_int,
        "parallel_for": c_void_p,
    },
}
"""Of each exported function its arguments' names and types, in order, as its declaration in C++ has them."""

_TYPES = [(function, [(name, kind.__name__) for name, kind in each.items()]) for function, each in SIGNATURES.items()]

INTERFACE = zlib.crc32(repr(_TYPES).encode()) & 0x7FFFFFFF
"""A number that changes with the signatures; the library returns that of its build."""
