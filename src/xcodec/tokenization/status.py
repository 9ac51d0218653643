"""How far an output is, and how the runs that work on it are doing."""

import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.tokenization.headers import Failure, ShardHeader
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.shard import BatchReport
from xcodec.tokenization.stores import Store

__all__ = ["Meter", "RunStatus", "Standing", "failure_class", "read_runs", "write_failures"]

Part = tuple[int, int]

_LARGEST = 10  # failure classes that are told


@dataclass(frozen=True)
class Standing:
    """How far an output, or a part of it, is.

    Args:
        rows: recordings.
        done: of them with codes.
        failed: of them without.
        unreadable: of the failed, those that could not be read.
        left: of them not done.
        shards: how many there are.
        shards_done: of them with their file.
        seconds_done: of audio in codes.
        seconds_left: of audio that is expected in the rest.
        failure_classes: the largest groups of alike errors, and their sizes.
    """

    rows: int
    done: int
    failed: int
    unreadable: int
    left: int
    shards: int
    shards_done: int
    seconds_done: float
    seconds_left: float
    failure_classes: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, plan: Plan, part: Part = (0, 1)) -> "Standing":
        """Count what is there; what is no shard of the plan counts for nothing."""
        found = list(plan.survey(part).done.values())
        rows, seconds = (values[list(plan.shards(part))].sum() for values in plan.shard_sizes)
        failures = [failure for header in found for failure in header.failures]
        heard, planned = sum(header.seconds for header in found), sum(header.planned_seconds for header in found)
        ratio = heard / planned if heard else 1.0  # how wrong estimates were so far
        num_done = sum(header.rows for header in found)
        return cls(
            rows=int(rows),
            done=num_done,
            failed=len(failures),
            unreadable=num_unreadable(failures),
            left=int(rows) - num_done - len(failures),
            shards=len(plan.shards(part)),
            shards_done=len(found),
            seconds_done=heard,
            seconds_left=max(0.0, float(seconds) - planned) * ratio if len(found) < len(plan.shards(part)) else 0.0,
            failure_classes=tuple(Counter(map(failure_class, failures)).most_common(_LARGEST)),
        )

    def plus(self, header: ShardHeader) -> "Standing":
        """The same with one more shard done."""
        ratio = header.seconds / header.planned_seconds if header.seconds else 1.0
        left = max(0.0, self.seconds_left - header.planned_seconds * ratio)
        counts = Counter(dict(self.failure_classes)) + Counter(map(failure_class, header.failures))
        return replace(
            self,
            done=self.done + header.rows,
            failed=self.failed + len(header.failures),
            unreadable=self.unreadable + num_unreadable(header.failures),
            left=self.left - header.rows - len(header.failures),
            shards_done=self.shards_done + 1,
            seconds_done=self.seconds_done + header.seconds,
            seconds_left=left if self.shards_done + 1 < self.shards else 0.0,
            failure_classes=tuple(counts.most_common(_LARGEST)),
        )


def num_unreadable(failures: Iterable[Failure]) -> int:
    """How many recordings failed before the model had a part in it."""
    return sum(failure.stage in ("plan", "read") for failure in failures)


def failure_class(failure: Failure) -> str:
    """What failures have in common that differ only in numbers and names."""
    return f"{failure.stage}: " + re.sub(r"\d+([.,]\d+)*", "N", failure.problem or failure.error)


@dataclass(frozen=True)
class RunStatus:
    """What a run tells of itself, in status.json.

    Args:
        state: "running", "finished", "interrupted" or "failed".
        engine: "local" or "ray".
        part: (i, n), the part of all shards that it does.
        host: where it runs.
        pid: its process there.
        started: when, in seconds since 1970.
        updated: when this was written.
        standing: how far its part is.
        seconds: of audio that this run has encoded, the shard in hand included.
        seconds_per_second: of audio, over the whole run.
        eta_seconds: until its part is done; None while there is no speed.
        model_share: of the run's time in which a model worked, 0 to 1.
        padding_share: of what the models saw that was padding, 0 to 1.
    """

    state: str
    engine: str
    part: Part
    host: str
    pid: int
    started: float
    updated: float
    standing: Standing
    seconds: float
    seconds_per_second: float
    eta_seconds: float | None
    model_share: float
    padding_share: float

    @property
    def elapsed(self) -> float:
        """In seconds."""
        return self.updated - self.started


