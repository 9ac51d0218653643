"""glibc's allocator, told to keep the pages it was given.

By default it gives every big block back to the system when it is freed, and each layer of a model begins with pages
that the system has to clear: at the released sizes that takes up to half of the time.
"""

import ctypes
import os
import sys

__all__ = ["keep_pages"]

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of malloc.h
LARGEST = 2**31 - 1
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_pages() -> None:
    """Have this process keep up to 2 GiB of freed memory for its next blocks, however big.

    It is for programs: a library leaves the allocator to whoever uses it. Where the environment says how memory is to
    be kept, or the C library is another, nothing changes.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SETTINGS):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, LARGEST)
