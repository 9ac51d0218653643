"""The runtime: `Codec`'s interface on ONNX Runtime, without torch."""

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

import xcodec
from builders import RECORDINGS, speech
from xcodec import Audio, CheckpointError, Codec, Codes, CodesError, InputError
from xcodec.built_in import BUILT_IN
from xcodec.runtime import Codec as RuntimeCodec
from xcodec.runtime.__main__ import main

SPEECH = RECORDINGS[1]  # 16 kHz, mono, 47,840 samples, 150 codes
ROOT = Path(__file__).parent.parent.parent
LITE = ROOT / "packaging" / "lite"


@pytest.fixture(scope="module")
def codec(exported: tuple[Codec, Path]) -> Codec:
    return exported[0]


@pytest.fixture(scope="module")
def folder(exported: tuple[Codec, Path]) -> Path:
    return exported[1]


@pytest.fixture(scope="module")
def runtime(folder: Path) -> RuntimeCodec:
    return RuntimeCodec(folder, threads=1)


def test_codes_of_a_file_are_those_of_torch(codec: Codec, runtime: RuntimeCodec) -> None:
    assert runtime.encode(SPEECH) == codec.encode(SPEECH)


def test_files_of_codes_are_the_same_bytes(codec: Codec, runtime: RuntimeCodec, tmp_path: Path) -> None:
    codec.encode(SPEECH).save(tmp_path / "torch.codes")
    runtime.encode(SPEECH).save(tmp_path / "onnx.codes")
    assert (tmp_path / "onnx.codes").read_bytes() == (tmp_path / "torch.codes").read_bytes()
    assert runtime.decode(tmp_path / "torch.codes").samples.shape == (1, 47840)


def test_audio_is_that_of_torch(codec: Codec, runtime: RuntimeCodec) -> None:
    codes = codec.encode(SPEECH)
    assert np.abs(runtime.decode(codes).samples - codec.decode(codes).samples).max() < 1e-4
    assert np.abs(runtime.reconstruct(SPEECH).samples - codec.decode(codes).samples).max() < 1e-4


def test_other_rates_channels_and_segments_are_treated_alike(codec: Codec, runtime: RuntimeCodec) -> None:
    stereo = np.stack([speech(2.5), speech(2.5)[::-1]])
    recording = Audio(stereo, 16000).resample(44100)
    assert runtime.encode(recording, segment_seconds=1.0) == codec.encode(recording, segment_seconds=1.0)
    assert runtime.encode((recording.samples, 44100)) == codec.encode(recording)


def test_each_of_a_list_gets_bit_for_bit_what_it_gets_alone(runtime: RuntimeCodec) -> None:
    clips = [Audio(speech(seconds), 16000) for seconds in (1.0, 0.4, 0.1)]
    together = runtime.encode(clips)
    assert together == [runtime.encode(clip) for clip in clips]
    for codes, audio in zip(together, runtime.decode(together), strict=True):
        assert audio == runtime.decode(codes)


def test_bare_ids_are_decoded(runtime: RuntimeCodec) -> None:
    assert runtime.decode(np.arange(20)).samples.shape == (1, 6400)


def test_codes_of_another_model_are_refused(runtime: RuntimeCodec, codec: Codec) -> None:
    fields = vars(codec.encode(SPEECH)) | {"codec": xcodec.codes.CodecIdentity("other", "0" * 64, "1" * 64)}
    with pytest.raises(CodesError, match="made by other"):
        runtime.decode(Codes(**fields))


def test_a_bandwidth_that_is_not_there_is_refused(runtime: RuntimeCodec) -> None:
    with pytest.raises(InputError, match=r"tiny has 0\.8 kbit/s"):
        runtime.encode(SPEECH, bandwidth=3.0)


def test_a_clip_too_short_for_a_code_is_refused(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "codec.json").read_text())
    assert (manifest["shortest_clip"], manifest["spare_samples"]) == (1, 1)
    (tmp_path / "codec.json").write_text(json.dumps(manifest | {"shortest_clip": 320}))  # as NeuCodec's
    with pytest.raises(InputError, match="319 samples at 16000 Hz is too short for one code; pad it with zeros to 320"):
        RuntimeCodec(tmp_path).encode(speech(samples=319), 16000)


def test_a_folder_without_a_codec_is_an_error_that_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="xcodec export MODEL FOLDER"):
        RuntimeCodec(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other"}', '{"format": "xcodec.onnx", "format_version": 1}']
)
def test_a_damaged_manifest_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "codec.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"codec\.json: is damaged"):
        RuntimeCodec(tmp_path)


