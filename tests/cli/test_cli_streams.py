"""Recordings and codes through pipes and URLs, channel by channel, and what outputs are refused."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import builders
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.codec import Codec
from xcodec.codes import Codes

SPEECH = builders.RECORDINGS[1]  # 16 kHz, mono, 47,840 samples: 150 codes


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Two speakers on two channels."""
    one, other = builders.speech(2.0)[:16000], builders.speech(2.0)[16000:]
    (tmp_path / "in").mkdir()
    Audio(np.stack([one, other]), 16000).save(tmp_path / "in" / "call.wav")
    return tmp_path / "in" / "call.wav"


def run(*arguments: object, given: bytes | None = None) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    return result


def load(content: bytes, tmp_path: Path) -> Codes:
    (tmp_path / "loaded.codes").write_bytes(content)
    return Codes.load(tmp_path / "loaded.codes")


# Standard input and output


def test_a_pipe_carries_recordings_in_and_codes_out(model: Path, codec: Codec, tmp_path: Path) -> None:
    encoded = run("encode", "-", "-o", "-", "-m", model, given=SPEECH.read_bytes())
    assert encoded.exit_code == 0
    assert encoded.stderr.startswith("Encoded 1 of 1 file: 3.0 s of audio in ")  # and not among the codes
    assert load(encoded.stdout_bytes, tmp_path) == codec.encode(SPEECH)
    decoded = run("decode", "-", "-o", "-", "-m", model, given=encoded.stdout_bytes)
    assert decoded.stderr.startswith("Decoded 1 of 1 file")
    samples, rate = soundfile.read(io.BytesIO(decoded.stdout_bytes), dtype="float32")
    assert (len(samples), rate) == (47840, 16000)
    again = run("reconstruct", "-", "-o", "-", "-m", model, given=SPEECH.read_bytes())
    assert again.stdout_bytes == decoded.stdout_bytes
    flac = run("reconstruct", SPEECH, "-o", "-", "--format", "flac", "-m", model)
    assert flac.stdout_bytes[:4] == b"fLaC"


def test_standard_input_may_become_a_file(model: Path, codec: Codec, tmp_path: Path) -> None:
    for name in ("a.codes", "b.safetensors"):
        assert run("encode", "-", "-o", tmp_path / name, "-m", model, given=SPEECH.read_bytes()).exit_code == 0
        assert Codes.load(tmp_path / name) == codec.encode(SPEECH)
    assert run("reconstruct", "-", "-o", tmp_path / "a.flac", "-m", model, given=SPEECH.read_bytes()).exit_code == 0
    assert Audio.read(tmp_path / "a.flac").num_samples == 47840


def test_nothing_but_results_comes_on_standard_output(model: Path, tmp_path: Path) -> None:
    for given, reason in ((b"", "is empty"), (b"no audio", "is not audio")):
        result = run("encode", "-", "-o", "-", "-m", model, given=given)
        assert (result.exit_code, result.stdout_bytes) == (1, b"")
        assert f"error: standard input: {reason}" in result.stderr
        assert "Encoded 0 of 1 file" in result.stderr
    result = run("decode", tmp_path / "gone.codes", "-o", "-", "-m", model)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["encode", "-", SPEECH, "-o", "out"], "- is standard input, and is read alone"),
        (["encode", "-", "-o", "out/"], "standard input has no name"),
        (["encode", *builders.RECORDINGS[:2], "-o", "-"], "2 outputs cannot share standard output"),
        (["encode", SPEECH, "-o", "-", "--channel", "each"], "each channel has an output of its own"),
        (["encode", SPEECH, "-o", "a.codes", "--channel", "each"], "each channel has an output of its own"),
    ],
)
def test_what_cannot_go_through_one_pipe_is_said_before_any_work(arguments: list[object], reason: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout_bytes) == (1, b"")
    assert reason in result.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_program_behind_the_pipe_may_leave(model: Path) -> None:
    command = f"set -o pipefail; {sys.executable} -m xcodec reconstruct {SPEECH} -o - -m {model} | head -c 10 | wc -c"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert shown.stdout.strip() == "10"
    assert "Traceback" not in shown.stderr


# URLs


