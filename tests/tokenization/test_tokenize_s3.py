"""A data set in a bucket becomes codes in a bucket: the bytes that a folder gets, whatever fails or is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import xcodec
from tokenize_builders import counts, job_for, output_of, run, write_clips
from waiting import PATIENCE, wait_until
from xcodec.codec import Codec
from xcodec.tokenization import patience
from xcodec.tokenization.job import Job
from xcodec.tokenization.patience import StoreError
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import ReadingLimits
from xcodec.tokenization.stores import store_of
from xcodec.tokenization.treatment import Treatment

pytest.importorskip("moto", reason="needs pip install flask-cors 'moto[s3]' 'xcodec[s3]'")
s3fs = pytest.importorskip("s3fs", reason="needs pip install flask-cors 'moto[s3]' 'xcodec[s3]'")

from s3_builders import Fault, S3Server, s3_server  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def faults(server: S3Server) -> Iterator[S3Server]:
    """The server, whose faults end with the test."""
    yield server
    server.fault_of = lambda *_: None


@pytest.fixture(scope="module")
def clips(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Recordings in a bucket, with texts beside them; one was sent twice, and one is broken."""
    folder = tmp_path_factory.mktemp("clips")
    names = [*write_clips(folder, 16), "b/sent-again.wav"]
    (folder / names[-1]).write_bytes((folder / names[2]).read_bytes())
    for name in names:
        (folder / name).with_suffix(".txt").write_text(f"what {name} says\n")
    (folder / "broken.wav").write_bytes(b"RIFF")
    store_of("s3://corpus").location.fs.put(f"{folder}/", "s3://corpus/in/", recursive=True)  # type: ignore[attr-defined]
    return "s3://corpus/in"


@pytest.fixture(scope="module")
def expected(model: Path, codec: Codec, clips: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a folder gets of them."""
    folder = tmp_path_factory.mktemp("expected")
    run(patient_job(model, folder), codec, clips, hours=HOURS, texts=True, treatment=TREATMENT)
    rows = output_of(folder)
    assert counts(folder) == dict.fromkeys([*rows["id"].to_pylist(), "b/sent-again.wav", "broken.wav"], 1)
    assert len(rows) == 16
    assert rows["text"].to_pylist() == [f"what {name} says" for name in rows["id"].to_pylist()]
    return folder


HOURS = 0.0003
TREATMENT = Treatment(quality=True, dedupe="audio")


def patient_job(model: Path, folder: Path | str) -> Job:
    """A job whose readers may wait for a store that is slow, as long as a test may."""
    return job_for(model, folder, limits=ReadingLimits(600.0, 60.0))


def files_of(place: str | Path) -> dict[str, bytes]:
    """The files of an output but for the status: codes, what has none, and the table of the plan."""
    store = store_of(place)
    lists = ("failures.parquet", "excluded.parquet", "plan.parquet", "deduplicated.json")
    return {name: store.read(name) for name in (*store.names("codes"), *lists)}


def test_throttling_and_lost_connections_change_nothing(
    model: Path, codec: Codec, clips: str, expected: Path, faults: S3Server
) -> None:
    kinds = list(Fault)
    faults.fault_of = lambda number, *_: kinds[number // 5 % len(kinds)] if number % 5 == 0 else None
    status = run(patient_job(model, "s3://corpus/faults"), codec, clips, hours=HOURS, texts=True, treatment=TREATMENT)
    assert all(faults.happened.values()), faults.happened
    faults.fault_of = lambda *_: None
    standing = status.standing
    assert (standing.done, standing.excluded, standing.failed, standing.left) == (16, 1, 1, 0)
    assert files_of("s3://corpus/faults") == files_of(expected)


def test_what_is_put_on_condition_is_not_replaced_and_a_lost_answer_is_none(faults: S3Server) -> None:
    store = store_of("s3://corpus/conditions")
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"
    faults.fault_of = lambda number, method, path: (
        Fault.UNANSWERED if method == "PUT" and not faults.happened[Fault.UNANSWERED] else None
    )
    faults.happened[Fault.UNANSWERED] = 0
    assert store.create("b", b"third")
    assert faults.happened[Fault.UNANSWERED] == 1
    assert store.read("b") == b"third"


def test_an_upload_that_is_cut_leaves_no_object(faults: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", ())
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    store = store_of("s3://corpus/cut")
    faults.fault_of = lambda number, method, path: Fault.LOST if method == "PUT" else None
    with pytest.raises(StoreError, match=r"s3://corpus/cut/a: the store refuses: "):
        store.create("a", bytes(1 << 20))
    faults.fault_of = lambda *_: None
    assert not store.exists("a")
    assert store.names() == []


def test_a_bucket_that_is_missing_is_named(model: Path, codec: Codec, expected: Path) -> None:
    with pytest.raises(StoreError, match=r"s3://nowhere/out/.plan.lock: cannot be written: .*bucket"):
        run(patient_job(model, "s3://nowhere/out"), codec, expected)


DRIVER = """
import os, sys, time
import torch
torch.set_num_threads(1)
import s3fs
from tokenize_builders import job_for, run
from xcodec.codec import Codec
from xcodec.tokenization.readers import ReadingLimits
from xcodec.tokenization.treatment import Treatment
model, clips, out, hours, rounds = *sys.argv[1:4], float(sys.argv[4]), int(sys.argv[5])
codec = Codec.from_pretrained(model)
codec.identity
encode = codec.encode_samples
codec.encode_samples = lambda *given: (time.sleep(0.2), encode(*given))[1]  # room between the batches to be killed in
for _ in range(rounds):
    children = []
    for part in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            job = job_for(model, out, workers=1, batch_seconds=1.0, limits=ReadingLimits(600.0, 60.0))
            treatment = Treatment(quality=True, dedupe="audio")
            run(job, codec, clips, hours=hours, texts=True, treatment=treatment, part=(part, 2))
            os._exit(0)
    print(*children, flush=True)
    sys.stdin.readline()
    ends = [os.waitpid(child, 0)[1] for child in children]  # only now, so that their numbers stay their own
print(*ends, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_two_workers_on_a_bucket_do_every_recording_once_whoever_is_killed(
    model: Path, clips: str, expected: Path, server: S3Server
) -> None:
    chooser = np.random.default_rng(20261129)
    rounds, out = 3, "s3://corpus/killed"
    store = store_of(out)
    paths = [str(Path(xcodec.__file__).parent.parent), str(Path(__file__).parents[1])]
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DRIVER, str(model), clips, out, str(HOURS), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert driver.stdin is not None
    assert driver.stdout is not None
    done = [0]
    for turn in range(rounds):
        children = [int(each) for each in driver.stdout.readline().split()]
        if turn < rounds - 1:
            if turn:  # the first are killed wherever they are, the others not before something is done anew
                wait_until(lambda: len(store.names("codes")) > done[-1], driver)
            time.sleep(float(chooser.uniform(0.2, 1.5)))
            for child in chooser.permutation(children):
                os.kill(int(child), signal.SIGKILL)
                time.sleep(float(chooser.uniform(0.0, 0.3)))
            done.append(len(store.names("codes")))
        driver.stdin.write("\n")
        driver.stdin.flush()
    assert driver.stdout.readline().split() == ["0", "0"]
    assert driver.wait(timeout=PATIENCE) == 0
    driver.communicate()
    assert any(0 < count < len(Plan(store).shards()) for count in done), f"no kill came in the middle: {done}"
    assert files_of(out) == files_of(expected)