def test_a_manifest_of_a_newer_version_is_an_error_that_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "codec.json").read_text()) | {"format_version": 2}
    (tmp_path / "codec.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="update xcodec"):
        RuntimeCodec(tmp_path)


def test_half_a_codec_says_which_half_it_lacks(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "codec.json").write_bytes((folder / "codec.json").read_bytes())
    (tmp_path / "encoder.onnx").write_bytes((folder / "encoder.onnx").read_bytes())
    half = RuntimeCodec(tmp_path, threads=1)
    codes = half.encode(SPEECH)
    with pytest.raises(CheckpointError, match=r"there is no decoder\.onnx"):
        half.decode(codes)


def test_a_damaged_graph_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "codec.json").write_bytes((folder / "codec.json").read_bytes())
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="ONNX Runtime does not load it"):
        RuntimeCodec(tmp_path).encode(SPEECH)


# The command line


def test_the_commands_do_what_the_interface_does(runtime: RuntimeCodec, folder: Path, tmp_path: Path) -> None:
    codes, audio = tmp_path / "speech.codes", tmp_path / "speech.wav"
    assert main(["encode", str(folder), str(SPEECH), "-o", str(codes)]) == 0
    assert Codes.load(codes) == runtime.encode(SPEECH)
    assert main(["decode", str(folder), str(codes), "-o", str(audio)]) == 0
    assert main(["reconstruct", str(folder), str(SPEECH), "-o", str(tmp_path), "--threads", "1"]) == 0
    assert (tmp_path / f"{SPEECH.name}.wav").read_bytes() == audio.read_bytes()


def test_info_says_what_the_codec_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("Codec(tiny: 16000 Hz, 50 codes/s of (65536,), on ONNX Runtime")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["encode", "folder", "a.wav"], "give a place to write to (-o)"),
        (["decode", "folder", "a.codes"], "give a place to write to (-o) or --stream"),
        (["decode", "folder", "-", "--stream", "-o", "a.wav"], "give a place to write to (-o) or --stream"),
        (["decode", "folder", "a.codes", "--stream"], "give - as the only input"),
        (["decode", "folder", "a.codes", "-o", "a.wav", "--raw"], "--raw is for --stream"),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert told in capsys.readouterr().err


def test_a_codec_without_the_step_says_so_when_codes_are_to_be_streamed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "codec.json", tmp_path)
    assert main(["decode", str(tmp_path), "-", "--stream"]) == 1
    assert "there is no decoder_step.onnx; export the model again, with --stream" in capsys.readouterr().err


def test_an_error_is_one_line_and_exit_code_1(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(folder), str(tmp_path / "no.wav"), "-o", str(tmp_path / "no.codes")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


# Without torch

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "huggingface_hub", "typer", "rich", "pydantic", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
USE = """
import sys
from xcodec.runtime import Codec
codec = Codec(sys.argv[1], threads=1)
codes = codec.encode(sys.argv[2])
assert codec.decode(codes).num_samples == 47840
codes.save(sys.argv[3])
assert "torch" not in sys.modules
"""


def test_the_runtime_needs_no_torch(codec: Codec, folder: Path, tmp_path: Path) -> None:
    arguments = [str(folder), str(SPEECH), str(tmp_path / "a.codes")]
    subprocess.run([sys.executable, "-c", BLOCKED + USE, *arguments], check=True)
    assert Codes.load(tmp_path / "a.codes") == codec.encode(SPEECH)


def test_what_needs_torch_says_so() -> None:
    code = (
        BLOCKED + "import xcodec\ntry:\n    xcodec.Codec\nexcept xcodec.MissingExtraError as error:\n    print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "xcodec.Codec needs torch" in shown.stdout
    assert "xcodec.runtime" in shown.stdout


def modules_of_lite() -> set[str]:
    """The names of xcodec's modules that its distribution without torch holds, as its setup.py lists them."""
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse((LITE / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List) and isinstance(node.targets[0], ast.Name)
    }
    packages = {package.removeprefix("xcodec").removeprefix(".") for package in lists["PACKAGES"]}
    return {*lists["MODULES"], *packages} - {""}


def test_the_distribution_without_torch_holds_all_that_the_runtime_imports() -> None:
    code = BLOCKED + (
        "import xcodec.runtime.__main__\n"
        "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('xcodec.')}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert modules_of_lite() == set(shown.stdout.split())


@pytest.mark.slow
def test_a_fresh_environment_without_torch_encodes(codec: Codec, folder: Path, tmp_path: Path) -> None:
    for part in ("src", "packaging"):  # building leaves files beside the sources
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", *BUILT_IN, "*.so"))
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", tmp_path / "packaging" / "lite"],
        check=True,
        env=outside,
        cwd=tmp_path,
    )
    arguments = [str(folder), str(SPEECH), str(tmp_path / "a.codes")]
    subprocess.run([python, "-c", USE, *arguments], check=True, env=outside, cwd=tmp_path)
    assert Codes.load(tmp_path / "a.codes") == codec.encode(SPEECH)
    size = sum(path.stat().st_size for path in (tmp_path / "env" / "lib").rglob("*") if path.is_file())
    pip = sum(path.stat().st_size for path in (tmp_path / "env" / "lib").rglob("pip/**/*") if path.is_file())
    assert size - pip < 200e6
