"""What people name on the command line becomes pairs of a file to read and a file to write."""

import os
from functools import partial
from pathlib import Path

import pytest

from xcodec.cli.failures import Failure
from xcodec.cli.paths import Job, audio_name, codes_name, find_files, names_a_file, plan
from xcodec.errors import AudioError, InputError

SUFFIXES = (".wav", ".flac")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty files, which is the current one."""
    for name in ("rec/b.wav", "rec/a.FLAC", "rec/x/c.wav", "rec/x/deep/d.wav", "rec/y/c.wav", "rec/notes.txt", "e.wav"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*inputs: str, without: Path | None = None) -> list[tuple[str, str]]:
    files, failures = find_files(inputs, SUFFIXES, without)
    assert not failures
    return [(str(file.source), str(file.relative)) for file in files]


def targets(*inputs: str, output: str = "out") -> dict[str, str]:
    jobs, failures = plan(inputs, output, SUFFIXES, codes_name, overwrite=False)
    assert not failures
    return {str(job.source): str(job.target) for job in jobs}


def test_a_folder_is_searched_to_any_depth_in_order_of_name() -> None:
    names = ["a.FLAC", "b.wav", "x/c.wav", "x/deep/d.wav", "y/c.wav"]
    assert found("rec") == [(f"rec/{name}", name) for name in names]
    assert found("rec/") == found("rec")
    assert [relative for _, relative in found(str(Path("rec").absolute()))] == names


def test_what_is_hidden_in_a_folder_is_left_out(folder: Path) -> None:
    (folder / "rec/.cache").mkdir()
    (folder / "rec/.cache/f.wav").touch()
    (folder / "rec/._b.wav").touch()
    assert len(found("rec")) == 5
    assert found("rec/._b.wav") == [("rec/._b.wav", "._b.wav")]  # named, so it is meant


def test_a_file_that_is_named_is_taken_whatever_its_suffix() -> None:
    assert found("rec/notes.txt", "rec/x/c.wav") == [("rec/notes.txt", "notes.txt"), ("rec/x/c.wav", "c.wav")]


def test_a_pattern_keeps_the_structure_below_its_fixed_part() -> None:
    assert found("rec/*/c.wav") == [("rec/x/c.wav", "x/c.wav"), ("rec/y/c.wav", "y/c.wav")]
    assert found("rec/**/*.wav") == [(f"rec/{name}", name) for name in ("b.wav", "x/c.wav", "x/deep/d.wav", "y/c.wav")]
    assert found("rec/?") == [(f"rec/{name}", name) for name in ("x/c.wav", "x/deep/d.wav", "y/c.wav")]
    assert found("*.wav") == [("e.wav", "e.wav")]
    assert found(str(Path("r*/x/c.wav").absolute())) == [(str(Path("rec/x/c.wav").absolute()), "rec/x/c.wav")]
    assert found("rec/*/../b.wav") == [("rec/x/../b.wav", "b.wav"), ("rec/y/../b.wav", "b.wav")]  # never out of OUT


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "take[1].wav").touch()
    assert found("take[1].wav") == [("take[1].wav", "take[1].wav")]


def test_home_is_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "rec"))
    assert found("~/b.wav", "~/x") == [
        (f"{folder}/rec/b.wav", "b.wav"),
        (f"{folder}/rec/x/c.wav", "c.wav"),
        (f"{folder}/rec/x/deep/d.wav", "deep/d.wav"),
    ]


def test_links_to_folders_are_followed_once(folder: Path) -> None:
    (folder / "rec/x/up").symlink_to(folder / "rec")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/f.wav").touch()
    (folder / "rec/z").symlink_to(folder / "elsewhere")
    assert [relative for _, relative in found("rec")] == [
        "a.FLAC",
        "b.wav",
        "x/c.wav",
        "x/deep/d.wav",
        "y/c.wav",
        "z/f.wav",
    ]


def test_the_output_folder_is_no_input_of_its_own(folder: Path) -> None:
    (folder / "rec/out").mkdir()
    (folder / "rec/out/b.wav").touch()
    assert len(found("rec")) == 6
    assert len(found("rec", without=Path("rec/out"))) == 5
    assert len(found("rec", without=Path("rec"))) == 6


def test_what_yields_nothing_is_a_failure_and_the_rest_is_found(folder: Path) -> None:
    (folder / "empty").mkdir()
    files, failures = find_files(["nothing.wav", "e.wav", "empty", "*.mp3"], SUFFIXES)
    assert [str(file.source) for file in files] == ["e.wav"]
    assert [str(failure) for failure in failures] == [
        "nothing.wav: no such file or folder",
        "empty: no file ending in .wav, .flac in this folder or below it",
        "*.mp3: no file matches this pattern",
    ]


def test_a_failure_names_its_subject_once() -> None:
    assert str(Failure("a.wav", "is empty")) == "a.wav: is empty"
    assert str(Failure.of(Path("a.wav"), AudioError("is empty", subject="a.wav"))) == "a.wav: is empty"
    assert str(Failure.of("a.wav", AudioError("is empty", subject="b.wav"))) == "a.wav: b.wav: is empty"
    assert str(Failure.of("a.wav", OSError(21, "Is a directory", "a.wav"))) == "a.wav: Is a directory"


def test_codes_keep_the_suffix_of_their_recording() -> None:
    assert codes_name("a.wav") == "a.wav.codes"
    assert codes_name("a.flac") == "a.flac.codes"


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("a.wav.codes", "a.wav"),
        ("a.codes", "a.wav"),
        ("a.flac.codes", "a.flac.wav"),
        ("a.wav", "a.wav"),
        ("A.WAV", "A.WAV"),
        ("a.mp3", "a.mp3.wav"),
        ("a.bin", "a.bin.wav"),
    ],
)
def test_audio_is_named_after_what_it_came_from(name: str, audio: str) -> None:
    assert audio_name(name, ".wav") == audio


def test_outputs_stand_where_inputs_stood() -> None:
    assert targets("rec", "e.wav") == {
        "rec/a.FLAC": "out/a.FLAC.codes",
        "rec/b.wav": "out/b.wav.codes",
        "rec/x/c.wav": "out/x/c.wav.codes",
        "rec/x/deep/d.wav": "out/x/deep/d.wav.codes",
        "rec/y/c.wav": "out/y/c.wav.codes",
        "e.wav": "out/e.wav.codes",
    }


def test_one_input_file_may_name_its_output(folder: Path) -> None:
    assert targets("e.wav", output="e.codes") == {"e.wav": "e.codes"}
    assert targets("e.wav", output="new/e.codes") == {"e.wav": "new/e.codes"}
    assert targets("e.wav", output="new") == {"e.wav": "new/e.wav.codes"}
    assert targets("e.wav", output="new.codes/") == {"e.wav": "new.codes/e.wav.codes"}
    (folder / "v1.0").mkdir()
    assert targets("e.wav", output="v1.0") == {"e.wav": "v1.0/e.wav.codes"}
    assert not names_a_file(["e.wav", "rec/b.wav"], "e.codes")
    assert not names_a_file(["rec"], "e.codes")


def test_the_same_input_named_twice_is_done_once() -> None:
    assert list(targets("rec/x/c.wav", "rec/x/c.wav", str(Path("rec/x/c.wav").absolute()))) == ["rec/x/c.wav"]
    assert len(targets("rec", "rec/*", "rec/**")) == 6  # the pattern also finds notes.txt


def test_two_inputs_of_one_output_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"^rec/x/c\.wav and rec/y/c\.wav would both be written to out/c\.wav\.codes;"):
        targets("rec/x/c.wav", "rec/y/c.wav")
    with pytest.raises(InputError, match=r"^rec/x/c\.wav and rec/y/c\.wav would both be written to out/c\.wav\.codes;"):
        targets("rec/x", "rec/y")


def test_codes_that_would_become_one_recording_are_refused_by_name(folder: Path) -> None:
    for name in ("a.codes", "a.wav.codes"):
        (folder / name).touch()
    with pytest.raises(InputError, match=r"^a\.codes and a\.wav\.codes would both be written to out/a\.wav;"):
        plan(["*.codes"], "out", (".codes",), partial(audio_name, suffix=".wav"), overwrite=False)


def test_outputs_that_exist_are_failures_unless_they_may_be_replaced(folder: Path) -> None:
    (folder / "out/x").mkdir(parents=True)
    (folder / "out/x/c.wav.codes").touch()
    jobs, failures = plan(["rec"], "out", SUFFIXES, codes_name, overwrite=False)
    assert len(jobs) == 4
    assert [str(failure) for failure in failures] == [
        "out/x/c.wav.codes: exists already; give --overwrite to replace it"
    ]
    jobs, failures = plan(["rec"], "out", SUFFIXES, codes_name, overwrite=True)
    assert len(jobs) == 5
    assert not failures


@pytest.mark.parametrize("output", ["rec", "link"])
def test_an_input_is_never_replaced(folder: Path, output: str) -> None:
    (folder / "link").symlink_to(folder / "rec")
    with pytest.raises(InputError, match=r"^rec/b\.wav: is an input and would be replaced;"):
        plan(["rec"], output, SUFFIXES, partial(audio_name, suffix=".wav"), overwrite=True)
    jobs, _ = plan(["rec"], output, SUFFIXES, codes_name, overwrite=True)  # codes beside their recordings are fine
    assert Job(Path("rec/b.wav"), Path(output, "b.wav.codes")) in jobs


def test_several_outputs_need_a_folder() -> None:
    with pytest.raises(InputError, match=r"^e\.wav: is a file; several outputs need a folder$"):
        targets("rec", output="e.wav")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "rec/x").chmod(0)
    files, failures = find_files(["rec"], SUFFIXES)
    (folder / "rec/x").chmod(0o700)
    assert len(files) == 3
    assert [str(failure) for failure in failures] == ["rec/x: Permission denied"]
