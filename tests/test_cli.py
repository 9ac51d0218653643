"""The commands, as people run them: real recordings, a tiny model, every error read."""

import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import builders
import xcodec
from original import TINY_OPTIONS, random_original, write_original_folder
from waiting import PATIENCE, wait_until
from xcodec import kernels
from xcodec.audio import Audio
from xcodec.cli import jobs
from xcodec.cli.app import app
from xcodec.cli.failures import explain
from xcodec.codec import Codec
from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import AudioError
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor

COMMANDS = ["encode", "decode", "reconstruct", "say", "detokenize", "train", "evaluate", "info", "convert"]
SPEECH = builders.RECORDINGS[1]  # austen-0880.wav: 16 kHz, mono, 47,840 samples, 150 codes
MIXED = ["a.flac", "a.wav", "x/b.ogg", "x/deep/c.mp3", "x/deep/d.opus"]


class Result:
    """What a run of the program left: exit code, standard output, standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """The program, in this process."""

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Result(result.exit_code, result.stdout, result.stderr)

    return invoke


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The program, in a process of its own."""
    command = [sys.executable, "-m", "xcodec", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, text=True, errors="surrogateescape", **pipes)  # type: ignore[call-overload]


def finish(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out, err)


def save_tiny(folder: Path, seed: int) -> Path:
    builders.tiny_model(seed).save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return Codec.from_pretrained(model)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of speech in five formats, mono and stereo, at four rates, with a text file among them."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "x/deep").mkdir(parents=True)
    speech = Audio(builders.speech(2.0), 16000)
    left = speech.resample(44100).samples[0]
    Audio(np.stack([left, 0.5 * left]), 44100).save(folder / "a.wav")
    speech.resample(48000).save(folder / "a.flac")
    Audio(builders.speech(1.0), 16000).save(folder / "x/b.ogg")
    speech.resample(22050).save(folder / "x/deep/c.mp3")
    Audio(builders.speech(0.5), 16000).save(folder / "x/deep/d.opus")
    (folder / "notes.txt").write_text("no audio\n")
    return folder