class Meter:
    """Counts what a run does, and writes its status file every few seconds.

    Args:
        plan: of the output.
        part: of the shards that the run does.
        engine: its name.
        models: how many work side by side.
        on_status: called whenever something was counted.
    """

    def __init__(
        self, plan: Plan, part: Part, engine: str, on_status: Callable[[RunStatus], object] = lambda _: None
    ) -> None:
        self.plan, self.part, self.engine, self.on_status = plan, part, engine, on_status
        self.models = 1
        self.standing = Standing.of(plan, part)
        self.name = f"status-{part[0]}-of-{part[1]}.json" if part[1] > 1 else "status.json"
        self._started = time.time()
        self._seconds = self._padded = self._model = self._in_hand = 0.0
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_regularly, daemon=True)

    def __enter__(self) -> "Meter":
        self.write("running")
        self._writer.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._over.set()
        self._writer.join()
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        if error is None:
            self.write("finished")
            return
        with suppress(OSError):  # what stopped the run is to be told, not that this cannot be written
            self.write("interrupted" if interrupted else "failed")

    def on_batch(self, report: BatchReport) -> None:
        """Count a batch."""
        self._seconds += report.seconds
        self._in_hand += report.seconds
        self._padded += report.padded_seconds
        self._model += report.model_seconds
        self.on_status(self.status("running"))

    def on_shard(self, header: ShardHeader) -> None:
        """Count a shard that is written."""
        self._in_hand = max(0.0, self._in_hand - header.seconds)
        self.standing = self.standing.plus(header)
        self.on_status(self.status("running"))

    def recount(self) -> None:
        """Count anew what is there, whatever was reported."""
        self.standing, self._in_hand = Standing.of(self.plan, self.part), 0.0

    def status(self, state: str) -> RunStatus:
        """How the run is doing now."""
        now = time.time()
        elapsed = max(now - self._started, 1e-6)
        speed = self._seconds / elapsed
        left = max(0.0, self.standing.seconds_left - self._in_hand)
        return RunStatus(
            state=state,
            engine=self.engine,
            part=self.part,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            updated=now,
            standing=self.standing,
            seconds=self._seconds,
            seconds_per_second=speed,
            eta_seconds=left / speed if speed else None,
            model_share=min(1.0, self._model / elapsed / self.models),
            padding_share=1 - self._seconds / self._padded if self._padded else 0.0,
        )

    def write(self, state: str) -> None:
        """Write the status file."""
        with self.plan.store.writing(self.name) as part:
            part.write_text(json.dumps(asdict(self.status(state)), indent=1) + "\n")

    def _write_regularly(self) -> None:
        while not self._over.wait(self.plan.store.status_seconds):
            with suppress(OSError):  # a full disk is noticed where codes are written
                self.write("running")


def read_runs(store: Store) -> list[RunStatus]:
    """What the runs on an output last told of themselves; a file that cannot be read tells nothing."""
    runs = []
    for name in store.names():
        if not (name.startswith("status") and name.endswith(".json")):
            continue
        with suppress(ValueError, TypeError, KeyError, OSError):
            stored = json.loads(store.read(name))
            standing = stored["standing"]
            standing["failure_classes"] = tuple(map(tuple, standing["failure_classes"]))
            runs.append(RunStatus(**stored | {"standing": Standing(**standing), "part": tuple(stored["part"])}))
    return runs


def write_failures(plan: Plan) -> None:
    """Gather the failures of all shards in one Parquet file, failures.parquet; the shards' own files stay the truth."""
    names = tuple(each.name for each in fields(Failure))
    schema = pa.schema([*((name, pa.string()) for name in names), ("shard", pa.int32())])
    with plan.store.writing("failures.parquet") as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for number, header in plan.survey().done.items():
            rows = [{**asdict(failure), "shard": number} for failure in header.failures]
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
