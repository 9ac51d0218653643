"""The plan of a data set, and what an output says of itself: nothing foreign counts as done, and nothing is lost."""

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import builders
from tokenize_builders import counts, job_for, output_of, run, write_clips
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.files import scratch_file
from xcodec.tokenization.duplicates import DuplicateFinder
from xcodec.tokenization.engines.local import run_locally
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.lock import Lock, ScratchFolder
from xcodec.tokenization.plan import Plan, Sharding
from xcodec.tokenization.run import prepare, tokenize
from xcodec.tokenization.status import Standing
from xcodec.tokenization.tokens import Tokens


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """A finished output of several shards to spoil."""
    assert len(Plan(finished).done()) > 2
    return Path(shutil.copytree(finished, tmp_path / "output"))


def refusal(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return str(caught.value)


def test_of_recordings_with_one_id_the_first_is_done_and_the_others_are_failures(
    model: Path, codec: Codec, clips: Path, tmp_path: Path
) -> None:
    names = [str(path) for path in sorted(clips.rglob("*.wav"))[:4]]
    rows = [{"path": names[0], "id": "x"}, {"path": names[1], "id": "x"}, {"path": names[2], "id": "x#2"}]
    rows += [{"path": names[0], "id": "x", "start": 0.1}, {"path": names[3], "id": "y"}, {"path": "", "id": "y"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = job_for(model, tmp_path / "out")
    run(job, codec, tmp_path / "m.jsonl")
    plan = Plan(job.folder)
    assert [row.id for row in Tokens(job.folder).rows()] == ["x", "x#2", "y"]
    reasons = {failure.id: failure.error for header in plan.survey().done.values() for failure in header.failures}
    assert reasons == {
        "x##2": f"has the id of a recording before it, 'x'; that one is {names[0]}. Give each its own",
        "x##3": f"has the id of a recording before it, 'x'; that one is {names[0]}. Give each its own",
        "y##2": "row 6 has no path",
    }
    assert (plan.fingerprint.rows, plan.fingerprint.faults) == (6, 3)
    run(job, codec, tmp_path / "m.jsonl")  # the same again is the same plan


def test_duplicates_are_found_among_many() -> None:
    ids = [f"{i}" for i in range(100_000)] + ["7", "99999", "7"]
    with DuplicateFinder() as finder:
        for first in range(0, len(ids), 1000):
            finder.add(ids[first : first + 1000])
        assert finder.found(lambda: ids) == {"7": 3, "99999": 2}


def test_ids_whose_hashes_meet_are_no_duplicates() -> None:
    class Colliding(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

    ids = [Colliding("a"), Colliding("b")]
    with DuplicateFinder() as finder:
        finder.add(ids)
        assert finder.found(lambda: ids) == {}


def test_shards_hold_so_many_hours(model: Path, codec: Codec, tmp_path: Path) -> None:
    rows = [{"path": f"{i}.wav", "duration": 900.0} for i in range(10)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = prepare(job_for(model, tmp_path / "out"), codec, Inputs([str(tmp_path / "m.jsonl")]), 0.5)
    assert plan.fingerprint.shards == 5
    assert plan.shard(2)["id"].to_pylist() == ["4.wav#0.0+900.0", "5.wav#0.0+900.0"]
    assert plan.shard_sizes[0].tolist() == [2] * 5


def test_an_empty_input_is_refused(model: Path, codec: Codec, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path\n")
    assert refusal(run, job_for(model, tmp_path / "out"), codec, tmp_path / "m.csv") == "the input holds no recordings"
    assert "nothing is planned here yet; give the input" in refusal(run, job_for(model, tmp_path / "out"), codec)


def test_another_input_is_refused_and_the_change_is_named(model: Path, codec: Codec, tmp_path: Path) -> None:
    folder, job = tmp_path / "in", job_for(model, tmp_path / "out")
    write_clips(folder, 3)
    run(job, codec, folder)
    run(job, codec, folder)  # the same is welcome
    assert "was planned with shard_hours=0.001, not 2" in refusal(run, job, codec, folder, hours=2.0)
    (folder / "a/clip-0015.wav").write_bytes((folder / "b/clip-001.wav").read_bytes())
    message = refusal(run, job, codec, folder)
    assert "it had 3 recordings and has 4; recording 2 was 'a/clip-002.wav' and is 'a/clip-0015.wav'" in message
    (folder / "a/clip-0015.wav").rename(folder / "c.wav")
    assert "recording 4 ('c.wav') is new" in refusal(run, job, codec, folder)
    (folder / "c.wav").unlink()
    (folder / "b/clip-001.wav").unlink()
    assert "recording 3 ('b/clip-001.wav') is gone" in refusal(run, job, codec, folder)
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": "x", "text": "x"}))
    assert "the columns differ in text" in refusal(run, job, codec, tmp_path / "m.jsonl")
    assert run(job, codec).standing.done == 3  # what was planned goes on without its input


def test_a_recording_that_was_replaced_by_another_length_is_a_change(model: Path, codec: Codec, tmp_path: Path) -> None:
    folder, job = tmp_path / "in", job_for(model, tmp_path / "out")
    write_clips(folder, 1)
    run(job, codec, folder)
    (folder / "a/clip-000.wav").write_bytes(builders.RECORDINGS[0].read_bytes())
    assert "recording 1 ('a/clip-000.wav'): seconds was " in refusal(run, job, codec, folder)


def test_another_codec_is_refused_and_the_change_is_named(
    model: Path, codec: Codec, clips: Path, finished: Path, tmp_path: Path
) -> None:
    other = Codec.from_pretrained(builders.save_tiny(tmp_path / "other", seed=1))
    message = refusal(run, job_for(model, finished), other, clips)
    assert "was begun with the codec tiny, which is not this one: weights_hash was" in message
    assert "config_hash" not in message
    half = Codec.from_pretrained(model, dtype="bfloat16")
    assert "dtype was 'float32' and is 'bfloat16'" in refusal(run, job_for(model, finished), half, clips)


def test_damaged_plans_and_outputs_are_refused(finished: Path, tmp_path: Path) -> None:
    assert "holds no plan.json, so it is no output of `xcodec tokenize`" in refusal(Plan, tmp_path)
    (tmp_path / "plan.json").write_text("{")
    assert "plan.json: is damaged" in refusal(Plan, tmp_path)
    stored = json.loads((finished / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(stored | {"format_version": 99}))
    assert "is of format version 99; this xcodec reads up to 3" in refusal(Plan, tmp_path)
    for name in ("plan.json", "plan.parquet"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes/0000000.parquet").write_text("no Parquet")
    plan = Plan(tmp_path)
    assert "0000000.parquet is damaged, or no file of codes" in refusal(plan.survey().check)
    assert Standing.of(plan).left == plan.fingerprint.rows


# What is of the plan, and what is not


def test_codes_of_another_plan_are_no_codes_of_this_one(
    model: Path, codec: Codec, clips: Path, output: Path, tmp_path: Path
) -> None:
    write_clips(tmp_path / "other", 9, seed=1)
    (output / "plan.json").unlink()
    job = job_for(model, output)
    message = refusal(run, job, codec, tmp_path / "other")
    assert "files among the codes are not of this plan" in message
    assert f"{output}/codes/0000000.parquet belongs to another plan" in message
    assert not Plan.exists(output)
    assert run(job, codec, clips).seconds == 0.0  # with its own input everything is done


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0000000.parquet", "is shard 1, under the name of another"),
        ("0999999.parquet", "has the name of a shard beyond the "),
        ("notes.parquet", "has no name of a shard"),
    ],
)
def test_files_under_other_names_are_named(name: str, said: str, model: Path, codec: Codec, output: Path) -> None:
    shutil.copy(output / "codes/0000001.parquet", output / "codes" / name)
    message = refusal(run, job_for(model, output), codec)
    assert f"1 files among the codes are not of this plan: {output}/codes/{name} {said}" in message
    assert "delete them, and run again: what is missing is done anew" in message
    (output / "codes" / name).unlink()
    assert run(job_for(model, output), codec).standing.left == 0


def test_a_damaged_plan_is_refused_and_planned_again_it_is_the_same(
    model: Path, codec: Codec, clips: Path, output: Path
) -> None:
    path = output / "plan.parquet"
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:100] + b"?" + whole[101:], b""):
        path.write_bytes(damaged)
        assert "delete plan.json and give the same input again" in refusal(Plan, output)
    path.unlink()
    assert "cannot be read (No such file or directory); put it back from a copy" in refusal(Plan, output)
    (output / "plan.json").unlink()
    assert run(job_for(model, output), codec, clips).seconds == 0.0
    assert path.read_bytes() == whole


def test_what_is_left_at_the_end_is_counted_on_the_disk(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    def remove_the_first(status: object) -> None:
        (tmp_path / "codes/0000000.parquet").unlink(missing_ok=True)

    status = run(job_for(model, tmp_path), codec, clips, on_status=remove_the_first)
    assert status.standing.left == len(Plan(tmp_path).shard(0)) > 0


def test_folders_that_were_deleted_are_made_anew_or_named(
    model: Path, codec: Codec, clips: Path, output: Path, finished: Path
) -> None:
    shutil.rmtree(output / "codes")
    run(job_for(model, output), codec)
    assert output_of(output) == output_of(finished)
    shutil.rmtree(output / "codes")

    def remove_everything(status: object) -> None:
        shutil.rmtree(output, ignore_errors=True)

    message = refusal(run, job_for(model, output), codec, on_status=remove_everything)
    assert message == f"{output}: the output was deleted while it was made; start it again"


def test_rows_that_name_no_recording_are_failures_and_all_else_is_done(
    model: Path, codec: Codec, clips: Path, tmp_path: Path
) -> None:
    rows = [{"path": str(clips / "a/clip-000.wav"), "id": name} for name in ("../../evil", "x" * 300, "good")]
    lines = [*map(json.dumps, rows), '{"path": "a", "id": "deep", "n": ' + "[" * 50 + "]" * 50 + "}", "broken"]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    status = run(job_for(model, tmp_path / "out"), codec, tmp_path / "m.jsonl", clips / "b", hours=0.0001)
    failures = {row["id"]: row["stage"] for row in pq.read_table(tmp_path / "out/failures.parquet").to_pylist()}
    assert failures == {f"{tmp_path / 'm.jsonl'}:4": "plan", f"{tmp_path / 'm.jsonl'}:5": "plan"}
    assert (status.standing.done, status.standing.failed, status.standing.unreadable) == (9, 2, 2)
    assert Plan(tmp_path / "out").fingerprint.faults == 2
    assert set(counts(tmp_path / "out").values()) == {1}


# Input that changes after it was planned


def test_a_recording_that_was_replaced_after_planning_is_a_failure(model: Path, codec: Codec, tmp_path: Path) -> None:
    write_clips(tmp_path / "in", 2)
    job = job_for(model, tmp_path / "out")
    prepare(job, codec, Inputs([str(tmp_path / "in")]), 1.0)
    (tmp_path / "in/a/clip-000.wav").write_bytes(builders.RECORDINGS[0].read_bytes())
    run(job, codec)
    [failed] = pq.read_table(tmp_path / "out/failures.parquet").to_pylist()
    assert (failed["id"], failed["stage"]) == ("a/clip-000.wav", "read")
    assert failed["error"].startswith("has been replaced since it was planned (it had ")


def test_a_plan_with_hashes_holds_whatever_the_times_of_files(model: Path, codec: Codec, tmp_path: Path) -> None:
    write_clips(tmp_path / "in", 2)
    job = job_for(model, tmp_path / "out")
    names = [str(tmp_path / "in")]
    assert prepare(job, codec, Inputs(names, hashed=True), 1.0).fingerprint.hashed
    os.utime(tmp_path / "in/a/clip-000.wav", ns=(0, 0))
    prepare(job, codec, Inputs(names), 1.0)  # the same again, hashed as it was
    assert run(job, codec).standing.done == 2
    prepare(job_for(model, tmp_path / "plain"), codec, Inputs(names), 1.0)
    message = refusal(prepare, job_for(model, tmp_path / "plain"), codec, Inputs(names, hashed=True))
    assert "was planned without hashes; leave --verify out" in message


# Several runs at once


def test_of_two_runs_that_plan_different_input_at_once_one_is_refused(
    model: Path, codec: Codec, tmp_path: Path
) -> None:
    for i in range(2):
        write_clips(tmp_path / f"in-{i}", 200, seed=i)
        (tmp_path / f"in-{i}/a/clip-000.wav").rename(tmp_path / f"in-{i}/a/only-{i}.wav")
    job = job_for(model, tmp_path / "out")

    def plan(number: int) -> Plan | str:
        try:
            return prepare(job, codec, Inputs([str(tmp_path / f"in-{number}")]), 0.01)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(plan, range(2)))
    [refused] = [each for each in told if isinstance(each, str)]
    assert "the input has changed since it was planned" in refused
    [planned] = [each for each in told if isinstance(each, Plan)]
    assert planned.fingerprint == Plan(tmp_path / "out").fingerprint


def test_a_part_that_is_being_done_is_not_begun_again(model: Path, codec: Codec, output: Path) -> None:
    plan, job = Plan(output), job_for(model, output)
    with Lock(output / ".run-0-of-1.lock") as lock:
        assert lock.take(wait=False)
        lock.holder = "another run (process 1 on elsewhere)"
        message = refusal(tokenize, job, plan, codec, run_locally)
        assert message == f"{output}: another run (process 1 on elsewhere) works on it; wait for it to end"
        assert tokenize(job, plan, codec, run_locally, part=(0, 2)).standing.left == 0
    assert tokenize(job, plan, codec, run_locally).standing.left == 0


def test_what_killed_runs_have_left_is_removed_and_not_what_others_write(
    model: Path, codec: Codec, output: Path
) -> None:
    """A part is named by the kernel that it was made under, and is a dead run's where nobody holds a lock on it."""
    with scratch_file(output / "codes") as written:
        left = [
            folder / f"{written.stem[:-1]}{'0' if written.stem[-1] != '0' else '1'}.part"
            for folder in (output, output / "codes")
        ]
        for path in left:
            path.touch()
        tokenize(job_for(model, output), Plan(output), codec, run_locally)
        assert written.exists()
        assert not any(path.exists() for path in left)


def test_folders_of_readers_that_were_killed_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held, abandoned = ScratchFolder(), ScratchFolder()
    abandoned._lock.close()  # as the system does where a process is killed
    with ScratchFolder() as third:
        assert set(tmp_path.iterdir()) == {held.path, third.path}
    held.close()
    assert not list(tmp_path.iterdir())


# How large shards are


def test_shards_grow_with_the_input_and_small_ones_stay_an_hour() -> None:
    quarters = np.full(400_000, 900.0)
    sizes = np.bincount(Sharding(None).numbers(quarters)) / 4
    assert set(sizes[:1000]) == {1}
    assert len(sizes) == pytest.approx(5600, rel=0.05)
    assert sizes.max() == pytest.approx(100, rel=0.05)
    assert len(set(Sharding(1.0).numbers(quarters[:20_000]))) == 5000


def test_an_output_that_was_planned_in_hours_is_gone_on_with_as_it_was(
    model: Path, codec: Codec, tmp_path: Path
) -> None:
    write_clips(tmp_path / "in", 2)
    job, inputs = job_for(model, tmp_path / "out"), [str(tmp_path / "in")]
    assert prepare(job, codec, Inputs(inputs), 1.0).fingerprint.shard_hours == 1.0
    assert prepare(job, codec, Inputs(inputs)).fingerprint.shard_hours == 1.0
    job = job_for(model, tmp_path / "grown")
    assert prepare(job, codec, Inputs(inputs)).fingerprint.shard_hours is None
    assert prepare(job, codec, Inputs(inputs)).fingerprint.rows == 2
    assert "was planned with shard_hours=None, not 1.0" in refusal(prepare, job, codec, Inputs(inputs), 1.0)
