"""The kernels as tests call them: in this process, under an emulator, or with a sanitizer watching.

The environment variable XCODEC_TEST_SANITIZER (address,undefined or thread) has this processor's variants called in a
process of their own, compiled with that.
"""

import atexit
import copy
import ctypes
import fcntl
import functools
import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from xcodec import kernels
from xcodec.kernels import library as module
from xcodec.kernels.library import NATIVE, TORCH, Library

ROOT = Path(__file__).parent.parent
KERNELS = ROOT / "src" / "xcodec" / "kernels"
OBJECTS = ROOT / "build" / "objects"  # for all builds: setup.py tells what came from the same sources and flags
DRIVER = ROOT / "tests" / "kernels" / "driver.cpp"
SANITIZER = os.environ.get("XCODEC_TEST_SANITIZER", "")
EMULATOR = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
CROSS = shutil.which("aarch64-linux-gnu-g++")


@dataclass
class Build:
    """A library that is compiled for tests, and what runs it.

    Attributes:
        platform: as setup.py knows it; empty is this one.
        compiler: of C++.
        flags: for compiler and linker, beside setup.py's own.
        emulator: the words before a program's name.
    """

    platform: str = ""
    compiler: str = "c++"
    flags: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()

    @functools.cached_property
    def command(self) -> list[str]:
        """Compile the library and its driver, unless that was done; the words that start it."""
        sources = [ROOT / "setup.py", DRIVER, *sorted(KERNELS.glob("*.cpp")), *sorted(KERNELS.glob("*.h"))]
        digest = hashlib.sha256(
            repr((self.platform, self.compiler, self.flags)).encode() + b"".join(path.read_bytes() for path in sources)
        ).hexdigest()
        folder = ROOT / "build" / "tested" / digest[:16]
        folder.mkdir(parents=True, exist_ok=True)
        driver, library = folder / "driver", folder / "xcodec" / "kernels" / "libxcodec.so"
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not driver.exists():
                self._compile(folder, library, driver)
        return [*self.emulator, str(driver), str(library)]

    def _compile(self, folder: Path, library: Path, driver: Path) -> None:
        flags = " ".join(self.flags)
        variables = {"CC": self.compiler, "CXX": self.compiler, "CFLAGS": flags, "CXXFLAGS": flags, "LDFLAGS": flags}
        if self.platform:
            variables["_PYTHON_HOST_PLATFORM"] = self.platform
        words = [sys.executable, "setup.py", "build_ext", "--build-lib", folder, "--build-temp", OBJECTS]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **variables})
        assert done.returncode == 0, done.stderr
        assert library.exists(), done.stderr
        subprocess.run([self.compiler, "-O1", "-g", *self.flags, DRIVER, "-o", driver, "-ldl"], check=True)

    @functools.cached_property
    def process(self) -> subprocess.Popen[bytes]:
        """The driver, which serves as long as this process does."""
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        atexit.register(process.communicate)
        return process

    def call(self, line: str, given: bytes = b"", returned: int = 0) -> bytes:
        """Have the driver do one call; what the function returned, and so many bytes beside it."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(line.encode() + b"\n" + given)
            self.process.stdin.flush()
            answer = self.process.stdout.read(8 + returned)
        except BrokenPipeError:
            answer = b""
        if len(answer) < 8 + returned:
            errors = self.process.communicate()[1].decode()
            del self.process  # the next call gets another
            pytest.fail(f"{' '.join(self.command)} ended at {line!r}\n{errors[:8000]}")
        return answer

    @functools.cached_property
    def variants(self) -> tuple[str, ...]:
        """What was compiled and what the processor that runs it has."""
        (runnable,) = struct.unpack("q", self.call("xcodec_variants"))
        return tuple(name for number, name in enumerate(NATIVE) if runnable >> number & 1)


class DrivenLibrary(Library):
    """A library in a process of its own: what it is called with goes there, and what it wrote comes back."""

    def __init__(self, build: Build, variant: str) -> None:
        super().__init__(Path("not here"), None)
        assert variant in build.variants, f"{variant} is none of {build.variants}"
        self.build, self.variants = build, (TORCH, variant)

    def call(self, function: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_float] | None) -> None:
        words, given, places = [function, str(NATIVE.index(self.variant))], [], []
        for each in arguments:
            if isinstance(each, int | None):
                words.append(str(each or 0))
                continue
            is_tensor = isinstance(each, Tensor)
            place = each.data_ptr() if is_tensor else ctypes.addressof(each)
            given.append(ctypes.string_at(place, each.nbytes if is_tensor else ctypes.sizeof(each)))
            words.append(f"*{len(given[-1])}")
            places.append(place)
        words += [str(torch.get_num_threads()), "0"]
        sent = b"".join(given)
        answer = self.build.call(" ".join(words), sent, len(sent))
        assert struct.unpack_from("q", answer) == (0,)
        offset = 8
        for place, before in zip(places, given, strict=True):
            after = answer[offset : offset + len(before)]
            if after != before:
                ctypes.memmove(place, after, len(after))
            offset += len(before)


EMULATED = (str(EMULATOR), "-L", "/usr/aarch64-linux-gnu")
ARM = Build("linux-aarch64", "aarch64-linux-gnu-g++", emulator=(*EMULATED, "-cpu", "max"))
SANITIZED = Build(flags=(f"-fsanitize={SANITIZER}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"))

NATIVE_HERE = kernels.variants()[1:]
"""The variants that this processor runs, by their names for `kernels.use`."""

native = pytest.mark.parametrize("variant", NATIVE_HERE)
"""A test of each of them; it uses `serving`."""

needs_emulator = pytest.mark.skipif(
    not (EMULATOR and CROSS), reason="needs apt-get install g++-aarch64-linux-gnu qemu-user"
)
ELSEWHERE = [] if "neon" in NATIVE_HERE or SANITIZER else ["neon", "neonbf16"]

every_variant = pytest.mark.parametrize(
    "variant", [*NATIVE_HERE, *(pytest.param(name, marks=needs_emulator) for name in ELSEWHERE)]
)
"""The same, and of those for aarch64 under an emulator."""


@contextmanager
def serving(variant: str) -> Iterator[None]:
    """Let a variant serve the whole process inside a `with` block, wherever it runs."""
    if variant in kernels.variants() and not (SANITIZER and variant != TORCH):
        with kernels.use(variant):
            yield
        return
    before, module.library = module.library, DrivenLibrary(SANITIZED if SANITIZER else ARM, variant)
    try:
        yield
    finally:
        module.library = before


def in_float64(module: torch.nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The definition, in torch's own operators."""
    with kernels.use("torch"):
        return copy.deepcopy(module).double()(x.double(), lengths)


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((found.double() - expected).abs().max() / expected.abs().max())