@pytest.fixture
def bucket() -> Any:
    """Two recordings on a file system that is reached by URL only."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("rec/a.wav", "rec/x/b.wav", "rec/notes.txt"):
        memory.pipe(f"/bucket/{name}", SPEECH.read_bytes())
    yield memory
    memory.store.clear()


def test_urls_are_read_and_keep_their_slashes(model: Path, codec: Codec, tmp_path: Path, bucket: Any) -> None:
    for url, names in (
        ("memory://bucket/rec/a.wav", ["a.wav.codes"]),
        ("memory://bucket/rec", ["a.wav.codes", "x/b.wav.codes"]),
        ("memory://bucket/rec/*/*.wav", ["x/b.wav.codes"]),
    ):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        result = run("encode", url, "-o", out, "-m", model)
        assert (result.exit_code, result.stderr) == (0, "")
        assert sorted(str(path.relative_to(out)) for path in out.rglob("*.codes")) == names
    assert Codes.load(out / "x/b.wav.codes") == codec.encode(SPEECH)
    result = run("info", "memory://bucket/rec/a.wav", "memory://bucket/gone.wav", "--json")
    assert '"num_samples": 47840' in result.stdout
    assert result.exit_code == 1
    assert "error: memory:///bucket/gone.wav: no such file" in result.stderr


def test_codes_at_a_url_are_decoded(model: Path, codec: Codec, tmp_path: Path, bucket: Any) -> None:
    codec.encode(SPEECH).save(tmp_path / "a.codes")
    bucket.pipe("/bucket/a.codes", (tmp_path / "a.codes").read_bytes())
    assert run("decode", "memory://bucket/a.codes", "-o", tmp_path / "a.wav", "-m", model).exit_code == 0
    assert Audio.read(tmp_path / "a.wav").num_samples == 47840


def test_an_unknown_protocol_is_one_failure_among_others(model: Path, tmp_path: Path) -> None:
    result = run("encode", "nowhere://bucket/a.wav", SPEECH, "-o", tmp_path / "out", "-m", model)
    assert result.exit_code == 1
    assert "error: nowhere://bucket/a.wav: " in result.stderr
    assert result.stdout.startswith("Encoded 1 of 2 files")


# Outputs that would go where nobody looks


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["encode", SPEECH, "-o", "s3://bucket/x"], "'s3://bucket/x' is a URL; outputs are written here only"),
        (["decode", "a.codes", "-o", "s3://b/x"], "is a URL"),
        (["reconstruct", SPEECH, "-o", "s3://b/x"], "is a URL"),
        (["tokenize", "export", "tok", "--to", "npy", "-o", "s3://b/x"], "is a URL"),
        (["detokenize", "tok", "-o", "s3://b/x"], "is a URL"),
        (["convert", "in", "s3://b/x"], "is a URL"),
        (["train", "mini", "--data", "d", "-o", "s3://b/x"], "is a URL"),
        (["train", "mini", "--data", "d", "-o", "x", "--export", "s3://b/x"], "is a URL"),
        (["evaluate", SPEECH, "-m", "mini", "--json", "s3://b/x"], "is a URL"),
        (["evaluate", SPEECH, "-m", "mini", "--html", "-"], "standard output, -, is not written to"),
        (["evaluate", "-", "-m", "mini"], "this command reads files here"),
        (["evaluate", "s3://b/x", "-m", "mini"], "this command reads files here"),
        (["tokenize", SPEECH, "-o", "-"], "standard output, -, is not written to"),
        (["detokenize", "tok", "-o", "-"], "standard output, -, is not written to"),
        (["convert", "in", "-"], "standard output, -, is not written to"),
        (["train", "mini", "--data", "d", "-o", "-"], "standard output, -, is not written to"),
        (["say", "hello", "--llm", "x", "-o", "-"], "standard output, -, is not written to"),
        (["encode", SPEECH, "-o", "speech.npy"], "codes are written as .codes, .safetensors; xcodec tokenize"),
        (["encode", SPEECH, "-o", "speech.wav"], "codes are written as .codes, .safetensors; for a folder"),
        (["encode", SPEECH, "-o", "x", "--channel", "middle"], "expected mean, left, right, each, or a number"),
        (["encode", SPEECH, "-o", "x", "--channel", "-1"], "expected mean, left, right, each, or a number"),
    ],
)
def test_an_output_that_is_not_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.replace("\u2502", " ").split())
    assert list(tmp_path.iterdir()) == []


# Channels and lengths


def test_a_channel_is_chosen_by_name_or_number(model: Path, codec: Codec, call: Path, tmp_path: Path) -> None:
    both = Audio.read(call).samples
    mean = codec.encode(both, 16000)
    for channel, expected in (
        ("left", codec.encode(both[0], 16000)),
        ("right", codec.encode(both[1], 16000)),
        ("0", codec.encode(both[0], 16000)),
        ("mean", mean),
    ):
        assert (
            run("encode", call, "-o", tmp_path / f"{channel}.codes", "--channel", channel, "-m", model).exit_code == 0
        )
        assert Codes.load(tmp_path / f"{channel}.codes") == expected
    result = run("encode", call, "-o", tmp_path / "2.codes", "--channel", "2", "-m", model)
    assert result.exit_code == 1
    assert "channel 2" in result.stderr


def test_each_channel_becomes_an_output_of_its_own(model: Path, codec: Codec, call: Path, tmp_path: Path) -> None:
    both = Audio.read(call).samples
    result = run("encode", call.parent, "-o", tmp_path / "codes", "--channel", "each", "-m", model)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Encoded 2 of 2 files")
    for channel in (0, 1):
        codes = Codes.load(tmp_path / "codes" / f"call.wav.ch{channel}.codes")
        assert codes == codec.encode(both[channel], 16000)
    assert run("reconstruct", call, "-o", tmp_path / "out", "--channel", "each", "-m", model).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["call.wav.ch0.wav", "call.wav.ch1.wav"]
    result = run("encode", call, "-o", tmp_path / "codes", "--channel", "each", "-m", model)
    assert result.exit_code == 1
    assert result.stderr.count("exists already") == 2


def test_a_recording_that_is_too_long_is_named(model: Path, tmp_path: Path) -> None:
    result = run("encode", *builders.RECORDINGS[:2], "-o", tmp_path, "--longest", 3, "-m", model)
    assert result.exit_code == 1
    assert result.stdout.startswith("Encoded 1 of 2 files")
    assert f"error: {builders.RECORDINGS[0]}: " in result.stderr
    assert "--longest" in result.stderr


def test_codes_keep_the_rate_that_the_recording_had(model: Path, tmp_path: Path) -> None:
    Audio.read(SPEECH).resample(44100).save(tmp_path / "a.wav")
    assert run("encode", tmp_path / "a.wav", "-o", tmp_path / "a.codes", "-m", model).exit_code == 0
    assert Codes.load(tmp_path / "a.codes").source_sampling_rate == 44100


# Nothing is left out without a word


def test_every_media_file_of_a_folder_is_done_or_named(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "good.WAV").write_bytes(SPEECH.read_bytes())
    broken = ["call.amr", "film.mkv", "note.m4a", "old.wma", "voice.opus"]
    for name in broken:
        (folder / name).write_bytes(b"nothing that is audio")
    (folder / "readme.txt").write_text("no recording")
    for options, code, word in (((), 1, "error"), (("--ignore-unreadable",), 0, "left out")):
        for command, verb in (("encode", "Encoded"), ("reconstruct", "Reconstructed")):
            out = tmp_path / f"{command}{code}"
            result = run(command, folder, "-o", out, "-m", model, *options)
            assert result.exit_code == code
            told = result.stderr.splitlines()
            assert [line.partition(": ")[0] for line in told] == [word] * len(broken)
            assert all(str(folder / name) in line for name, line in zip(broken, told, strict=True))
            summary = "6 files: " if code else "6 files, 5 left out as unreadable: "
            assert result.stdout.startswith(f"{verb} 1 of {summary}")


def test_only_unreadable_recordings_are_ignored(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    result = run(
        "encode", tmp_path / "a.wav", tmp_path / "gone.wav", "-o", tmp_path / "o", "-m", model, "--ignore-unreadable"
    )
    assert result.exit_code == 1
    assert f"left out: {tmp_path}/a.wav: is not audio" in result.stderr
    assert f"error: {tmp_path}/gone.wav: no such file" in result.stderr
