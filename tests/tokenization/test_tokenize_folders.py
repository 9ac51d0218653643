"""Folders, patterns and lists of recordings: nothing is left out without a word."""

import gzip
import io
import os
import sys
from pathlib import Path

import fsspec
import pytest

import builders
from tokenize_builders import entries, faults, write_clips
from xcodec.audio import MEDIA_SUFFIXES
from xcodec.errors import InputError, MissingExtraError

SPEECH = builders.RECORDINGS[1]


def refusal(*inputs: object) -> str:
    with pytest.raises(InputError) as caught:
        entries(*inputs)
    return str(caught.value)


def test_a_folder_gives_its_recordings_with_ids_that_keep_the_suffix(tmp_path: Path) -> None:
    write_clips(tmp_path, 4)
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / ".hidden.wav").write_text("")
    found = entries(tmp_path)
    assert [row["id"] for row in found] == ["a/clip-000.wav", "a/clip-002.wav", "b/clip-001.wav", "b/clip-003.wav"]
    assert [row["uri"] for row in found] == [str(tmp_path / row["id"]) for row in found]


def test_a_link_that_leads_back_up_is_not_followed(tmp_path: Path) -> None:
    write_clips(tmp_path, 1)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [row["id"] for row in entries(tmp_path)] == ["a/clip-000.wav"]


def test_a_pattern_gives_what_it_matches(tmp_path: Path) -> None:
    write_clips(tmp_path, 4)
    assert [row["id"] for row in entries(tmp_path / "**/*1.wav")] == ["clip-001.wav"]
    assert [row["id"] for row in entries(tmp_path / "*/*.wav")][:2] == ["a/clip-000.wav", "a/clip-002.wav"]


def test_a_folder_far_away_gives_urls() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/speech/x/a.wav", SPEECH.read_bytes())
    [row] = entries("memory://speech")
    assert (row["id"], row["uri"]) == ("x/a.wav", "memory:///speech/x/a.wav")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path}/none: no such file or folder, and no file matches it as a pattern"
    (tmp_path / "empty").mkdir()
    assert "no file ending in .wav" in refusal(tmp_path / "empty")
    assert "cannot be understood as a URL" in refusal("nosuch://bucket/x")


def test_a_protocol_whose_library_is_missing_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match="gcsfs"):
        entries("gs://bucket/x")


def test_a_pattern_of_several_kinds_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\n")
    (tmp_path / "a.wav").write_text("")
    assert "matches files of several kinds" in refusal(tmp_path / "a.*")


def test_every_media_file_in_a_folder_is_an_entry_whether_it_can_be_read_or_not(tmp_path: Path) -> None:
    names = sorted([f"{number:03}{suffix}" for number, suffix in enumerate(MEDIA_SUFFIXES)] + ["UPPER.M4A"])
    for name in (*names, "notes.txt", "cover.jpg", "._000.wav"):
        (tmp_path / name).write_bytes(b"x")
    assert [row["id"] for row in entries(tmp_path)] == names


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write_clips(tmp_path, 2)
    (tmp_path / "b").chmod(0)
    try:
        [(where, reason)] = faults(tmp_path).items()
    finally:
        (tmp_path / "b").chmod(0o755)
    assert (where, reason) == ("b/", "cannot be read: Permission denied; what is in it is not known")


def test_a_pattern_searches_the_folders_that_it_matches(tmp_path: Path) -> None:
    write_clips(tmp_path, 4)
    (tmp_path / "x.m4a").write_bytes(b"x")
    (tmp_path / "transcripts.txt").write_text("text")
    expected = ["x.m4a", "a/clip-000.wav", "a/clip-002.wav", "b/clip-001.wav", "b/clip-003.wav"]
    assert [row["id"] for row in entries(tmp_path / "*")] == expected
    assert sorted(row["id"] for row in entries(tmp_path / "**")) == sorted(expected)
    assert [row["id"] for row in entries(tmp_path / "[b]")] == ["b/clip-001.wav", "b/clip-003.wav"]


# Lists


@pytest.mark.parametrize("name", ["list.txt", "list.lst", "list.list", "list.txt.gz"])
def test_a_list_of_paths_gives_these(name: str, tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfa.wav\n\n  sub/b c.flac\r\n" + b'{"path": "d.wav", "start": 1.5, "text": "so"}\n/e.wav'
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found = entries(tmp_path / name)
    assert [row["id"] for row in found] == ["a.wav", "sub/b c.flac", "d.wav#1.5", "/e.wav"]
    assert [row["uri"] for row in found] == [
        f"{tmp_path}/a.wav",
        f"{tmp_path}/sub/b c.flac",
        f"{tmp_path}/d.wav",
        "/e.wav",
    ]
    assert [row["text"] for row in found] == [None, None, "so", None]


def test_a_path_in_a_list_may_hold_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.wav\n")
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"12345")
    [row] = entries(tmp_path / "list.txt")
    assert (row["id"], row["file_size"]) == ("caf\\xe9.wav", 5)


def test_kaldi_says_ids_and_paths_and_its_commands_are_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (tmp_path / "wav.scp").write_text(
        f"utt-1 a b.wav\nutt-2\t/x/c.flac\nutt-3 touch {made}; cat a.wav |\nutt-4\nutt-5 /x/raw.ark:123\n"
    )
    good = [row for row in entries(tmp_path / "wav.scp") if row["fault"] is None]
    assert [(row["id"], row["uri"]) for row in good] == [("utt-1", f"{tmp_path}/a b.wav"), ("utt-2", "/x/c.flac")]
    reasons = list(faults(tmp_path / "wav.scp").values())
    assert "row 3 names a command" in reasons[0]
    assert "which is not run" in reasons[0]
    assert "row 4 is 'utt-4', expected an id and a path" in reasons[1]
    assert "row 5 points into a Kaldi archive" in reasons[2]
    assert not made.exists()


def test_standard_input_is_a_list_of_paths_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = b'./a.wav\n{"path": "b.wav", "start": 2, "text": "so"}\n{broken\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    found = entries("-")
    assert [row["id"] for row in found] == ["./a.wav", "b.wav#2.0", "standard input:3"]
    assert [row["uri"] for row in found[:2]] == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"]
    assert "is not JSON" in found[2]["fault"]
