"""Native code for what torch's own operators do slowly; where it was not compiled, torch serves.

`variant()` says which runs, `variants()` what could, and `use()` chooses; so does the environment variable
XCODEC_KERNEL before the package is imported.
"""

from xcodec.kernels.anti_aliased_snake import anti_aliased_snake
from xcodec.kernels.library import TORCH, serves, use, variant, variants

__all__ = ["TORCH", "anti_aliased_snake", "serves", "use", "variant", "variants"]
