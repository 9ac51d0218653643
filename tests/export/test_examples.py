"""The examples in JavaScript and in C++ do what the runtime does."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from builders import RECORDINGS
from xcodec import Audio, Codec
from xcodec.runtime import Codec as RuntimeCodec

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'xcodec[onnx]'")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
MODULES = os.environ.get("NODE_MODULES", "")


@pytest.mark.skipif(
    shutil.which("node") is None or not Path(MODULES, "onnxruntime-node").is_dir(),
    reason="install node, npm install onnxruntime-node, and name its folder in NODE_MODULES",
)
def test_javascript(exported: tuple[Codec, Path], tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES)
    shutil.copy(EXAMPLES / "codec.mjs", tmp_path)
    check_example(["node", "codec.mjs"], tmp_path, RuntimeCodec(exported[1], threads=1))


HEADERS = os.environ.get("ONNXRUNTIME_HEADERS", "/usr/include/onnxruntime")
LIBRARIES = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


@pytest.mark.skipif(
    not Path(HEADERS, "onnxruntime_cxx_api.h").is_file(),
    reason="apt-get install libonnxruntime-dev, or name the folder of its headers in ONNXRUNTIME_HEADERS",
)
@pytest.mark.skipif(shutil.which("g++") is None, reason="apt-get install g++")
@pytest.mark.skipif(
    not LIBRARIES,
    reason="needs a wheel of onnxruntime for Linux that has its library in a file: pip install -U onnxruntime",
)
def test_cpp(exported: tuple[Codec, Path], tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so.1").symlink_to(LIBRARIES[-1])
    build = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{HEADERS}", EXAMPLES / "codec.cpp", "-o", "codec"]
    subprocess.run([*build, "libonnxruntime.so.1", "-Wl,-rpath,$ORIGIN"], cwd=tmp_path, check=True)
    check_example(["./codec"], tmp_path, RuntimeCodec(exported[1], threads=1))


def check_example(program: list[str], folder: Path, runtime: RuntimeCodec) -> None:
    """Run an example on a recording: it tells the codes that the runtime makes, and writes the audio."""
    command = [*program, str(runtime.folder), str(RECORDINGS[1]), "out.wav"]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()
    codes = runtime.encode(RECORDINGS[1])
    assert told[:5] == ["1", "x", "1", "x", "150"]
    assert told[5:] == [str(code) for code in codes.ids[0]]
    audio, expected = Audio.read(folder / "out.wav"), runtime.decode(codes)
    assert audio.sampling_rate == expected.sampling_rate
    assert audio.samples.shape == expected.samples.shape
    assert np.abs(audio.samples - expected.samples.clip(-1, 1)).max() < 1e-4
