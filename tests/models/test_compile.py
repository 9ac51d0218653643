"""Compiled layers: the eager result, one compilation for every length, none for what is too long; and --compile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import _dynamo
from typer.testing import CliRunner

from builders import RECORDINGS, save_tiny, tiny_model
from tokenize_builders import output_of
from xcodec import codec as codec_module
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor
from xcodec_builders import tiny_xcodec

SPEECH = Audio.read(RECORDINGS[0])


def excerpt(seconds: float) -> Audio:
    return Audio(SPEECH.samples[:, : int(seconds * SPEECH.sampling_rate)], SPEECH.sampling_rate)


def same_result(compiled: Codec, eager: Codec, *seconds: float) -> None:
    clips = [excerpt(each) for each in seconds]
    codes, expected = compiled.encode(clips), eager.encode(clips)
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(codes, expected, strict=True))
    for found, whole in zip(compiled.decode(codes), eager.decode(codes), strict=True):
        np.testing.assert_allclose(found.samples, whole.samples, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["xcodec2", "xcodec"])
def test_one_compilation_serves_every_length(family: str, tmp_path: Path) -> None:
    _dynamo.utils.counters.clear()
    model, extractor = (
        (tiny_model(), Xcodec2FeatureExtractor()) if family == "xcodec2" else (tiny_xcodec(), XcodecFeatureExtractor())
    )
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    eager = Codec.from_pretrained(tmp_path, device="cpu")
    compiled = Codec.from_pretrained(tmp_path, device="cpu", compile=True)
    same_result(compiled, eager, 1.0)
    assert _dynamo.utils.counters["stats"]["unique_graphs"] > 0
    with _dynamo.config.patch(error_on_recompile=True):
        same_result(compiled, eager, 2.0)
        same_result(compiled, eager, 0.3)
    same_result(compiled, eager, 0.9, 0.8)
    with _dynamo.config.patch(error_on_recompile=True):
        same_result(compiled, eager, 1.4, 1.2, 1.1)


def test_a_batch_that_is_too_long_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _dynamo.utils.counters.clear()
    model = tiny_model()
    model.compile_layers()  # by hand: the codec asks the model, whoever compiled it
    compiled, eager = Codec(model, Xcodec2FeatureExtractor()), Codec(tiny_model(), Xcodec2FeatureExtractor())
    monkeypatch.setattr(codec_module, "COMPILED_SECONDS", 3.0)
    same_result(compiled, eager, 2.9, 2.8)
    assert not _dynamo.utils.counters["stats"]["unique_graphs"]
    monkeypatch.undo()
    compiled.encode(excerpt(0.5))
    assert _dynamo.utils.counters["stats"]["unique_graphs"]


# On the command line


def run(*arguments: object) -> str:
    """What a run that goes well prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, its codes, its reconstruction, and an output of `xcodec tokenize`, all without compiled layers."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    excerpt(1.0).save(folder / "in/a.wav")
    run("encode", folder / "in/a.wav", "-o", folder / "a.codes", "-m", model)
    run("decode", folder / "a.codes", "-o", folder / "a.wav", "-m", model)
    run("tokenize", folder / "in", "-o", folder / "tokens", "-m", model)
    return folder


@pytest.mark.parametrize("command", ["encode", "decode", "reconstruct", "tokenize", "detokenize", "evaluate"])
def test_every_command_for_many_recordings_compiles_on_request(
    command: str, made: Path, model: Path, tmp_path: Path
) -> None:
    _dynamo.utils.counters.clear()
    options = ("-m", model, "--device", "cpu", "--compile")
    if command == "encode":
        run(command, made / "in/a.wav", "-o", tmp_path / "a.codes", *options)
        assert Codes.load(tmp_path / "a.codes") == Codes.load(made / "a.codes")
    elif command == "tokenize":
        run(command, made / "in", "-o", tmp_path, "-m", model, "--plan-only")  # the plan knows nothing of --compile
        run(command, "-o", tmp_path, *options)
        assert output_of(tmp_path) == output_of(made / "tokens")
    elif command == "evaluate":
        assert "SI-SDR" in run(command, made / "in", "--asr", "none", *options)
    else:
        source = {"decode": "a.codes", "reconstruct": "in/a.wav", "detokenize": "tokens"}[command]
        target = tmp_path if command == "detokenize" else tmp_path / "a.wav"
        run(command, made / source, "-o", target, *options)
        found, expected = Audio.read(tmp_path / "a.wav"), Audio.read(made / "a.wav")
        np.testing.assert_allclose(found.samples, expected.samples, rtol=0, atol=1e-3)
    assert _dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_batches_of_a_data_set_are_no_longer_than_compiled_layers_take(
    made: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(80):
        shutil.copy(made / "in/a.wav", tmp_path / f"{i}.wav")
    batches = []
    graphs_for = Codec._graphs_for
    monkeypatch.setattr(
        Codec, "_graphs_for", lambda codec, seconds: (batches.append(seconds), graphs_for(codec, seconds))[1]
    )
    with torch.compiler.set_stance("force_eager"):  # how long they are is all that is asked here
        for option in ("--compile", "--dtype=float32"):
            output = tmp_path / option
            run("tokenize", tmp_path / "*.wav", "-o", output, "-m", model, "--device", "cpu", option)
            assert (max(batches) < codec_module.COMPILED_SECONDS) == (option == "--compile")
            batches.clear()


def test_a_stream_is_not_compiled(model: Path) -> None:
    result = CliRunner().invoke(app, ["decode", "--stream", "-", "-m", str(model), "--compile"])
    assert result.exit_code == 2
    assert "--compile is for files" in result.output


def test_without_a_compiler_the_message_says_what_to_do(made: Path, model: Path, tmp_path: Path) -> None:
    command = ["encode", made / "in/a.wav", "-o", tmp_path / "a.codes", "-m", model, "--device", "cpu", "--compile"]
    environment = {**os.environ, "CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-m", "xcodec", *map(str, command)], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "a.wav: torch's compiler failed, so leave --compile out: InvalidCxxCompiler: No working C++" in result.stderr
    assert "Traceback" not in result.stderr