def files_in(folder: Path) -> list[str]:
    """All files below a folder, half-written ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# What each command does


def test_a_folder_of_mixed_formats_is_encoded_and_keeps_its_structure(
    run: Run, recordings: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    result = run("encode", recordings, "-o", tmp_path / "codes", "--model", model)
    assert result.code == 0
    assert result.err == ""
    assert re.fullmatch(
        r"Encoded 5 of 5 files: 7\.\d s of audio in [\d.]+ s, [\d.]+ audio-seconds per second\n", result.out
    )
    assert files_in(tmp_path / "codes") == [f"{name}.codes" for name in MIXED]
    for name in MIXED:
        codes = Codes.load(tmp_path / "codes" / f"{name}.codes")
        assert codes == codec.encode(recordings / name)
        assert codes.source_sampling_rate == Audio.read(recordings / name).sampling_rate


def test_decoding_gives_back_every_recording_at_its_true_length(
    run: Run, recordings: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    run("encode", recordings, "-o", tmp_path / "codes", "-m", model)
    result = run("decode", tmp_path / "codes", "-o", tmp_path / "out", "-m", model)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Decoded 5 of 5 files: 7.")
    outputs = ["a.flac.wav", "a.wav", "x/b.ogg.wav", "x/deep/c.mp3.wav", "x/deep/d.opus.wav"]
    assert files_in(tmp_path / "out") == outputs
    for name, output in zip(MIXED, outputs, strict=True):
        audio = Audio.read(tmp_path / "out" / output)
        assert audio.sampling_rate == 16000
        assert audio.num_samples == Audio.read(recordings / name).resample(16000).num_samples
        expected = codec.decode(codec.encode(recordings / name))
        assert np.abs(audio.samples - expected.samples.clip(-1, 1)).max() < 1e-3  # 16 bits, and batches


def test_reconstructing_is_encoding_and_decoding(run: Run, recordings: Path, model: Path, tmp_path: Path) -> None:
    pattern = recordings / "**/*.[fm]*"  # a.flac, x/deep/c.mp3
    assert run("encode", pattern, "-o", tmp_path / "codes", "-m", model).code == 0
    assert run("decode", tmp_path / "codes", "-o", tmp_path / "two", "-m", model).code == 0
    result = run("reconstruct", pattern, "-o", tmp_path / "one", "-m", model)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Reconstructed 2 of 2 files: 4.0 s of audio in ")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two") == ["a.flac.wav", "x/deep/c.mp3.wav"]
    for name in files_in(tmp_path / "one"):
        assert Audio.read(tmp_path / "one" / name) == Audio.read(tmp_path / "two" / name)


def test_one_input_may_name_its_output(run: Run, model: Path, tmp_path: Path) -> None:
    codes, audio = tmp_path / "new" / "hello.safetensors", tmp_path / "hello.flac"
    assert run("encode", SPEECH, "-o", codes, "-m", model).code == 0
    assert len(Codes.load(codes)) == 150
    assert run("decode", codes, "-o", audio, "-m", model).code == 0  # codes under any suffix, FLAC by its name
    assert Audio.read(audio).num_samples == 47840
    assert audio.read_bytes()[:4] == b"fLaC"


def test_audio_is_written_in_the_format_asked_for(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("reconstruct", SPEECH, "-o", tmp_path / "out", "--format", "ogg", "-m", model)
    assert result.code == 0
    assert files_in(tmp_path / "out") == [f"{SPEECH.name}.ogg"]
    assert (tmp_path / "out" / f"{SPEECH.name}.ogg").read_bytes()[:4] == b"OggS"


def test_codes_do_not_depend_on_the_batch(run: Run, recordings: Path, model: Path, tmp_path: Path) -> None:
    run("encode", recordings, "-o", tmp_path / "large", "-m", model)
    run("encode", recordings, "-o", tmp_path / "small", "-m", model, "--batch-seconds", 1)
    for name in files_in(tmp_path / "large"):
        assert Codes.load(tmp_path / "large" / name) == Codes.load(tmp_path / "small" / name)


def test_half_precision_is_a_matter_of_an_option(run: Run, model: Path, tmp_path: Path) -> None:
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "-m", model, "--dtype", "bfloat16").code == 0
    assert run("encode", SPEECH, "-o", tmp_path / "b.codes", "-m", model).code == 0
    half, full = Codes.load(tmp_path / "a.codes"), Codes.load(tmp_path / "b.codes")
    assert half.codec == full.codec
    assert 0 < (half.ids != full.ids).mean() < 1  # so the option had an effect, and not too much of one


def test_an_original_checkpoint_is_converted_and_then_encodes(run: Run, tmp_path: Path) -> None:
    source = write_original_folder(random_original().state_dict(), tmp_path / "original")
    layers, heads = TINY_OPTIONS["num_semantic_layers"], TINY_OPTIONS["num_attention_heads"]
    sizes = ("--num-semantic-layers", layers, "--num-attention-heads", heads)
    result = run("convert", source, tmp_path / "new", *sizes)
    assert (result.code, result.err) == (0, "")
    kept, folded, dropped = (int(re.search(rf"{word} +(\d+)", result.out)[1]) for word in ("kept", "folded", "dropped"))
    assert min(kept, folded, dropped) > 0
    assert "layer" in result.out[result.out.index("dropped") :]  # and why: layers that are never used, for one
    assert f"written to {tmp_path / 'new'}" in result.out
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "-m", tmp_path / "new").code == 0
    assert len(Codes.load(tmp_path / "a.codes")) == 150

    again = run("convert", source, tmp_path / "new", *sizes)
    assert again.code == 1
    assert "exists and holds config.json" in again.err
    assert run("convert", source, tmp_path / "new", *sizes, "--overwrite").code == 0


# What xcodec info tells


def test_info_tells_what_a_recording_is(run: Run, recordings: Path) -> None:
    result = run("info", recordings / "a.wav")
    assert result.code == 0
    for text in ("WAV, PCM_16", "44,100 Hz", "channels │ 2", "2.0 s (88,200 samples)", "352.8 kB"):
        assert text in result.out
    assert json.loads(run("info", "--json", recordings / "a.wav").out) == {
        "subject": str(recordings / "a.wav"),
        "kind": "audio",
        "format": "WAV",
        "subtype": "PCM_16",
        "sampling_rate": 44100,
        "num_channels": 2,
        "duration": 2.0,
        "num_samples": 88200,
        "num_bytes": (recordings / "a.wav").stat().st_size,
    }


def test_info_tells_what_codes_are(run: Run, recordings: Path, codec: Codec, tmp_path: Path) -> None:
    codes = codec.encode(recordings / "a.wav")
    codes.save(tmp_path / "a.anything")
    result = run("info", tmp_path / "a.anything")
    assert result.code == 0
    for text in ("1 x 101", "2.0 s", "0.8 kbit/s", "from a recording at 44,100 Hz", "65,536", "tiny"):
        assert text in result.out
    told = json.loads(run("info", "--json", tmp_path / "a.anything").out)
    assert (told["kind"], told["shape"], told["bitrate"], told["frame_rate"]) == ("codes", [1, 101], 800.0, 50.0)
    assert (told["sampling_rate"], told["source_sampling_rate"], told["num_samples"]) == (16000, 44100, 32000)
    assert CodecIdentity(told["model"], told["config_hash"], told["weights_hash"]) == codec.identity


def test_info_tells_of_codes_whose_model_is_not_known(run: Run, tmp_path: Path) -> None:
    Codes(np.arange(8), 50.0, 2500, 16000, 16000, (65536,)).save(tmp_path / "a.codes")
    assert "not known" in run("info", tmp_path / "a.codes").out
    assert json.loads(run("info", "--json", tmp_path / "a.codes").out)["model"] is None


def test_info_tells_what_a_model_is(run: Run, model: Path, codec: Codec) -> None:
    result = run("info", model)
    assert (result.code, result.err) == (0, "")
    for text in ("semantic_encoder", "acoustic_decoder", "16,000 Hz", "50 per second", "0.8 kbit/s", "not known"):
        assert text in result.out
    told = json.loads(run("info", "--json", model).out)
    parameters = sum(parameter.numel() for parameter in codec.model.parameters())
    assert (told["kind"], told["model_type"]) == ("model", "xcodec2")
    assert told["num_parameters"] == sum(told["parameters"].values()) == parameters
    assert told["weights_hash"] == codec.identity.weights_hash
    assert told["licence"] is None
    assert told["kernel"] in kernels.variants()


def test_info_tells_at_which_rate_a_model_writes(run: Run, model: Path, tmp_path: Path) -> None:
    assert json.loads(run("info", "--json", model).out)["output_sampling_rate"] == 16_000
    assert "writes" not in run("info", model).out
    builders.tiny_model(decoder_hop_length=480).save_pretrained(tmp_path)
    Xcodec2FeatureExtractor().save_pretrained(tmp_path)
    assert "16,000 Hz, mono; writes 24,000 Hz" in run("info", tmp_path).out


def test_info_reads_the_licence_off_the_model_card(run: Run, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny", seed=0)
    (folder / "README.md").write_text(
        "---\nlicense: cc0-1.0\ntags: [speech]\n---\n\n# Tiny\n\nlicense: not this line\n"
    )
    assert json.loads(run("info", "--json", folder).out)["licence"] == "cc0-1.0"


def test_info_tells_of_several_things_and_of_those_that_are_not_there(run: Run, recordings: Path) -> None:
    result = run("info", "--json", recordings / "a.wav", "gone.wav", "gone.codes", recordings / "x/b.ogg")
    assert result.code == 1
    assert [json.loads(line)["format"] for line in result.out.splitlines()] == ["WAV", "OGG"]
    assert result.err == "error: gone.wav: no such file\nerror: gone.codes: no such file\n"


def test_info_finds_what_a_folder_or_a_pattern_holds(run: Run, recordings: Path, model: Path, codec: Codec) -> None:
    result = run("info", "--json", recordings)
    assert (result.code, result.err) == (0, "")
    assert [json.loads(line)["subject"] for line in result.out.splitlines()] == [str(recordings / x) for x in MIXED]

    result = run("info", "--json", recordings / "*.[fw]*", model.parent / "t*")
    assert (result.code, result.err) == (0, "")
    kinds = [(told["subject"], told["kind"]) for told in map(json.loads, result.out.splitlines())]
    assert kinds == [
        (str(recordings / "a.flac"), "audio"),
        (str(recordings / "a.wav"), "audio"),
        (str(model), "model"),  # a folder with config.json
    ]


def test_info_looks_into_folders_for_codes_too(run: Run, tmp_path: Path) -> None:
    codes = Codes(np.arange(8), 50.0, 2500, 16000, 16000, (65536,))
    (tmp_path / "x").mkdir()
    codes.save(tmp_path / "x" / "a.codes")
    codes.save(tmp_path / "x" / "b.other")
    for subject in (tmp_path, tmp_path / "*", tmp_path / "**/*.codes"):
        assert json.loads(run("info", "--json", subject).out)["subject"] == str(tmp_path / "x" / "a.codes")
    codes.save(tmp_path / "c.safetensors")
    assert json.loads(run("info", "--json", tmp_path / "c.safetensors").out)["kind"] == "codes"


def test_info_says_where_there_is_nothing_to_tell(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("info", tmp_path / "empty", tmp_path / "*.codes")
    assert result.code == 1
    assert result.err == (
        f"error: {tmp_path}/empty: holds neither config.json, nor recordings or .codes files\n"
        f"error: {tmp_path}/*.codes: no file matches this pattern\n"
    )


@pytest.mark.parametrize("name", ["epoch=5.ckpt", "model.pt", "model.safetensors"])
def test_info_points_a_checkpoint_to_its_folder_or_to_convert(run: Run, model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes((model / "model.safetensors").read_bytes())
    advice = "without config.json; convert it first: xcodec convert"
    assert run("info", tmp_path / name).err == (
        f"error: {tmp_path}/{name} is a checkpoint {advice} {tmp_path}/{name} NEW_FOLDER\n"
    )
    assert run("info", tmp_path).err == f"error: {tmp_path}: holds {name} {advice} {tmp_path} NEW_FOLDER\n"
    result = run("info", model / "model.safetensors")
    assert result.err == (
        f"error: {model}/model.safetensors is a file of a checkpoint; give its folder: xcodec info {model}\n"
    )


# What can go wrong


@pytest.mark.parametrize("length", [250, 5000])
def test_a_name_that_is_too_long_fails_alone(run: Run, model: Path, tmp_path: Path, length: int) -> None:
    (tmp_path / "a.wav").write_bytes(SPEECH.read_bytes())
    long = tmp_path / ("b" * (length - 4) + ".wav")
    if length < 255:  # there is room for the recording's name, and none for its codes'
        long.write_bytes(SPEECH.read_bytes())
    result = run("encode", long, tmp_path / "a.wav", "-o", tmp_path / "out", "-m", model)
    assert result.code == 1
    assert files_in(tmp_path / "out") == ["a.wav.codes"]
    assert result.out.startswith("Encoded 1 of 2 files: ")
    assert result.err.startswith("error: ")
    assert result.err.endswith("File name too long\n")
    assert result.err.count("\n") == 1
    assert run("info", tmp_path / ("b" * 5000)).code == 1


def test_a_tilde_before_no_user_is_part_of_a_name(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~no-such-user.wav").write_bytes(SPEECH.read_bytes())
    assert run("encode", "~no-such-user.wav", "-o", "~no-such-folder/", "-m", model).code == 0
    assert files_in(tmp_path) == ["~no-such-folder/~no-such-user.wav.codes", "~no-such-user.wav"]


def test_messages_speak_of_options_and_not_of_arguments(run: Run, model: Path, tmp_path: Path) -> None:
    layers, heads = TINY_OPTIONS["num_semantic_layers"], TINY_OPTIONS["num_attention_heads"]
    sizes = ("--num-semantic-layers", layers, "--num-attention-heads", heads)
    tensors = {k: v for k, v in random_original().state_dict().items() if not k.startswith("semantic_model")}
    source = write_original_folder(tensors, tmp_path / "original")
    lacking = run("convert", source, tmp_path / "new", *sizes)
    assert lacking.code == 1
    assert "give --semantic-encoder, a folder of facebook/w2v-bert-2.0" in lacking.err
    complete = run("convert", model, tmp_path / "new", "--semantic-encoder", model)
    assert "--semantic-encoder is for original checkpoints" in complete.err
    taken = run("convert", model, model)
    assert "--overwrite" in taken.err
    for message in (lacking.err, complete.err, taken.err):
        assert not re.search(r"`semantic_encoder`|=True|=False", message)


def test_one_bad_file_is_named_at_the_end_and_the_others_are_done(run: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.wav", "c.wav"):
        (folder / name).write_bytes(SPEECH.read_bytes())
    (folder / "b.wav").write_text("this is no audio at all, whatever its name says")
    (folder / "d.wav").write_bytes(SPEECH.read_bytes()[:50_000])
    (folder / "e.wav").touch()
    result = run("encode", folder, tmp_path / "gone.wav", "-o", tmp_path / "out", "-m", model)
    assert result.code == 1
    assert files_in(tmp_path / "out") == ["a.wav.codes", "c.wav.codes"]
    assert result.out.startswith("Encoded 2 of 6 files: 6.0 s of audio in ")
    lines = result.err.splitlines()
    assert len(lines) == 4
    assert lines[0] == f"error: {tmp_path}/gone.wav: no such file or folder"
    assert lines[1].startswith(f"error: {folder}/b.wav: is not audio")
    assert lines[2].startswith(f"error: {folder}/d.wav: is cut short")
    assert lines[3].startswith(f"error: {folder}/e.wav: is empty")


def test_one_bad_file_of_codes_does_not_keep_the_others_from_being_decoded(
    run: Run, model: Path, codec: Codec, other_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    folder.mkdir()
    codec.encode(SPEECH).save(folder / "a.codes")
    Codec.from_pretrained(other_model).encode(SPEECH).save(folder / "b.codes")
    (folder / "c.codes").write_text("no codes")
    codec.encode(SPEECH).save(folder / "d.codes")
    result = run("decode", folder, "-o", tmp_path / "out", "-m", model)
    assert result.code == 1
    assert files_in(tmp_path / "out") == ["a.wav", "d.wav"]
    errors = sorted(result.err.splitlines())
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {folder}/b.codes: the codes were made by other (config ")
    assert errors[0].endswith("load the model that made them, or give --ignore-identity to decode them nevertheless")
    assert errors[1].startswith(f"error: {folder}/c.codes: is ")

    result = run("decode", folder / "b.codes", "-o", tmp_path / "out", "-m", model, "--ignore-identity")
    assert (result.code, result.err) == (0, "")
    assert Audio.read(tmp_path / "out/b.wav").num_samples == 47840


def test_outputs_that_exist_are_kept_unless_they_may_be_replaced(run: Run, model: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "out/first.wav.codes", tmp_path / "out/second.wav.codes"
    for name in ("first.wav", "second.wav"):
        (tmp_path / name).write_bytes(SPEECH.read_bytes())
    first.parent.mkdir()
    first.write_text("precious")
    arguments = ("encode", tmp_path / "first.wav", tmp_path / "second.wav", "-o", tmp_path / "out", "-m", model)

    result = run(*arguments)
    assert result.code == 1
    assert result.err == f"error: {first}: exists already; give --overwrite to replace it\n"
    assert result.out.startswith("Encoded 1 of 2 files: ")
    assert first.read_text() == "precious"
    assert len(Codes.load(second)) == 150

    result = run(*arguments)
    assert (result.code, result.out) == (1, "Encoded 0 of 2 files\n")
    assert run(*arguments, "--overwrite").code == 0
    assert Codes.load(first) == Codes.load(second)


def test_two_inputs_of_one_output_are_named_before_anything_is_done(run: Run, model: Path, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(SPEECH.read_bytes())
    result = run("encode", tmp_path / "x", tmp_path / "y", "-o", tmp_path / "out", "-m", model)
    assert result.code == 1
    assert (
        f"{tmp_path}/x/a.wav and {tmp_path}/y/a.wav would both be written to {tmp_path}/out/a.wav.codes" in result.err
    )
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_replaced(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(SPEECH.read_bytes())
    for output in (tmp_path, tmp_path / "a.wav"):
        result = run("reconstruct", tmp_path / "a.wav", "-o", output, "-m", model, "--overwrite")
        assert result.code == 1
        assert "is an input and would be replaced; nothing was done" in result.err
    assert (tmp_path / "a.wav").read_bytes() == SPEECH.read_bytes()


def test_a_folder_that_cannot_be_made_is_named(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("encode", SPEECH, "-o", tmp_path / "file/sub/", "-m", model)
    assert result.code == 1
    assert result.err == f"error: {tmp_path}/file/sub/{SPEECH.name}.codes: {tmp_path}/file/sub: Not a directory\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["encode", SPEECH], "Missing option '--output'"),
        (["encode", "-o", "out"], "Missing argument 'INPUT'"),
        (["encode", SPEECH, "-o", "out", "--dtype", "int4"], "'float32', 'bfloat16', 'float16'"),
        (["encode", SPEECH, "-o", "out", "--batch-seconds", "0"], "should be greater than or equal to 1"),
        (["reconstruct", SPEECH, "-o", "out.m4a"], ".wav, .flac, .ogg, .opus, .mp3"),
        (["reconstruct", SPEECH, "-o", "out.wav", "--format", "flac"], "--format says flac"),
        (["recode", SPEECH], "No such command 'recode'"),
        (["encode", "", "-o", "out"], "Invalid value for 'INPUT': a name is empty; for the current folder give ."),
        (["decode", "a.codes", "", "-o", "out"], "'INPUT': a name is empty"),
        (["encode", SPEECH, "-o", ""], "'--output' / '-o': a name is empty"),
        (["reconstruct", SPEECH, "-o", "out", "-m", ""], "'--model' / '-m': a name is empty"),
        (["info", ""], "'PATH_OR_ID': a name is empty"),
        (["convert", "", "out"], "'SOURCE': a name is empty"),
        (["convert", "in", ""], "'DESTINATION': a name is empty"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_was_expected(run: Run, arguments: list[object], reason: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert reason in " ".join(result.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "no-such-folder/model"], "checkpoint not found: no folder "),
        (["--model", SPEECH], " is a file; expected a folder with config.json"),
        (["--device", "tpu:7"], "error: --device 'tpu:7' cannot be used here"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_clear_line(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], reason: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    options = options if "--model" in options else [*options, "--model", model]
    result = run("encode", SPEECH, "-o", tmp_path / "out", *options)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert reason in result.err
    assert not (tmp_path / "out").exists()


def test_what_fails_for_want_of_memory_says_what_to_do() -> None:
    message = "out of memory; give a smaller --batch-seconds, a shorter recording, or another --device"
    assert explain(MemoryError()) == message
    allocator = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you ..."
    )
    assert explain(allocator) == message


def test_a_fault_of_our_own_is_one_line_and_its_traceback_there_for_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(AudioError("a.wav: is\nempty")) == "a.wav: is empty"
    assert explain(OSError(28, "No space left on device", "a.codes")) == "a.codes: No space left on device"
    assert explain(KeyError("x")).startswith(
        "KeyError: 'x'. This should not happen; please report it with what XCODEC_"
    )
    monkeypatch.setenv("XCODEC_TRACEBACK", "1")
    with pytest.raises(KeyError):
        explain(KeyError("x"))


def test_a_file_that_upsets_its_batch_is_found_and_the_others_are_done(tmp_path: Path) -> None:
    def negate(_: object, numbers: list[Audio], on_progress: Callable[[float], object]) -> list[Audio]:
        if any(audio.samples.max() > 0.9 for audio in numbers):
            raise ValueError("too loud")
        return [Audio(-audio.samples, audio.sampling_rate) for audio in numbers]

    def read(_: object, job: jobs.Job) -> Audio:
        return Audio.read(job.source)

    for name, level in (("a.wav", 0.1), ("b.wav", 1.0), ("c.wav", 0.2)):
        Audio(np.full(16000, level, np.float32), 16000).save(tmp_path / name)
    work = [jobs.Job(tmp_path / name, tmp_path / "out" / name) for name in ("a.wav", "b.wav", "c.wav")]
    with pytest.raises(jobs.typer.Exit):
        jobs.Run("Negated", read, lambda: None, negate, 60.0).do(work, [])  # type: ignore[arg-type,return-value]
    assert files_in(tmp_path / "out") == ["a.wav", "c.wav"]


# The program around the commands


@pytest.mark.parametrize("command", COMMANDS)
def test_help_reads_like_a_manual(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    text = " ".join(result.out.replace("│", " ").split())
    assert text.startswith(f"Usage: xcodec {command} [OPTIONS]") or f"{command} [OPTIONS]" in text
    for part in ("Examples", f" xcodec {command} ", "Exit codes", "130: interrupted"):
        assert part in text
    options = {
        "encode": "--batch-seconds",
        "decode": "--ignore-identity",
        "reconstruct": "--format",
        "say": "--voice-text",
    }
    assert options.get(command, "--") in text


def test_a_shell_completes_commands_once_that_is_installed(tmp_path: Path) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("needs apt-get install bash")
    program = f"{sys.executable} -m xcodec"
    environment = os.environ | {"HOME": str(tmp_path)}
    # Not the last command, or bash would become the program, and would no longer be there to be recognised.
    installed = subprocess.run(
        [bash, "-c", f"{program} --install-completion && true"], env=environment, capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    assert "bash completion installed in" in installed.stdout
    assert "xcodec" in (tmp_path / ".bashrc").read_text()
    [script] = (tmp_path / ".bash_completions").iterdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/xcodec").write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    (tmp_path / "bin/xcodec").chmod(0o755)
    typed = 'COMP_WORDS=(xcodec re) COMP_CWORD=1; _xcodec_completion xcodec; echo "${COMPREPLY[@]}"'
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    completed = subprocess.run(
        [bash, "-c", f"source {script}; {typed}"], env=environment, capture_output=True, text=True, check=True
    )
    assert completed.stdout == "reconstruct\n"


def test_the_help_of_the_program_names_every_command(run: Run) -> None:
    text = run("--help").out
    assert all(re.search(rf"^│ {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert all(re.search(rf"^ +{code} ", text, re.MULTILINE) for code in (0, 1, 2, 130))


def test_the_tests_do_not_depend_on_the_terminal_that_they_are_run_in() -> None:
    unlike_ours = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "50", "PY_COLORS": "1", "TERMINAL_WIDTH": "50"}
    chosen = ["-k", "help_reads or wrong_usage or info_tells_what_a_recording_is", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", __file__, *chosen]
    shown = subprocess.run(command, capture_output=True, text=True, env=unlike_ours, cwd=Path(__file__).parent.parent)
    assert shown.returncode == 0, shown.stdout


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").out == f"xcodec {xcodec.__version__}\n"


def test_help_loads_neither_torch_nor_numpy() -> None:
    code = """
