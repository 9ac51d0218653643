"""What is distributed: a source distribution that can test itself, and a wheel that says what it runs on."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import xcodec
from kernel_builds import ARM, OBJECTS, needs_emulator
from xcodec.built_in import BUILT_IN

ROOT = Path(__file__).parent.parent
CONDA = {
    "torch": "pytorch",
    "soundfile": "pysoundfile",
    "soxr": "soxr-python",
    "typing-extensions": "typing_extensions",
}


def build(kind: str, source: Path, output: Path, **variables: str) -> Path:
    """Build as `pip` does, with what is installed here; "sdist" or "wheel"."""
    output.mkdir(parents=True)
    command = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(output)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=source,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XCODEC_BUILD_OBJECTS": str(OBJECTS), **variables},
    )
    assert done.returncode == 0, done.stderr
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked, as somebody has it who has no repository."""
    folder = tmp_path_factory.mktemp("sdist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs the repository: this is a source distribution already")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tree" / name).hardlink_to(ROOT / name)
    archive = build("sdist", folder / "tree", folder / "built")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return next(folder.glob("xcodec-*"))


def test_the_source_distribution_holds_all_that_its_tests_and_its_makefile_need(unpacked: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    wanted = {name for name in tracked if name and not name.startswith((".ci", ".git")) and (ROOT / name).is_file()}
    assert wanted - {str(path.relative_to(unpacked)) for path in unpacked.rglob("*")} == set()


def names_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


def test_a_wheel_without_kernels_is_for_every_platform_and_holds_no_sources_of_them(
    unpacked: Path, tmp_path: Path
) -> None:
    wheel = build("wheel", unpacked, tmp_path / "built", CXX="/bin/false", CC="/bin/false")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = names_of(wheel)
    assert {f"xcodec/{name}/model.safetensors" for name in BUILT_IN} < set(names)
    assert "xcodec/evaluation/page.html" in names
    assert "xcodec/probing/probing.html" in names
    assert "xcodec/serving/page/index.html" in names
    assert {Path(name).suffix for name in names} == {
        "",
        ".css",
        ".flac",
        ".html",
        ".js",
        ".json",
        ".md",
        ".py",
        ".safetensors",
        ".svg",
        ".tsv",
        ".txt",
        ".typed",
        ".yaml",
    }


@pytest.mark.slow
def test_a_wheel_with_kernels_is_for_its_platform_and_every_python(unpacked: Path, tmp_path: Path) -> None:
    wheel = build("wheel", unpacked, tmp_path / "built")
    if wheel.name.endswith("-any.whl"):
        pytest.skip("needs a C++ compiler")
    assert "-py3-none-" in wheel.name
    assert "xcodec/kernels/libxcodec.so" in names_of(wheel)
    later = build("wheel", unpacked, tmp_path / "later", CXX="/bin/false", CC="/bin/false")
    assert later.name.endswith("-any.whl"), "what an earlier build left is not in it"


@pytest.mark.slow
def test_what_one_build_compiled_serves_the_next_of_the_same_sources_alone(unpacked: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects"

    def compiled(output: str) -> dict[str, int]:
        shutil.rmtree(unpacked / "build", ignore_errors=True)
        if build("wheel", unpacked, tmp_path / output, XCODEC_BUILD_OBJECTS=str(objects)).name.endswith("-any.whl"):
            pytest.skip("needs a C++ compiler")
        return {path.name: path.stat().st_mtime_ns for path in objects.iterdir()}

    first = compiled("first")
    assert compiled("second") == first
    changed = unpacked / "src" / "xcodec" / "kernels" / "library.cpp"
    changed.write_text(changed.read_text() + "// changed\n")
    third = compiled("third")
    assert first.items() <= third.items()
    assert {name.split("-")[0] for name in third.keys() - first.keys()} == {"library"}


@pytest.mark.slow
@needs_emulator
def test_a_wheel_is_made_for_another_processor_too(unpacked: Path, tmp_path: Path) -> None:
    cross = {"_PYTHON_HOST_PLATFORM": "linux-aarch64", "CC": ARM.compiler, "CXX": ARM.compiler}
    wheel = build("wheel", unpacked, tmp_path / "built", **cross)
    assert wheel.name.endswith("-py3-none-linux_aarch64.whl")
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("xcodec/kernels/libxcodec.so")[18:20] == b"\xb7\x00"  # ELF's number for aarch64


def test_every_extra_that_the_sources_name_is_one_and_all_has_each() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'\brequire\((?:\w+|"[^"]+"), "(\w+)"', text))
        for inside in re.findall(r"xcodec\[([a-z,]+)\]", text):
            named |= set(inside.split(","))
    assert {"formats", "tokenize", "serve", "onnx", "eval", "train", "ray"} <= set(extras)
    assert len(named) > 7
    assert named <= set(extras)
    (everything,) = extras["all"]
    assert set(re.findall(r"\[(.*)\]", everything)[0].split(",")) == set(extras) - {
        "all",
        "dev",
        "visqol",
        "whisper",
        "distillmos",
    }  # visqol needs a compiler, the others bring a hundred megabytes


def test_the_conda_recipe_asks_for_what_the_project_asks_for() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text())
    assert recipe["context"]["version"] == xcodec.__version__
    assert f">={recipe['context']['python_min']}" == project["project"]["requires-python"]
    assert recipe["about"]["summary"] == project["project"]["description"]
    assert recipe["about"]["license"] == project["project"]["license"]
    wanted = [re.fullmatch(r"([\w-]+)(.*)", each).groups() for each in project["project"]["dependencies"]]
    _, *asked = recipe["requirements"]["run"]
    assert asked == [f"{CONDA.get(name, name)} {versions}" for name, versions in wanted]
    scripts = [f"{name} = {function}" for name, function in project["project"]["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert set(project["build-system"]["requires"]) <= {
        each.replace(" ", "") for each in recipe["requirements"]["host"]
    }


def test_make_says_in_one_line_what_to_install_for_the_tests(tmp_path: Path) -> None:
    if (make := shutil.which("make")) is None:
        pytest.skip("needs apt-get install make")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "echo"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    for name in ("Makefile", "pyproject.toml", "setup.py", "constraints.txt", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    told = subprocess.run(
        [make, "test", f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path / "bin")},
    )
    assert told.returncode != 0
    wanted = "make test needs a C/C++ compiler and Python's headers, for pesq: apt-get install g++ python3-dev"
    assert told.stderr.splitlines()[0] == wanted
    assert not (tmp_path / ".venv").exists()
