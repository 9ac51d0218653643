"""A data set becomes codes: planned once, each recording exactly once whatever is killed, the same in any batch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builders
import xcodec
from tokenize_builders import counts, job_for, output_of, poison_readers, read_one, run, write_clips
from waiting import PATIENCE, wait_until
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import AudioError, InputError
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.outcomes import Outcome
from xcodec.tokenization.plan import Fingerprint, Plan
from xcodec.tokenization.readers import ReaderPool, ReadingLimits
from xcodec.tokenization.run import prepare, tokenize
from xcodec.tokenization.shard import ShardWorker
from xcodec.tokenization.sinks import write_shard
from xcodec.tokenization.status import Standing, read_runs
from xcodec.tokenization.stores import FolderStore
from xcodec.tokenization.tokens import Tokens
from xcodec.tokenization.trial import expected_bytes


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 24)
    return folder


def refusal(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return str(caught.value)


# What comes out


def test_each_row_holds_the_codes_of_its_recording(finished: Path, clips: Path, codec: Codec) -> None:
    table = output_of(finished)
    assert table.schema.names == ["id", "codes", "frames", "seconds", "source_rate"]
    assert table.schema.field("codes").type == pa.list_(pa.uint16())
    assert len(table) == 24
    tokens = Tokens(finished)
    for row in tokens.rows():
        assert tokens.codes(row) == codec.encode(clips / row.id)


def test_codes_do_not_depend_on_batches_nor_on_readers(
    finished: Path, clips: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    run(job_for(model, tmp_path, batch_seconds=1.0, workers=1), codec, clips)
    files = sorted(path.name for path in (finished / "codes").iterdir())
    assert len(files) > 3
    for name in files:
        assert (finished / "codes" / name).read_bytes() == (tmp_path / "codes" / name).read_bytes()


def test_the_data_sets_library_reads_an_output(finished: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'xcodec[datasets]'")
    datasets.disable_progress_bars()
    files = str(finished / "codes" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.to_dict() == output_of(finished).to_pydict()
    assert loaded.features["codes"].feature.dtype == "uint16"


def test_carried_columns_keep_types_and_rates_are_told(model: Path, codec: Codec, tmp_path: Path) -> None:
    Audio(builders.speech(1.0), 16000).resample(44100).save(tmp_path / "x.wav")
    day = pa.array([3, None], pa.date32())
    columns = {"path": ["x.wav", "x.wav"], "id": ["all", "some"], "start": [None, 0.5], "day": day, "text": ["a", "b"]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    run(job_for(model, tmp_path / "out"), codec, tmp_path / "m.parquet")
    table = output_of(tmp_path / "out")
    assert table.schema.field("day").type == pa.date32()
    assert table["day"].to_pylist() == day.to_pylist()
    assert table["text"].to_pylist() == ["a", "b"]
    assert table["source_rate"].to_pylist() == [44100, 44100]
    assert table["seconds"].to_pylist() == [1.0, 0.5]


def test_files_of_codes_say_which_model_and_plan_made_them(finished: Path, codec: Codec) -> None:
    stored = json.loads(pq.read_schema(finished / "codes/0000000.parquet").metadata[b"xcodec"])
    assert stored["plan_hash"] == Plan(finished).fingerprint.plan_hash
    assert stored["codec"]["weights_hash"] == codec.identity.weights_hash
    assert stored["codec"]["dtype"] == "float32"


@pytest.mark.parametrize(("codebooks", "size", "most"), [(1, 1 << 16, 2.02), (8, 1024, 1.3)])
def test_codes_take_little_room_whichever_they_are(codebooks: int, size: int, most: float, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, size, (codebooks, 180_000)).astype(np.uint16)  # an hour, all alike often
    sizes = (size,) * codebooks
    rates = {"frame_rate": 50, "sampling_rate": 16000, "source_sampling_rate": 16000}
    made = Codes(ids, num_samples=320 * ids.shape[1] - 1, codebook_sizes=sizes, **rates)
    rows = pa.table({"id": ["a"], "uri": ["/a"], "seconds": [3600.0], "speaker": ["x"]})
    fingerprint = Fingerprint("", 1, 3600.0, 1, 1.0, {"codebook_sizes": list(sizes)})
    write_shard(
        FolderStore(tmp_path),
        "x.parquet",
        0,
        fingerprint,
        rows,
        pa.schema([("speaker", pa.string())]),
        {0: [Outcome("a", made)]},
    )
    assert (tmp_path / "x.parquet").stat().st_size < most * ids.size
    assert expected_bytes({"codebook_sizes": sizes, "frame_rate": 50}, 3600.0) == pytest.approx(
        (tmp_path / "x.parquet").stat().st_size, rel=0.03
    )
    table = pq.read_table(tmp_path / "x.parquet")
    assert np.array_equal(np.stack(table["codes"].to_pylist()[0]).reshape(ids.shape), ids)
    assert table["speaker"].to_pylist() == ["x"]


# Bad recordings


def test_bad_recordings_are_failures_and_the_others_are_done(model: Path, codec: Codec, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = write_clips(folder, 3)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no audio\n" * 100)
    (folder / "cut.wav").write_bytes(builders.RECORDINGS[0].read_bytes()[:9000])
    (folder / "loud.wav").write_bytes((folder / "a/clip-000.wav").read_bytes())
    import soundfile

    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(folder / "loud.wav", np.full(1600, 1e5), 16000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    Audio(np.zeros(61 * 8000), 8000).save(folder / "long.wav")
    Audio(np.zeros(16000), 16000).save(folder / "silence.wav")
    status = run(job_for(model, tmp_path / "out"), codec, folder)
    failures = {row["id"]: row for row in pq.read_table(tmp_path / "out/failures.parquet").to_pylist()}
    assert set(output_of(tmp_path / "out")["id"].to_pylist()) == {*good, "silence.wav"}
    said = {
        "empty.wav": ("read", "is empty, 0 bytes; expected audio"),
        "text.wav": ("read", "is not audio in a format that can be read"),
        "cut.wav": ("read", "is cut short: its header promises"),
        "nan.wav": ("read", "1 of 2 samples are NaN or infinite"),
        "none.wav": ("read", "holds no samples"),
        "long.wav": ("read", "is longer than the limit of 60 s"),
        "loud.wav": ("encode", "samples reach 100000, where full scale is 1.0"),
    }
    assert failures.keys() == said.keys()
    for name, (stage, beginning) in said.items():
        assert failures[name]["stage"] == stage
        assert failures[name]["error"].startswith(beginning)
        assert failures[name]["uri"] == str(folder / name)
    assert (status.standing.done, status.standing.failed, status.standing.left) == (4, 7, 0)
    assert set(counts(tmp_path / "out").values()) == {1}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text_are_tokenized_and_spelt(model: Path, codec: Codec, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    [(good, samples)] = write_clips(folder, 1).items()
    (folder / good).rename(folder / os.fsdecode(b"caf\xe9.wav"))
    Audio(samples, 16000).save(folder / "literally-\\xe9.wav")
    (folder / os.fsdecode(b"broken-\xe9.wav")).write_bytes(b"")
    run(job_for(model, tmp_path / "out"), codec, folder)
    assert output_of(tmp_path / "out")["id"].to_pylist() == ["caf\\xe9.wav", "literally-\\xe9.wav"]
    [failed] = pq.read_table(tmp_path / "out/failures.parquet").to_pylist()
    assert (failed["id"], failed["error"]) == ("broken-\\xe9.wav", "is empty, 0 bytes; expected audio")


@pytest.fixture
def poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and a decoder that crashes at crash.wav and hangs at hang.wav."""
    poison_readers(tmp_path / "poison", monkeypatch)
    return tmp_path


