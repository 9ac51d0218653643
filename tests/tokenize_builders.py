"""What the tests of `xcodec tokenize` build: data sets of short clips, tiny models on disk, and finished outputs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builders
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import AudioError
from xcodec.tokenization.engines.local import run_locally
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.job import Job
from xcodec.tokenization.model import ModelChoice
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import ReaderPool, ReadingLimits, Sound
from xcodec.tokenization.run import prepare, tokenize
from xcodec.tokenization.status import RunStatus
from xcodec.tokenization.treatment import UNTREATED, Treatment


def write_clips(folder: Path, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Clips of 0.1 to 1 s of real speech, in two folders; what is in each, by id."""
    chooser = np.random.default_rng(seed)
    speech = builders.speech()
    clips = {}
    for i in range(count):
        length = int(chooser.integers(1600, 16000))
        start = int(chooser.integers(0, len(speech) - length))
        name = f"{'ab'[i % 2]}/clip-{i:03}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio = Audio(speech[start : start + length], 16000)
        audio.save(folder / name)
        clips[name] = audio.samples
    return clips


def poison_readers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have readers really crash at crash.wav and hang at hang.wav: libsndfile does neither on demand."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import ctypes, os, sys, time\n"
        "def watch(event, arguments):\n"
        "    if event == 'open' and 'crash.wav' in str(arguments[0]): ctypes.string_at(0)\n"
        "    if event == 'open' and 'hang.wav' in str(arguments[0]): time.sleep(1000)\n"
        "if 'xcodec.tokenization.reader_process' in sys.orig_argv: sys.addaudithook(watch)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def entries(*inputs: object, root: str | None = None, **options: Any) -> list[dict[str, Any]]:
    """What inputs are to the plan."""
    names = [str(each) for each in inputs]
    return [row for batch in Inputs(names, root, **options).batches() for row in batch.to_pylist()]


def faults(*inputs: object, **options: Any) -> dict[str, str]:
    """Of what names no recording, the id and the reason."""
    return {row["id"]: row["fault"] for row in entries(*inputs, **options) if row["fault"] is not None}


def read_one(pool: ReaderPool, entry: dict[str, Any]) -> Sound:
    """Read an entry, or raise why it cannot be read."""
    empty = {"byte_start": None, "byte_count": None, "start": 0.0, "duration": None, "channel": None}
    [sound] = pool.read([empty | {"file_size": None, "file_modified": None, "file_sha256": None} | entry])
    if isinstance(sound, AudioError):
        raise sound
    return sound


def job_for(model: Path | None, folder: Path | str, **fields: Any) -> Job:
    fields = {"workers": 2, "limits": ReadingLimits(20.0, 60.0)} | fields
    return Job(folder, ModelChoice(None if model is None else str(model), "cpu"), **fields)


def run(
    job: Job, codec: Codec, *inputs: object, hours: float = 0.001, texts: bool = False,
    treatment: Treatment = UNTREATED, **options: Any,
) -> RunStatus:  # fmt: skip
    """Plan and tokenize, as the command does."""
    names = [str(each) for each in inputs]
    plan = prepare(job, codec, Inputs(names, texts=texts) if names else None, hours if names else None, treatment)
    return tokenize(job, plan, codec, run_locally, **options)


def output_of(folder: Path) -> pa.Table:
    """All rows of an output."""
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / "codes").glob("*.parquet"))])


def counts(folder: Path) -> dict[str, int]:
    """How often each id is in an output, as codes, as a failure or as left out."""
    ids = output_of(folder)["id"].to_pylist() if Plan(folder).done() else []
    for name in ("failures.parquet", "excluded.parquet"):
        if (folder / name).exists():
            ids += pq.read_table(folder / name)["id"].to_pylist()
    return {each: ids.count(each) for each in ids}


def assert_same_files(folder: Path, expected: Path) -> None:
    """The shards of one output are byte for byte those of another."""
    files = sorted(path.name for path in (expected / "codes").iterdir())
    assert files == sorted(path.name for path in (folder / "codes").iterdir())
    for name in files:
        assert (folder / "codes" / name).read_bytes() == (expected / "codes" / name).read_bytes()


def strike_workers(folder: Path, monkeypatch: pytest.MonkeyPatch, word: str, signal_name: str) -> Path:
    """Send a signal to the first worker that is about to give a shard its name; returns what is there once it was.

    Args:
        folder: to work in.
        monkeypatch: that ends it with the test.
        word: of the worker's command line.
        signal_name: such as SIGKILL.
    """
    folder.mkdir()
    struck = folder / "struck"
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "def watch(event, arguments):\n"
        "    if event == 'os.rename' and str(arguments[1]).endswith('.parquet') and 'codes' in str(arguments[1]):\n"
        "        try:\n"
        f"            os.close(os.open({str(struck)!r}, os.O_CREAT | os.O_EXCL))\n"
        "        except FileExistsError:\n"
        "            return\n"
        f"        os.kill(os.getpid(), signal.{signal_name})\n"
        f"if {word!r} in sys.orig_argv: sys.addaudithook(watch)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return struck
