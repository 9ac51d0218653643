"""`make matrix`: the built wheel, in an environment of its own for each row, beside tests and without the sources.

    nox                     every row for which there is a Python here; the others are skipped, and it says so
    nox -s oldest           one row: rows-3.10 ... rows-3.14, oldest, no_extras, no_compiler
    nox -s oldest -- tests/test_codec.py -k silence     what pytest is told in place of the core tests
    XCODEC_WHEEL=dist/NAME.whl nox      the rows with kernels try that wheel, as it would be published, and build none

uv makes the environments; UV_TORCH_BACKEND=cpu brings a torch without CUDA, where PyTorch's own index can be reached.
"""

import os
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# What depends on torch, transformers, numpy, soundfile or the Python, and takes a minute and a half in all.
CORE = [
    "tests/test_codes.py",
    "tests/test_notebook.py",
    "tests/test_codec.py",
    "tests/audio/test_audio.py",
    "tests/quantizers",
    "tests/modules/test_fbank.py",
    "tests/models/test_checkpoint.py",
    "tests/models/test_model.py",
    "tests/models/test_xcodec_model.py",
    "tests/cli/test_cli_commands.py",
]
TOOLS = ["pytest>=9", "pystoi>=0.4.1"]  # the tests themselves need these
EXTRAS = "formats,tokenize"

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = "CI" in os.environ


BUILT: dict[bool, Path] = {}  # with and without kernels: one wheel is for every Python


def wheel(session: nox.Session, kernels: bool = True) -> Path:
    """Build a wheel of the sources as they are, once for all rows; without kernels, as where there is no compiler."""
    if kernels and "XCODEC_WHEEL" in os.environ:
        return Path(os.environ["XCODEC_WHEEL"]).absolute()
    if kernels not in BUILT:
        folder = Path(session.cache_dir) / ("wheel" if kernels else "wheel-without-kernels")
        shutil.rmtree(folder, ignore_errors=True)
        compiled = str(folder / "objects")  # not those that a build with a compiler has kept
        found_none = {} if kernels else {"CC": "/bin/false", "CXX": "/bin/false", "XCODEC_BUILD_OBJECTS": compiled}
        session.run_install("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT), env=found_none)
        (BUILT[kernels],) = folder.glob("*.whl")
    return BUILT[kernels]


def check(session: nox.Session) -> None:
    """Run tests on what is installed, in a copy of them that has no sources beside it, and the program."""
    there = Path(session.create_tmp()) / "beside-the-wheel"
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(ROOT / "tests", there / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", there)
    session.chdir(there)
    session.env["PYTHONPATH"] = ""
    session.run("python", "-c", "import xcodec, pathlib; assert 'site-packages' in str(pathlib.Path(xcodec.__file__))")
    session.run("xcodec", "reconstruct", "tests/audio/austen-0880.wav", "-o", "again.wav", silent=True)
    session.run("python", "-m", "pytest", "-q", "-m", "not slow", *(session.posargs or CORE))


@nox.session(python=PYTHONS)
def rows(session: nox.Session) -> None:
    """The newest of everything, on each Python."""
    session.install(f"{wheel(session)}[{EXTRAS}]", *TOOLS)
    check(session)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """The oldest of each dependency that pyproject.toml allows, on the oldest Python."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    optional = [part for extra in EXTRAS.split(",") for part in project["optional-dependencies"][extra]]
    direct = [*project["dependencies"], *optional]  # which uv would not count as such behind a wheel
    compiler = "setuptools>=77"  # which torch 2.6 imports to compile, and a venv of Python 3.10's own has
    session.install("--resolution", "lowest-direct", f"{wheel(session)}[{EXTRAS}]", *direct, *TOOLS, compiler)
    check(session)


@nox.session(python=PYTHONS[1])
def no_extras(session: nox.Session) -> None:
    """What `pip install xcodec` brings, and nothing else: tests that need an extra are skipped."""
    session.install(str(wheel(session)), *TOOLS)
    check(session)


@nox.session(python=PYTHONS[1])
def no_compiler(session: nox.Session) -> None:
    """A wheel built where no compiler is found, which torch's own operators serve."""
    session.install(f"{wheel(session, kernels=False)}[{EXTRAS}]", *TOOLS)
    session.run("python", "-c", "from xcodec import kernels; assert kernels.variant() == 'torch', kernels.variant()")
    check(session)
