"""Outputs that are no folder here: the same bytes, each recording once, whatever the store and its network do."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tokenize_builders import job_for, run, write_clips
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization import patience
from xcodec.tokenization.engines.local import run_locally
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.patience import StoreError, patiently
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.run import prepare, tokenize
from xcodec.tokenization.sinks import write_shard
from xcodec.tokenization.status import read_runs
from xcodec.tokenization.stores import BucketStore, FolderStore, lease, store_of
from xcodec.tokenization.tokens import Tokens


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 8)
    (folder / "empty.wav").touch()
    return folder


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()


def codes_of(place: str | Path) -> dict[str, bytes]:
    """The files of codes of an output."""
    store = store_of(place)
    return {name: store.read(name) for name in store.names("codes")}


def copied(folder: Path, url: str) -> BucketStore:
    """An output in a folder, put into a store as it is."""
    place = Location.of(url)
    for name in ("plan.json", "plan.parquet", *FolderStore(folder).names("codes")):
        place.fs.pipe_file(f"{url}/{name}", (folder / name).read_bytes())
    store = store_of(url)
    assert isinstance(store, BucketStore)
    return store


# The same output, wherever it is


def test_an_output_in_a_store_holds_the_same_bytes_and_is_resumed(
    model: Path, codec: Codec, clips: Path, finished: Path
) -> None:
    job = job_for(model, "memory://bucket/tokens")
    status = run(job, codec, clips, part=(0, 2))
    store = store_of("memory://bucket/tokens")
    assert 0 < len(codes_of(job.folder)) < len(codes_of(finished))
    status = run(job, codec, clips)
    assert (status.standing.done, status.standing.failed, status.standing.left) == (8, 1, 0)
    assert codes_of(job.folder) == codes_of(finished)
    for name in ("plan.parquet", "failures.parquet"):
        assert store.read(name) == (finished / name).read_bytes()
    assert [each.state for each in read_runs(store)] == ["finished"] * 2
    assert not [name for name in fsspec.filesystem("memory").ls("/bucket/tokens", detail=False) if "lock" in name]
    assert [row.id for row in Tokens("memory://bucket/tokens").rows()] == [row.id for row in Tokens(finished).rows()]


def test_failures_in_a_store_are_tried_again(model: Path, codec: Codec, tmp_path: Path) -> None:
    write_clips(tmp_path, 2)
    away = (tmp_path / "a/clip-000.wav").rename(tmp_path / "away")
    (tmp_path / "a/clip-000.wav").symlink_to(away)
    job = job_for(model, "memory://bucket/tokens")
    prepare(job, codec, Inputs([str(tmp_path / "a"), str(tmp_path / "b")]), 1.0)
    away.rename(tmp_path / "elsewhere")
    assert run(job, codec).standing.failed == 1
    (tmp_path / "elsewhere").rename(away)
    assert run(job, codec, retry_failed=True).standing.done == 2


def test_what_is_half_of_a_shard_is_named_and_refused(model: Path, codec: Codec, clips: Path, finished: Path) -> None:
    store = copied(finished, "memory://bucket/tokens")
    whole = store.read("codes/0000001.parquet")
    store.location.fs.pipe_file(store.called("codes/0000001.parquet"), whole[: len(whole) // 2])
    job = job_for(model, str(store))
    with pytest.raises(InputError, match=r"memory://.*/codes/0000001.parquet is damaged, or no file of codes"):
        run(job, codec, clips)
    store.remove("codes/0000001.parquet")
    run(job, codec, clips)
    assert codes_of(str(store)) == codes_of(finished)


def test_a_shard_that_another_run_has_written_meanwhile_stays(finished: Path) -> None:
    store = copied(finished, "memory://bucket/tokens")
    plan, before = Plan(store), codes_of(str(store))
    rows = plan.shard(0)
    failures = {i: [_failure(row)] for i, row in enumerate(rows.to_pylist())}
    header = write_shard(store, plan.output(0), 0, plan.fingerprint, rows, plan.carried, failures)
    assert header.rows > 0  # it is what was there
    assert codes_of(str(store)) == before
    with pytest.raises(InputError, match=r"codes/0000001.parquet: is no file of this plan"):
        write_shard(store, plan.output(1), 0, plan.fingerprint, rows, plan.carried, failures)


def _failure(row: dict[str, object]) -> object:
    from xcodec.tokenization.headers import Failure
    from xcodec.tokenization.outcomes import Outcome

    return Outcome(str(row["id"]), Failure(str(row["id"]), str(row["uri"]), "read", "the network was away"))


def test_the_footer_of_a_file_is_read_without_the_rest(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xcodec.tokenization.stores import bucket

    monkeypatch.setattr(bucket, "_TAIL", 64)  # shorter than any footer
    store = copied(finished, "memory://bucket/tokens")
    assert Plan(store).survey().done == Plan(finished).survey().done


def test_places_that_cannot_hold_an_output_are_refused(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"https://example.org/x: can be read, but not written to"):
        store_of("https://example.org/x")
    with pytest.raises(InputError, match=r"hf://datasets/a/b: would be a commit for every file"):
        store_of("hf://datasets/a/b")
    local = store_of(f"file://{tmp_path}/out")
    assert isinstance(local, FolderStore)
    assert local.folder == tmp_path / "out"


# Two runs at once


def test_a_lease_is_taken_over_from_the_dead_and_the_silent_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    monkeypatch.setattr(lease, "SILENCE", 3.0)
    monkeypatch.setattr(lease, "_LOOK", 0.1)
    store = store_of("memory://bucket")
    with store.lock("x") as first:
        assert first.take(wait=False)
        with store.lock("x") as second:
            assert not second.take(wait=False)
            assert second.holder == f"another run (process {os.getpid()} on {os.uname().nodename})"
    assert not store.exists("x")  # it was let go
    seen = {"processes": lease._processes(), "pid": 2**22 + 1, "token": "", "beat": 0}  # beyond the numbers there are
    for holder in (json.dumps(seen), json.dumps(seen | {"processes": "of another machine"}), "a run of old"):
        assert store.create("x", holder.encode())
        with store.lock("x") as third:
            assert third.take(wait=False)


def test_a_run_on_a_part_that_another_does_is_refused(
    model: Path, codec: Codec, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    monkeypatch.setattr(lease, "_LOOK", 0.1)
    store = copied(finished, "memory://bucket/tokens")
    with store.lock(".run-0-of-1.lock") as lock:
        assert lock.take(wait=False)
        with pytest.raises(InputError, match=r"another run \(process \d+ on .*\) works on it; wait for it to end"):
            tokenize(job_for(model, str(store)), Plan(store), codec, run_locally)


def test_of_two_plans_the_second_is_refused(model: Path, codec: Codec, clips: Path) -> None:
    job = job_for(model, "memory://bucket/tokens")
    prepare(job, codec, Inputs([str(clips)]))
    with pytest.raises(InputError, match="the input has changed since it was planned"):
        prepare(job, codec, Inputs([str(clips / "a")]))


# Patience


def test_what_may_pass_is_tried_again_and_what_does_not_is_told_at_once() -> None:
    tried: list[int] = []

    def fail(error: Exception, times: int) -> int:
        tried.append(0)
        if len(tried) <= times:
            raise error
        return len(tried)

    assert patiently("s3://x", lambda: fail(OSError("Please reduce your request rate"), 2), [0.0] * 3) == 3
    tried.clear()
    with pytest.raises(StoreError, match=r"s3://x: the store refuses: Please reduce"):
        patiently("s3://x", lambda: fail(OSError("Please reduce your request rate"), 9), [0.0] * 3)
    assert len(tried) == 4
    tried.clear()
    with pytest.raises(StoreError, match=r"s3://x: the store refuses: Access Denied"):
        patiently("s3://x", lambda: fail(PermissionError("Access Denied"), 9), [0.0] * 3)
    assert len(tried) == 1
    assert 200 < sum(patience.WAITS) < 400  # minutes, as docs/tokenize.md says
