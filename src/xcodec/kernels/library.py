"""The compiled library: found beside this file, its variants told apart, one of them chosen."""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.signatures import INTERFACE, SIGNATURES

__all__ = [
    "DTYPES",
    "TORCH",
    "Library",
    "call",
    "is_stale",
    "is_torch_asked_for",
    "serves",
    "use",
    "variant",
    "variants",
]

logger = logging.getLogger(__name__)

TORCH = "torch"
"""The name under which torch's operators stand beside the kernel's variants."""

ENVIRONMENT = "XCODEC_KERNEL"
PATH = Path(__file__).with_name("libxcodec.so")
# Those of a processor slowest first; a variant's place is its number in the library.
NATIVE = ("baseline", "avx2", "avx512", "avx512bf16", "neon", "neonbf16")
DTYPES = (torch.float32, torch.bfloat16)
OUT_OF_MEMORY = 1


class Library:
    """The library as it was found, and which of its variants serves.

    Args:
        path: of the shared library; where there is none, or one for another processor, torch's operators serve.
        asked: the variant to use, as the environment asks for it; None is the fastest. Whether there is such a one is
            checked when it is first asked for, so that importing the package raises nothing.

    Attributes:
        variants: what can run here, slowest first: "torch", and what was compiled and this processor runs.
        is_stale: whether a library was found that takes other arguments than `signatures` says; it is not called.
        parallel_for: torch's function that lends its threads (torch 2.10 and later), or a null pointer.
    """

    def __init__(self, path: Path, asked: str | None) -> None:
        self._functions = _opened(path)
        self.is_stale = self._functions is not None and _interface(self._functions) != INTERFACE
        if self.is_stale:
            logger.warning(
                f"{path} has another interface than this xcodec's kernel and is not used; install xcodec again"
            )
            self._functions = None
        runnable = 0 if self._functions is None else self._functions.xcodec_variants()
        self.variants = (TORCH, *(name for number, name in enumerate(NATIVE) if runnable >> number & 1))
        if self._functions is not None:
            for function, arguments in SIGNATURES.items():
                getattr(self._functions, function).argtypes = list(arguments.values())
        self.parallel_for = _threads_of_torch()
        self._asked, self._is_checked = asked, asked is None

    @property
    def asked(self) -> str | None:
        """The variant that was asked for, by `use` or the environment; None where none was.

        Raises:
            InputError: where the environment asks for one that does not run here.
        """
        if not self._is_checked:
            self.check(self._asked, f"environment variable {ENVIRONMENT}")
            self._is_checked = True
        return self._asked

    @property
    def variant(self) -> str:
        """The variant that serves."""
        return self.asked or self.variants[-1]

    def check(self, name: str | None, source: str) -> None:
        """Raise an InputError that speaks of `source` where `name` is no variant that runs here."""
        if name not in self.variants:
            raise InputError(
                f"expected one of {', '.join(self.variants)}, which is what was compiled and what this "
                f"processor runs; got {name!r}",
                subject=source,
            )

    @contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Let a variant serve the whole process inside a `with` block."""
        self.check(name, "kernels.use")
        before = self._asked, self._is_checked
        self._asked, self._is_checked = name, True
        try:
            yield
        finally:
            self._asked, self._is_checked = before

    def call(self, function: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_float] | None) -> None:
        """Call a function with the chosen variant before the arguments and torch's threads after them."""
        if self._functions is None or self.variant == TORCH:
            raise InputError(f"xcodec's native kernel was called, but {TORCH} was chosen or nothing else was compiled")
        pointers = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]
        threads = torch.get_num_threads()
        number = NATIVE.index(self.variant)
        status = getattr(self._functions, function)(number, *pointers, threads, self.parallel_for)
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"{function}: no memory for the scratch buffers of {threads} threads")
        assert status == 0, f"{function} returned {status}"


def _opened(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # no compiler where the package was built, or built for another processor
        return None


def _interface(functions: ctypes.CDLL) -> int:
    try:
        return int(functions.xcodec_interface())
    except AttributeError:  # compiled before there was that function
        return 0


def _threads_of_torch() -> ctypes.c_void_p:
    """Find the function by which torch lends its threads, through what links to it; else give a null pointer."""
    try:
        return ctypes.cast(ctypes.CDLL(torch._C.__file__).torch_parallel_for, ctypes.c_void_p)
    except (AttributeError, OSError):
        return ctypes.c_void_p()


library = Library(PATH, os.environ.get(ENVIRONMENT) or None)
"""The one that serves. It is opened here rather than at the first call since a graph that is being compiled cannot."""


def variants() -> tuple[str, ...]:
    """Tell what can run here, slowest first: "torch", and what was compiled of `NATIVE`."""
    return library.variants


def is_stale() -> bool:
    """Tell whether a library was found whose interface is of another version; torch serves then."""
    return library.is_stale


def variant() -> str:
    """Tell what serves float32 and bfloat16 on the CPU: the fastest of `variants()`, unless another was asked for.

    Raises:
        InputError: where the environment variable XCODEC_KERNEL asks for one that does not run here.
    """
    return library.variant


def is_torch_asked_for() -> bool:
    """Tell whether torch's operators are to serve on every device, rather than for want of a compiled kernel."""
    return library.asked == TORCH


def use(name: str) -> AbstractContextManager[None]:
    """Let one of `variants()` serve the whole process inside a `with` block.

    Raises:
        InputError: where it is not one of them.
    """
    return library.use(name)


def serves(x: Tensor) -> bool:
    """Tell whether the native kernel takes `x`: on the CPU, float32 or bfloat16, and compiled."""
    return library.variant != TORCH and x.device.type == "cpu" and x.dtype in DTYPES


def call(function: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_float] | None) -> None:
    """Call a function of the library, with the chosen variant before the arguments and torch's threads after them.

    Tensors are passed as pointers, None as a null pointer. The caller has made all contiguous.

    Raises:
        InputError: where torch was chosen, or nothing was compiled.
        MemoryError: where the library finds no memory for its scratch.
    """
    library.call(function, *arguments)
