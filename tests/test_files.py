"""What killed runs leave half-written goes, and what a living run is writing stays."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xcodec import files
from xcodec.files import folder_written_whole, remove_stale_parts, scratch_file, written_whole

WRITER = """
import sys
from pathlib import Path
from xcodec.files import folder_written_whole, written_whole

write = folder_written_whole if sys.argv[1] == "folder" else written_whole
with write(Path(sys.argv[2])) as part:
    (part / "half" if sys.argv[1] == "folder" else part).write_text("half")
    print(part, flush=True)
    sys.stdin.read()
"""


@contextmanager
def writer(kind: str, target: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has written half of a file or a folder, and the half."""
    command = [sys.executable, "-c", WRITER, kind, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_run_left_goes_when_the_next_one_writes_there(tmp_path: Path, kind: str) -> None:
    with writer(kind, tmp_path / "out") as (process, part):
        process.kill()
        process.wait()
        assert part.exists()
    with written_whole(tmp_path / "next") as fresh:
        fresh.write_text("whole")
        assert list(tmp_path.iterdir()) == [fresh]
    assert list(tmp_path.iterdir()) == [tmp_path / "next"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_living_run_is_writing_stays_however_old_it_is(tmp_path: Path, kind: str) -> None:
    with writer(kind, tmp_path / "out") as (process, part):
        age(part, days=30)
        remove_stale_parts(tmp_path)
        assert part.exists()
        process.communicate("")
        assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_another_machine_left_goes_after_a_day_without_a_word(tmp_path: Path) -> None:
    fresh, old = (tmp_path / f".xcodec-00000000-{digit * 32}.part" for digit in "ab")
    folder = tmp_path / f".xcodec-00000000-{'c' * 32}.part"
    folder.mkdir()
    for path in (fresh, old, folder / "written an hour ago"):
        path.touch()
    age(old, days=1.1)
    age(folder, days=1.1)
    remove_stale_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, folder]


@pytest.mark.parametrize("name", [".a.part", "a.part", ".1234.part", ".xcodec.part", f".xcodec-{'0' * 8}-1.part"])
def test_what_other_programs_call_a_part_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    age(tmp_path / name, days=1000)
    remove_stale_parts(tmp_path)
    assert (tmp_path / name).exists()


def test_a_folder_that_was_being_replaced_gets_its_name_back(tmp_path: Path) -> None:
    retired = tmp_path / f".xcodec-{files._machine()}-{'a' * 32}.my-model.old"
    retired.mkdir()
    (retired / "weights").touch()
    (tmp_path / f".xcodec-{files._machine()}-{'a' * 32}.part").mkdir()
    remove_stale_parts(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "my-model", tmp_path / "my-model" / "weights"]
    retired.mkdir()  # and of one that has been replaced already, the old one goes
    remove_stale_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "my-model"]


def test_without_locks_a_part_is_kept_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with scratch_file(tmp_path) as part:
        remove_stale_parts(tmp_path)
        assert part.exists()
        age(part, days=1.1)
        remove_stale_parts(tmp_path)
        assert not part.exists()


def half_replace(folder: Path) -> None:
    with folder_written_whole(folder) as part:
        (part / "file").write_text("half")
        raise RuntimeError


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with folder_written_whole(tmp_path / "out") as part:
            (part / "file").write_text(content)
    with pytest.raises(RuntimeError):
        half_replace(tmp_path / "out")
    assert [path.read_text() for path in tmp_path.rglob("file")] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_there_is_nothing_to_clean(tmp_path: Path) -> None:
    remove_stale_parts(tmp_path / "nowhere")