def test_a_decoder_that_crashes_or_hangs_costs_one_recording(model: Path, codec: Codec, poison: Path) -> None:
    good = write_clips(poison / "in", 6)
    for name in ("crash.wav", "hang.wav"):
        (poison / "in" / name).write_bytes(builders.RECORDINGS[0].read_bytes())
    run(job_for(model, poison / "out", limits=ReadingLimits(4.0, 60.0)), codec, poison / "in")
    failures = {row["id"]: row["error"] for row in pq.read_table(poison / "out/failures.parquet").to_pylist()}
    assert failures == {
        "crash.wav": "brought down the process that read it, twice (SIGSEGV)",
        "hang.wav": "was not read within 4 s; its reader was stopped",
    }
    assert set(output_of(poison / "out")["id"].to_pylist()) == good.keys()


def test_a_reader_that_is_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    pool = ReaderPool(1, 16000, ReadingLimits(60.0, 60.0))
    entry = {"uri": str(builders.RECORDINGS[0])}
    read_one(pool, entry)
    process = pool._all[0]._process
    assert process is not None
    process.kill()
    process.wait()
    assert read_one(pool, entry).audio == Audio.read(builders.RECORDINGS[0])
    pool.close()
    with pytest.raises(InterruptedError):
        read_one(pool, entry)


