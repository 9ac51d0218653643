"""Native code for what torch's own operators do slowly; where it was not compiled, torch serves.

`variant()` says which runs, `variants()` what could, and `use()` chooses; so does the environment variable
XCODEC_KERNEL, if it is set before the package is imported.
"""

from xcodec.kernels.attention_operator import attention
from xcodec.kernels.integer_operator import DEEPEST, INT8_BLOCK, PANEL, int8_conv, int16_conv
from xcodec.kernels.library import TORCH, is_stale, serves, use, variant, variants
from xcodec.kernels.snake_operator import anti_aliased_snake, anti_aliased_snake_planar, serves_planar, snake
from xcodec.kernels.toom_operator import TOOM_TAPS, toom_conv, toom_weight

__all__ = [
    "DEEPEST",
    "INT8_BLOCK",
    "PANEL",
    "TOOM_TAPS",
    "TORCH",
    "anti_aliased_snake",
    "anti_aliased_snake_planar",
    "attention",
    "int8_conv",
    "int16_conv",
    "is_stale",
    "serves",
    "serves_planar",
    "snake",
    "toom_conv",
    "toom_weight",
    "use",
    "variant",
    "variants",
]
