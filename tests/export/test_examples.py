"""The example in JavaScript does what the runtime does."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from builders import RECORDINGS
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