def test_a_batch_that_fails_costs_only_what_is_at_fault(
    model: Path, codec: Codec, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = Audio.read(clips / "a/clip-004.wav").num_samples
    encode = codec.encode_samples

    def fail_on_one(recordings: list[np.ndarray], arguments: dict[str, float]) -> object:
        if any(len(each) == poisoned for each in recordings):
            raise RuntimeError("a kernel does not like this clip")
        return encode(recordings, arguments)

    monkeypatch.setattr(codec, "encode_samples", fail_on_one)
    run(job_for(model, tmp_path), codec, clips)
    [failure] = pq.read_table(tmp_path / "failures.parquet").to_pylist()
    assert (failure["id"], failure["stage"]) == ("a/clip-004.wav", "encode")
    assert failure["error"] == "RuntimeError: a kernel does not like this clip"


def test_a_model_that_is_broken_stops_the_run_and_blames_no_recording(
    model: Path, codec: Codec, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_for(model, tmp_path)
    plan = prepare(job, codec, Inputs([str(clips)]), 0.001)

    def fail(*_: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(codec, "encode_samples", fail)
    from xcodec.tokenization.engines.local import run_locally

    with pytest.raises(RuntimeError, match="the device is gone"):
        tokenize(job, plan, codec, run_locally)
    assert plan.done() == []
    assert len(pq.read_table(tmp_path / "failures.parquet")) == 0
    assert read_runs(FolderStore(tmp_path))[0].state == "failed"
    assert not list((tmp_path / "codes").iterdir())


# Going on


def test_only_what_is_missing_is_done_again(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    job = job_for(model, tmp_path)
    run(job, codec, clips)
    files = sorted((tmp_path / "codes").iterdir())
    before = {path: path.stat().st_mtime_ns for path in files}
    files[1].unlink()
    status = run(job, codec, clips)
    assert status.seconds == pytest.approx(sum(row.seconds for row in Tokens(tmp_path).shard(1)))
    assert [path for path in files if path.stat().st_mtime_ns != before[path]] == [files[1]]


def test_parts_do_the_whole_together(model: Path, codec: Codec, clips: Path, finished: Path, tmp_path: Path) -> None:
    job = job_for(model, tmp_path)
    first = run(job, codec, clips, part=(0, 2))
    assert first.standing.left == 0
    assert 0 < Standing.of(Plan(tmp_path)).left < 24
    run(job, codec, clips, part=(1, 2))
    assert output_of(tmp_path) == output_of(finished)
    assert [each.part for each in read_runs(FolderStore(tmp_path))] == [(0, 2), (1, 2)]


def test_failures_can_be_tried_again(model: Path, codec: Codec, tmp_path: Path) -> None:
    folder, job = tmp_path / "in", job_for(model, tmp_path / "out")
    write_clips(folder, 6)
    away = folder / "a/clip-002.wav"
    run_prepared = prepare(job, codec, Inputs([str(folder)]), 0.0001)
    away.rename(tmp_path / "away.wav")
    assert run(job, codec).standing.failed == 1
    (tmp_path / "away.wav").rename(away)
    assert run(job, codec).standing.failed == 1
    status = run(job, codec, retry_failed=True)
    assert (status.standing.failed, status.standing.done) == (0, 6)
    assert status.seconds < run_prepared.fingerprint.seconds  # the other shards were left alone


DRIVER = """
import os, sys, time
import torch
torch.set_num_threads(1)
from tokenize_builders import job_for, run
from xcodec.codec import Codec
model, clips, out, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
from pathlib import Path
codec = Codec.from_pretrained(model)
codec.identity
encode = codec.encode_samples
codec.encode_samples = lambda *given: (time.sleep(0.15), encode(*given))[1]  # room between the batches to be killed in
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        run(job_for(model, Path(out), batch_seconds=1.0), codec, clips, hours=0.0005)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    os.waitpid(child, 0)  # only now, so that its number stays its own
"""


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_every_recording_is_there_exactly_once_whatever_is_killed(
    model: Path, codec: Codec, finished: Path, clips: Path, tmp_path: Path
) -> None:
    chooser = np.random.default_rng(20261121)
    rounds = 8
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(xcodec.__file__).parent.parent), str(Path(__file__).parents[1])])
    }
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DRIVER, str(model), str(clips), str(tmp_path), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    done: list[int] = []
    killed_workers = 0
    for turn in range(rounds):
        process = int(driver.stdout.readline())
        if turn < rounds - 1:
            if turn % 3 == 2:  # not before something is done anew, however slow the machine
                wait_until(lambda: len(list(tmp_path.glob("codes/*.parquet"))) > done[-1], driver)
            time.sleep(float(chooser.uniform(0.2, 1.8)))
            if turn % 2 and (readers := children_of(process)):  # a worker first, then, a little later, the driver
                os.kill(readers[0], signal.SIGKILL)
                killed_workers += 1
                time.sleep(float(chooser.uniform(0.1, 0.8)))
            readers = children_of(process)
            os.kill(process, signal.SIGKILL)
            wait_until(lambda readers=readers: not any(map(alive, readers)))  # they do not outlive their driver
            done.append(len(Plan(tmp_path).done()) if Plan.exists(tmp_path) else 0)
        driver.stdin.write("\n")
        driver.stdin.flush()
        if turn == rounds - 1:
            assert driver.wait(timeout=PATIENCE) == 0
    driver.communicate()
    assert killed_workers
    assert done == sorted(done)
    assert any(0 < count < len(Plan(tmp_path).shards()) for count in done), f"no kill came in the middle: {done}"
    assert counts(tmp_path) == dict.fromkeys(output_of(finished)["id"].to_pylist(), 1)
    assert output_of(tmp_path) == output_of(finished)


