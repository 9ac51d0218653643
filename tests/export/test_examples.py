"""The examples in other languages do what the runtime does."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from builders import RECORDINGS, speech
from xcodec import Audio, Codec
from xcodec.runtime import Codec as RuntimeCodec

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def runtime(exported: tuple[Codec, Path]) -> RuntimeCodec:
    return RuntimeCodec(exported[1], threads=1)


def test_javascript(runtime: RuntimeCodec, tmp_path: Path) -> None:
    modules = os.environ.get("NODE_MODULES")
    if shutil.which("node") is None or modules is None or not Path(modules, "onnxruntime-node").is_dir():
        pytest.skip("install node, npm install onnxruntime-node, and name its folder in NODE_MODULES")
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(EXAMPLES / "codec.mjs", tmp_path)
    command = ["node", "codec.mjs", str(runtime.folder), str(RECORDINGS[1]), "out.wav"]
    told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    codes = runtime.encode(RECORDINGS[1])
    assert told[:5] == ["1", "x", "1", "x", "150"]
    assert told[5:] == [str(code) for code in codes.ids[0]]
    audio, expected = Audio.read(tmp_path / "out.wav"), runtime.decode(codes)
    assert audio.sampling_rate == expected.sampling_rate
    assert np.abs(audio.samples - expected.samples.clip(-1, 1)).max() < 1e-4


def test_cpp(runtime: RuntimeCodec, tmp_path: Path) -> None:
    root = os.environ.get("ONNXRUNTIME")
    if shutil.which("g++") is None or root is None or not Path(root, "include", "onnxruntime_cxx_api.h").is_file():
        pytest.skip("install g++ and ONNX Runtime's release for C++, and name its folder in ONNXRUNTIME")
    build = ["g++", "-std=c++17", EXAMPLES / "codec.cpp", f"-I{root}/include", f"-L{root}/lib", "-lonnxruntime"]
    subprocess.run([*build, f"-Wl,-rpath,{root}/lib", "-o", tmp_path / "codec"], check=True)
    samples = speech(1.0)
    (tmp_path / "speech.raw").write_bytes(samples.tobytes())
    command = [tmp_path / "codec", runtime.folder, tmp_path / "speech.raw", tmp_path / "out.raw"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    codes = runtime.encode(samples, 16000)
    assert told == [str(code) for code in codes.ids[0]]
    audio = np.frombuffer((tmp_path / "out.raw").read_bytes(), np.float32)
    assert np.abs(audio[: codes.num_samples] - runtime.decode(codes).samples[0]).max() < 1e-4
