"""Chooses of xcodec's sources what imports no torch. Everything else about the build is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCE = Path("../../src/xcodec")
PACKAGES = ["xcodec", "xcodec.audio", "xcodec.runtime"]
MODULES = [
    "bandwidth",
    "batching",
    "code_stream",
    "code_text",
    "codes",
    "errors",
    "files",
    "location",
    "notebook",
    "progress",
    "recording_codec",
    "segmentation",
]


class BuildRuntime(build_py):
    """Leave out the modules of the package itself that need torch."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """List a package's modules: (package, module, file)."""
        found = super().find_package_modules(package, package_dir)
        return [each for each in found if package != "xcodec" or each[1] in ("__init__", *MODULES)]


setup(
    version=re.search(r'__version__ = "(.+)"', (SOURCE / "__init__.py").read_text())[1],
    packages=PACKAGES,
    package_dir={"": "../../src"},
    package_data={"xcodec": ["py.typed"]},
    cmdclass={"build_py": BuildRuntime},
)
