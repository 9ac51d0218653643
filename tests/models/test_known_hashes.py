"""A big checkpoint is hashed once, and again as soon as it may be another."""

import os
import stat
import time
from pathlib import Path

import pytest

from xcodec.models.known_hashes import KnownHashes

HOUR_AGO = time.time() - 3600
FIRST, SECOND = "a" * 64, "b" * 64


class Hashing:
    """Gives a hash, and counts how often it was asked for it."""

    def __init__(self, found: str = FIRST) -> None:
        self.found, self.times = found, 0

    def __call__(self) -> str:
        self.times += 1
        return self.found


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nobody has touched for an hour, by its own times and by the clock."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"numbers")
    os.utime(path, (HOUR_AGO, HOUR_AGO))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)  # the time of its inode is no one's to set
    return path


def test_a_hash_is_computed_once_for_all_processes(weights, tmp_path):
    hashing = Hashing()
    for _ in range(3):
        assert KnownHashes(tmp_path / "known", least_bytes=0).get([weights], [], hashing) == FIRST
    assert hashing.times == 1


@pytest.mark.parametrize("change", ["numbers", "time", "place", "unused"])
def test_what_may_be_another_checkpoint_is_hashed_again(weights, tmp_path, change):
    known = KnownHashes(tmp_path / "known", least_bytes=0)
    known.get([weights], [], Hashing())
    path, unused = weights, []
    if change == "numbers":  # as many, and said to be as old
        before = weights.stat()
        weights.write_bytes(b"NUMBERS")
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(weights, (HOUR_AGO + 1, HOUR_AGO + 1))
    elif change == "place":
        path = weights.rename(tmp_path / "other.safetensors")
    else:
        unused = ["fc.bias"]
    assert known.get([path], unused, Hashing(SECOND)) == SECOND


def test_what_was_changed_a_moment_ago_is_not_kept(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"numbers")
    known, hashing = KnownHashes(tmp_path / "known", least_bytes=0), Hashing()
    known.get([weights], [], hashing)
    known.get([weights], [], hashing)
    assert hashing.times == 2
    assert not (tmp_path / "known").exists()


def test_what_changes_while_it_is_hashed_is_not_kept(weights, tmp_path):
    known = KnownHashes(tmp_path / "known", least_bytes=0)

    def compute() -> str:
        weights.write_bytes(b"another's")
        return FIRST

    assert known.get([weights], [], compute) == FIRST
    assert not (tmp_path / "known").exists()


def test_a_damaged_note_is_replaced(weights, tmp_path):
    known = KnownHashes(tmp_path / "known", least_bytes=0)
    known.get([weights], [], Hashing())
    (note,) = (tmp_path / "known").iterdir()
    note.write_bytes(b"\xff" + FIRST.encode()[:-1])
    assert known.get([weights], [], Hashing(SECOND)) == SECOND
    assert note.read_text() == SECOND


def test_small_checkpoints_and_folders_that_cannot_be_written_keep_nothing(weights, tmp_path):
    assert KnownHashes(tmp_path / "known").get([weights], [], Hashing()) == FIRST
    assert not (tmp_path / "known").exists()
    (tmp_path / "file").touch(stat.S_IRUSR)
    assert KnownHashes(tmp_path / "file" / "known", least_bytes=0).get([weights], [], Hashing()) == FIRST
    assert KnownHashes(None, least_bytes=0).get([weights], [], Hashing()) == FIRST


def test_the_environment_says_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XCODEC_CACHE", "")
    assert KnownHashes.of_user().folder is None
    monkeypatch.setenv("XCODEC_CACHE", str(tmp_path / "own"))
    assert KnownHashes.of_user().folder == tmp_path / "own" / "hashes"
    monkeypatch.delenv("XCODEC_CACHE")
    assert KnownHashes.of_user().folder == tmp_path / "xcodec" / "hashes"
