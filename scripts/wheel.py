"""Build wheels and the source distribution into dist/, check them, and try the wheel in an environment of its own.

    python scripts/wheel.py [--no-trial]

A wheel for Linux is given the tag manylinux_2_28, whose promises auditwheel checks. One for aarch64 is made too, where
there is a compiler for that (apt-get install g++-aarch64-linux-gnu); its tag is the oldest manylinux whose promises it
keeps, and it must not ask for more than the other. The recipe of the conda package is rendered, as rattler-build does
before it builds. The trial installs the wheel where no compiler is found, and there encodes and decodes a recording
by the command line.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
RECORDING = ROOT / "tests" / "audio" / "austen-0880.wav"
CROSS = "aarch64-linux-gnu-g++"
GLIBC = "2_28"
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"
RENDER = """\
import sys
from rattler_build import Stage0Recipe, VariantConfig
compilers = VariantConfig.from_yaml("{cxx_compiler: [gxx], c_stdlib: [sysroot]}")
(package,) = Stage0Recipe.from_file(sys.argv[1]).render(compilers)
"""


def run(*command: object, **variables: str) -> str:
    """Run a program, outside the repository's own sources; its output."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])  # auditwheel's
    environment = {"XCODEC_BUILD_OBJECTS": str(ROOT / "build" / "objects")} | os.environ
    environment |= {"PATH": programs, **variables}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(list(map(str, command)), cwd=DIST, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def build() -> Path:
    """Build both, the wheel from the unpacked source distribution, and one for aarch64; the wheel for this machine."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    run(sys.executable, "-m", "check_manifest", "--no-build-isolation", ROOT)
    run(sys.executable, "-c", RENDER, RECIPE)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    (wheel,) = DIST.glob("*.whl")
    wheel = for_every_linux(wheel, platform.machine())
    if sys.platform == "linux" and platform.machine() != "aarch64" and shutil.which(CROSS):
        elsewhere = {"_PYTHON_HOST_PLATFORM": "linux-aarch64", "CC": CROSS, "CXX": CROSS}
        (source,) = DIST.glob("*.tar.gz")
        with tempfile.TemporaryDirectory() as temporary:
            run("tar", "-xf", source, "-C", temporary)
            (unpacked,) = Path(temporary).iterdir()
            run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", DIST, unpacked, **elsewhere)
        for_every_linux(next(DIST.glob("*-linux_aarch64.whl")), "aarch64")
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    return wheel


def for_every_linux(wheel: Path, machine: str) -> Path:
    """Replace a wheel for this Linux by one for every Linux with glibc 2.28, if it holds compiled code; the wheel.

    auditwheel takes names of platforms of this machine alone, but finds those that fit any.
    """
    if "-linux_" not in wheel.name:
        return wheel
    tag = f"manylinux_{GLIBC}_{machine}" if machine == platform.machine() else "auto"
    run(sys.executable, "-m", "auditwheel", "repair", "--plat", tag, "--wheel-dir", DIST, wheel)
    wheel.unlink()
    (repaired,) = DIST.glob(f"*manylinux_*_{machine}.whl")
    oldest = re.search(r"manylinux_(\d+)_(\d+)_", repaired.name)
    if oldest is None or tuple(map(int, oldest.groups())) > tuple(map(int, GLIBC.split("_"))):
        sys.exit(f"{repaired.name} needs a newer glibc than {GLIBC.replace('_', '.')}")
    return repaired


def trial(wheel: Path) -> None:
    """Install the wheel into a new environment without a compiler, and encode and decode with it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        venv.create(folder / "venv", with_pip=True)
        programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        run(programs / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
        alone = {"PATH": str(programs)}
        run("xcodec", "encode", RECORDING, "-o", folder / "a.codes", **alone)
        run("xcodec", "decode", folder / "a.codes", "-o", folder / "a.wav", **alone)
        variant = run(programs / "python", "-c", "from xcodec import kernels; print(kernels.variant())", **alone)
        if not wheel.name.endswith("-any.whl") and variant == "torch":
            sys.exit(f"{wheel.name} holds kernels, and they do not run")
        print(f"{wheel.name}: encoded and decoded {RECORDING.name}; kernels: {variant}")


def main() -> None:
    """Do it, and print what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-trial", action="store_true", help="build and check only")
    arguments = parser.parse_args()
    wheel = build()
    for path in sorted(DIST.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1e6:.1f} MB")
    if not arguments.no_trial:
        trial(wheel)


if __name__ == "__main__":
    main()
