"""The compiled library: found beside this file, its variants told apart, one of them chosen."""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from xcodec.errors import InputError

__all__ = ["TORCH", "call", "is_stale", "is_torch_asked_for", "serves", "use", "variant", "variants"]

logger = logging.getLogger(__name__)

TORCH = "torch"
"""The name under which torch's operators stand beside the kernel's variants."""

ENVIRONMENT = "XCODEC_KERNEL"
PATH = Path(__file__).with_name("libxcodec.so")
NATIVE = ("baseline", "avx2", "avx512", "avx512bf16")  # slowest first; a variant's place is its number in the library
INTERFACE = 3  # which arguments the library's functions take; library.cpp has the same number
DTYPES = (torch.float32, torch.bfloat16)
OUT_OF_MEMORY = 1


def _load() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(PATH))
    except OSError:  # no compiler where the package was built, or built for another processor
        return None


def _interface(library: ctypes.CDLL) -> int:
    try:
        return int(library.xcodec_interface())
    except AttributeError:  # compiled before there was that function
        return 0


def _threads_of_torch() -> ctypes.c_void_p:
    """The function by which torch (2.10 on) lends its threads, found through what links to it; else a null pointer."""
    try:
        return ctypes.cast(ctypes.CDLL(torch._C.__file__).torch_parallel_for, ctypes.c_void_p)
    except (AttributeError, OSError):
        return ctypes.c_void_p()


_library = _load()
_parallel_for = _threads_of_torch()
_stale = _library is not None and _interface(_library) != INTERFACE
if _stale:
    logger.warning(f"{PATH} has another interface than this xcodec's kernel and is not used; install xcodec again")
    _library = None
_runnable = _library.xcodec_variants() if _library else 0
_variants = (TORCH, *(name for number, name in enumerate(NATIVE) if _runnable >> number & 1))


def variants() -> tuple[str, ...]:
    """What can run here, slowest first: "torch", and what was compiled of baseline, avx2, avx512 and avx512bf16."""
    return _variants


def is_stale() -> bool:
    """Whether a library was found whose interface is of another version; torch serves then."""
    return _stale


def _checked(name: str, source: str) -> str:
    if name not in _variants:
        raise InputError(
            f"{source}: expected one of {', '.join(_variants)}, which is what was compiled and what this processor "
            f"runs; got {name!r}"
        )
    return name


_asked: str | None = os.environ.get(ENVIRONMENT) or None
if _asked:
    _checked(_asked, f"environment variable {ENVIRONMENT}")


def variant() -> str:
    """What serves float32 and bfloat16 on the CPU: the fastest of `variants()`, unless another was asked for."""
    return _asked or _variants[-1]


def is_torch_asked_for() -> bool:
    """Whether torch's operators are to serve on every device, rather than because nothing was compiled for the CPU."""
    return _asked == TORCH


@contextmanager
def use(name: str) -> Iterator[None]:
    """Let one of `variants()` serve the whole process inside a `with` block.

    Raises:
        InputError: where it is not one of them.
    """
    global _asked
    before, _asked = _asked, _checked(name, "kernels.use")
    try:
        yield
    finally:
        _asked = before


def serves(x: Tensor) -> bool:
    """Whether the native kernel takes `x`: on the CPU, float32 or bfloat16, and compiled."""
    return variant() != TORCH and x.device.type == "cpu" and x.dtype in DTYPES


def call(function: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_float] | None) -> None:
    """Call a function of the library, with the chosen variant before the arguments and torch's threads after them.

    Tensors are passed as pointers, None as a null pointer, integers as int64. The caller has made all contiguous.

    Raises:
        InputError: where torch was chosen, or nothing was compiled.
        MemoryError: where the library finds no memory for its scratch.
    """
    if _library is None or variant() == TORCH:
        raise InputError(f"xcodec's native kernel was called, but {TORCH} was chosen or nothing else was compiled")
    converted = [
        ctypes.c_void_p(a.data_ptr()) if isinstance(a, Tensor) else ctypes.c_int64(a) if isinstance(a, int) else a
        for a in arguments
    ]
    status = getattr(_library, function)(NATIVE.index(variant()), *converted, torch.get_num_threads(), _parallel_for)
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"{function}: no memory for the scratch buffers of {torch.get_num_threads()} threads")
    assert status == 0, f"{function} returned {status}"