def test_interrupting_a_run_leaves_whole_shards_only(
    model: Path, codec: Codec, clips: Path, finished: Path, tmp_path: Path
) -> None:
    job = job_for(model, tmp_path, batch_seconds=1.0)
    seen: list[float] = []

    def interrupt(status: object) -> None:
        seen.append(0.0)
        if len(seen) == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, codec, clips, on_status=interrupt)
    [state] = read_runs(FolderStore(tmp_path))
    assert state.state == "interrupted"
    assert 0 < len(Plan(tmp_path).done()) < len(Plan(tmp_path).shards())
    assert {path.suffix for path in (tmp_path / "codes").iterdir()} == {".parquet"}
    run(job, codec, clips)
    assert output_of(tmp_path) == output_of(finished)


# What is told


def test_the_status_file_tells_how_a_run_went(model: Path, codec: Codec, clips: Path, tmp_path: Path) -> None:
    told: list[float] = []
    status = run(job_for(model, tmp_path), codec, clips, on_status=lambda status: told.append(status.seconds))
    [stored] = read_runs(FolderStore(tmp_path))
    assert stored.state == "finished"
    assert stored.standing == status.standing
    assert stored.seconds == pytest.approx(sum(output_of(tmp_path)["seconds"].to_pylist()))
    assert told == sorted(told)
    assert 0 < stored.model_share <= 1
    assert 0 <= stored.padding_share < 0.5
    assert (stored.standing.rows, stored.standing.left, stored.standing.seconds_left) == (24, 0, 0.0)


def test_while_the_end_of_a_shard_is_encoded_the_next_one_is_read(model: Path, codec: Codec, finished: Path) -> None:
    job = job_for(model, finished, workers=1, batch_seconds=60.0)
    seen: list[int] = []

    def count(_: object) -> None:
        wait_until(lambda: worker.pool.num_read >= 2 * first)
        seen.append(worker.pool.num_read)

    plan = Plan(finished)
    first = len(plan.shard(0))
    with ShardWorker(plan, codec, job, count) as worker:
        worker.tokenize(0, following=1)
    assert seen[-1] >= 2 * first


def test_settings_out_of_range_are_refused(model: Path, tmp_path: Path) -> None:
    assert "workers=0: expected a number above 0" in refusal(job_for, model, tmp_path, workers=0)
    assert "batch_seconds=0.0: expected a number above 0" in refusal(job_for, model, tmp_path, batch_seconds=0.0)


def test_a_recording_that_cannot_be_read_does_not_stop_its_reader(clips: Path) -> None:
    pool = ReaderPool(1, 16000, ReadingLimits(60.0, 60.0))
    for _ in range(2):
        with pytest.raises(AudioError, match=r"none.wav: no such file"):
            read_one(pool, {"uri": str(clips / "none.wav")})
        assert read_one(pool, {"uri": str(clips / "a/clip-000.wav")}).source_rate == 16000
    pool.close()