import sys
from xcodec.cli import main
sys.argv = ["xcodec", "encode", "--help"]
try:
    main()
except SystemExit as end:
    print(end.code, sorted({"torch", "transformers", "numpy", "soundfile"} & set(sys.modules)), file=sys.stderr)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr == "0 []\n"


def test_a_full_disk_is_reported_and_leaves_nothing_half_written(model: Path, tmp_path: Path) -> None:
    Audio(np.zeros(8, np.float32), 16000).save(tmp_path / "a.wav")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # bytes: 8 samples fit, 47,840 do not

    arguments = ("reconstruct", tmp_path / "a.wav", SPEECH, "-o", tmp_path / "out", "-m", model)
    result = finish(start(*arguments, preexec_fn=small_files))
    assert result.code == 1
    assert result.out.startswith("Reconstructed 1 of 2 files")
    assert result.err.startswith(f"error: {tmp_path}/out/{SPEECH.name}: cannot be written: ")
    assert result.err.count("\n") == 1
    assert files_in(tmp_path / "out") == ["a.wav"]


def test_names_that_are_markup_or_no_text_do_no_harm(codec: Codec, tmp_path: Path) -> None:
    odd = os.fsdecode(b"[red]\xff.codes")  # rich's markup, and a byte that is not UTF-8
    codec.encode(SPEECH).save(tmp_path / odd)
    result = finish(start("info", tmp_path / odd, tmp_path / odd.replace("codes", "wav")))
    assert result.code == 1
    assert f"{tmp_path}/[red]\\udcff.codes" in result.out
    assert "1 x 150" in result.out
    assert result.err == f"error: {tmp_path}/[red]\\udcff.wav: no file matches this pattern\n"


