"""Compiles the native kernels where there is a C++ compiler; without one the package installs and runs all the same.

Everything else about the build is in pyproject.toml. The environment variable XCODEC_BUILD_OBJECTS names a folder where
objects are kept and found again, by whatever builds the same sources with the same flags; it must be emptied when the
compiler itself is replaced.
"""

import hashlib
import os
import runpy
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

FLAGS = [
    "-O3",
    "-g0",
    "-std=c++17",
    "-fvisibility=hidden",
    "-ffp-contract=fast",  # a * b + c may round once
    "-fno-math-errno",
    "-fno-trapping-math",
    "-pthread",
]
# Instruction sets beyond the processor family's baseline; the library chooses among them when it runs.
AVX512 = [
    *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
    "-mprefer-vector-width=512",
    "-Wno-maybe-uninitialized",  # of what GCC 12's own header leaves undefined on purpose
]
BF16 = [*AVX512, "-mavx512bf16", "-mavx512vnni"]
X86 = {"baseline": [], "avx2": ["-mavx2", "-mfma"], "avx512": AVX512, "avx512bf16": BF16}
ARM = {"neon": []}
ARM_LINUX = {"neon": [], "neonbf16": ["-march=armv8.2-a+bf16"]}
# By the platform that is built for, which _PYTHON_HOST_PLATFORM names where it is not this one; the first must compile.
VARIANTS = {
    "linux-x86_64": X86,
    "macosx-x86_64": X86,
    "win-amd64": X86,
    "linux-aarch64": ARM_LINUX,
    "macosx-arm64": ARM,
}


class BuildKernels(build_ext):
    """Build a plain shared library, `lib<name>.so` beside the package's own files, once for each instruction set."""

    def get_ext_filename(self, fullname: str) -> str:
        """Name the file for ctypes, which needs no Python version in it."""
        *packages, name = fullname.split(".")
        return str(Path(*packages, f"lib{name}.so"))

    def get_export_symbols(self, ext: Extension) -> list[str]:  # noqa: ARG002
        """Name no symbols: the source marks its own."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Compile the sources for each variant that the compiler knows, and the interface to them."""
        Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # of an earlier build, where this one fails
        system, *_, machine = sysconfig.get_platform().split("-")
        variants: dict[str, list[str]] = VARIANTS.get(f"{system}-{machine}", {"baseline": []})
        sources = {path: Path(path).read_bytes() for path in (*ext.depends, *ext.sources)}
        shared = b"".join(sources[path] for path in ext.depends)
        objects: list[str] = []
        interface: list[tuple[str, str | None]] = [("XCODEC_INTERFACE", str(INTERFACE))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:

            def compiled(macros: list[tuple[str, str | None]], flags: list[str]) -> Iterator[str]:
                return pool.map(lambda path: self._object(path, shared + sources[path], macros, flags), ext.sources)

            parts = {name: compiled([("XCODEC_VARIANT", name)], flags) for name, flags in variants.items()}
            for variant, part in parts.items():
                try:
                    objects += list(part)
                except CompileError as error:
                    if not objects:
                        raise
                    self.warn(f"the kernels are built without their {variant} variant: {error}")
                else:
                    interface.append((f"XCODEC_{variant.upper()}", None))
            objects += compiled(interface, [])
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-pthread"], target_lang="c++"
        )

    def _object(self, source: str, text: bytes, macros: list[tuple[str, str | None]], flags: list[str]) -> str:
        """Compile one source, unless that was done; `text` is all that its object comes from, beside the words."""
        compilers = [getattr(self.compiler, name, None) for name in ("compiler_so", "compiler_so_cxx")]
        digest = hashlib.sha256(repr((compilers, FLAGS, flags, macros, source)).encode() + text).hexdigest()
        folder = Path(os.environ.get("XCODEC_BUILD_OBJECTS") or self.build_temp)
        kept = folder.absolute() / f"{Path(source).stem}-{digest[:16]}{self.compiler.obj_extension}"
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder) as temporary:
                words = [*FLAGS, *flags]
                (made,) = self.compiler.compile([source], output_dir=temporary, macros=macros, extra_postargs=words)
                Path(made).replace(kept)
        return str(kept)


class AnyPythonWheel(bdist_wheel):
    """A wheel for every Python 3, since the library knows nothing of Python; for every platform, if none was built."""

    def run(self) -> None:
        """Build the library first: what the wheel is for depends on whether there is one."""
        self.run_command("build_ext")
        if not any(Path(file).exists() for file in self.get_finalized_command("build_ext").get_outputs()):
            self.distribution.ext_modules = []
            self.root_is_pure = True
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """Replace Python's version and ABI."""
        return "py3", "none", "any" if self.root_is_pure else super().get_tag()[2]


KERNELS = Path("src/xcodec/kernels")
INTERFACE = runpy.run_path(str(KERNELS / "signatures.py"))["INTERFACE"]

setup(
    ext_modules=[
        Extension(
            "xcodec.kernels.xcodec",
            sources=[str(path) for path in sorted(KERNELS.glob("*.cpp"))],
            depends=[str(path) for path in (*sorted(KERNELS.glob("*.h")), KERNELS / "signatures.py")],
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPythonWheel},
)
