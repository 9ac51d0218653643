"""What can go wrong in a command, and what it then says and leaves."""

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.core import TyperOption
from typer.main import get_command

from builders import save_tiny
from cli_builders import SPEECH, files_in, finish, run, start
from original import TINY_OPTIONS, random_original, write_original_folder
from xcodec.audio import Audio
from xcodec.cli import jobs
from xcodec.cli.app import app
from xcodec.cli.failures import explain, in_options
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import AudioError, CodesError, InputError, XcodecError


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.mark.parametrize("length", [250, 5000])
def test_a_name_that_is_too_long_fails_alone(model: Path, tmp_path: Path, length: int) -> None:
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


def test_a_tilde_before_no_user_is_part_of_a_name(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~no-such-user.wav").write_bytes(SPEECH.read_bytes())
    assert run("encode", "~no-such-user.wav", "-o", "~no-such-folder/", "-m", model).code == 0
    assert files_in(tmp_path) == ["~no-such-folder/~no-such-user.wav.codes", "~no-such-user.wav"]


def test_messages_speak_of_options_and_not_of_arguments(model: Path, tmp_path: Path) -> None:
    layers, heads = TINY_OPTIONS["num_semantic_layers"], TINY_OPTIONS["num_attention_heads"]
    sizes = ("--num-semantic-layers", layers, "--num-attention-heads", heads)
    tensors = {k: v for k, v in random_original().state_dict().items() if not k.startswith("semantic_model")}
    source = write_original_folder(tensors, tmp_path / "original")
    lacking = run("convert", source, tmp_path / "new", *sizes)
    assert lacking.code == 1
    assert "give --semantic-encoder FOLDER, of facebook/w2v-bert-2.0" in lacking.err
    complete = run("convert", model, tmp_path / "new", "--semantic-encoder", model)
    assert f"--semantic-encoder '{model}': is for original checkpoints" in complete.err
    taken = run("convert", model, model)
    assert "--overwrite" in taken.err
    for message in (lacking.err, complete.err, taken.err):
        assert not re.search(r"semantic_encoder|=True|=False", message)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("mini has 0.8 kbit/s", argument="bandwidth", value=3.0), "--bandwidth 3: mini has 0.8 kbit/s"),
        (InputError("cannot be used", argument="device", value="tpu"), "--device 'tpu': cannot be used"),
        (InputError("is not known", argument="padding", value=3.0), "padding=3.0: is not known"),
        (
            CodesError("are another's", subject="a.codes", remedy="give check_identity=False to decode them"),
            "a.codes: are another's; give --ignore-identity to decode them",
        ),
        (
            AudioError("is long", remedy="raise longest=2.5, or use padding=True"),
            "is long; raise longest=2.5, or use padding=True",
        ),
    ],
)
def test_an_error_speaks_of_the_options_that_the_command_has(error: XcodecError, said: str) -> None:
    command: Any = get_command(app)
    options = {each.name: each for each in command.commands["decode"].params if isinstance(each, TyperOption)}
    assert str(in_options(error, options)) == said


def test_one_bad_file_is_named_at_the_end_and_the_others_are_done(model: Path, tmp_path: Path) -> None:
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
    model: Path, codec: Codec, other_model: Path, tmp_path: Path
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


def test_outputs_that_exist_are_kept_unless_they_may_be_replaced(model: Path, tmp_path: Path) -> None:
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


def test_two_inputs_of_one_output_are_named_before_anything_is_done(model: Path, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(SPEECH.read_bytes())
    result = run("encode", tmp_path / "x", tmp_path / "y", "-o", tmp_path / "out", "-m", model)
    assert result.code == 1
    assert (
        f"{tmp_path}/x/a.wav and {tmp_path}/y/a.wav would both be written to {tmp_path}/out/a.wav.codes" in result.err
    )
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(SPEECH.read_bytes())
    for output in (tmp_path, tmp_path / "a.wav"):
        result = run("reconstruct", tmp_path / "a.wav", "-o", output, "-m", model, "--overwrite")
        assert result.code == 1
        assert "is an input and would be replaced; nothing was done" in result.err
    assert (tmp_path / "a.wav").read_bytes() == SPEECH.read_bytes()


def test_a_folder_that_cannot_be_made_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("encode", SPEECH, "-o", tmp_path / "file/sub/", "-m", model)
    assert result.code == 1
    assert result.err == f"error: {tmp_path}/file/sub/{SPEECH.name}.codes: {tmp_path}/file/sub: Not a directory\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "no-such-folder/model"], "checkpoint not found: no folder "),
        (["--model", SPEECH], "is no file that torch.save wrote, or a damaged one"),
        (["--device", "tpu:7"], "error: --device 'tpu:7': cannot be used here"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_clear_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], reason: str
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