def test_ctrl_c_ends_in_one_line_and_leaves_whole_files(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(200):
        (tmp_path / f"in/{i:03}.wav").write_bytes(SPEECH.read_bytes())
    process = start("encode", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--batch-seconds", 1)
    wait_until(lambda: list(tmp_path.glob("out/*.codes")), process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.code, result.out, result.err) == (130, "", "interrupted; every file that was written is whole\n")
    written = files_in(tmp_path / "out")
    assert 0 < len(written) < 200
    assert all(len(Codes.load(tmp_path / "out" / name)) == 150 for name in written)


def test_a_terminal_shows_progress_with_its_speed(model: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    process = start("encode", SPEECH, "-o", tmp_path, "-m", model, stderr=child)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
    os.close(parent)
    assert process.wait(timeout=PATIENCE) == 0
    assert b"1/1" in shown
    assert re.search(rb"3\.0 s of audio, [\d.]+ audio-s/s", shown)
    assert process.stdout is not None
    assert process.stdout.read().startswith("Encoded 1 of 1 file: 3.0 s of audio in ")
    process.stdout.close()


def test_long_recordings_are_cut_on_request(run, model, tmp_path):
    options = ("-m", model, "--max-memory", "64MiB")
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "--segment-seconds", 1.2, *options).code == 0
    codes = Codes.load(tmp_path / "a.codes")
    assert len(codes) == 150
    assert len(codes.segment_starts) >= 3
    told = json.loads(run("info", "--json", tmp_path / "a.codes").out)
    assert told["segment_starts"] == list(codes.segment_starts)
    assert run("decode", tmp_path / "a.codes", "-o", tmp_path / "a.wav", *options).code == 0
    assert run("reconstruct", SPEECH, "-o", tmp_path / "b.wav", "--segment-seconds", 1.2, *options).code == 0
    assert run("encode", SPEECH, "-o", tmp_path / "whole.codes", *options).code == 0
    assert run("decode", tmp_path / "whole.codes", "-o", tmp_path / "c.wav", "--segment-seconds", 1, *options).code == 0
    assert Audio.read(tmp_path / "c.wav").num_samples == Audio.read(tmp_path / "b.wav").num_samples
    assert Audio.read(tmp_path / "a.wav") == Audio.read(tmp_path / "b.wav")


def test_sizes_and_seconds_that_are_none_are_wrong_usage(run, model, tmp_path):
    for option, value, expected in [
        ("--max-memory", "lots", "'lots': expected a number of bytes"),
        ("--segment-seconds", "0.2", "should be greater than or equal to 1"),
    ]:
        result = run("encode", SPEECH, "-o", tmp_path, "-m", model, option, value)
        assert result.code == 2
        assert expected in " ".join(result.err.replace("\u2502", " ").split())
