"""How far an output is, and how the runs that work on it are doing."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.tokenization.excluded import excluded_schema, read_excluded
from xcodec.tokenization.headers import Failure, ShardHeader
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import SlowRead
from xcodec.tokenization.stores import Store

__all__ = ["Part", "RunStatus", "Standing", "failure_class", "read_runs", "write_excluded", "write_failures"]

Part = tuple[int, int]

_LARGEST = 10  # failure classes that are told
_EXAMPLES = 3  # of each


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
        failure_examples: of each of them, the ids of the first few.
        excluded: rows that were left out, since they do not meet a condition, or are there already.
        exclusions: the reasons, and how many were left out for each.
        cut: whether `done`, `failed` and `excluded` count pieces of recordings.
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
    failure_examples: tuple[tuple[str, tuple[str, ...]], ...] = ()
    excluded: int = 0
    exclusions: tuple[tuple[str, int], ...] = ()
    cut: bool = False

    @classmethod
    def of(cls, plan: Plan, part: Part = (0, 1)) -> "Standing":
        """Count what is there; what is no shard of the plan counts for nothing."""
        found = list(plan.survey(part).done.values())
        rows, seconds = (values[list(plan.shards(part))].sum() for values in plan.shard_sizes)
        failures = [failure for header in found for failure in header.failures]
        heard, planned = sum(header.seconds for header in found), sum(header.planned_seconds for header in found)
        ratio = heard / planned if heard else 1.0  # how wrong estimates were so far
        classes = tuple(Counter(map(failure_class, failures)).most_common(_LARGEST))
        excluded = sum((Counter(header.excluded) for header in found), Counter[str]())
        return cls(
            rows=int(rows),
            done=sum(header.rows for header in found),
            failed=len(failures),
            unreadable=num_unreadable(failures),
            left=int(rows) - sum(header.recordings for header in found),
            shards=len(plan.shards(part)),
            shards_done=len(found),
            seconds_done=heard,
            seconds_left=max(0.0, float(seconds) - planned) * ratio if len(found) < len(plan.shards(part)) else 0.0,
            failure_classes=classes,
            failure_examples=examples(classes, failures),
            excluded=excluded.total(),
            exclusions=tuple(excluded.most_common(_LARGEST)),
            cut=plan.fingerprint.treatment.segment_seconds is not None,
        )

    def plus(self, header: ShardHeader) -> "Standing":
        """The same with one more shard done."""
        ratio = header.seconds / header.planned_seconds if header.seconds else 1.0
        left = max(0.0, self.seconds_left - header.planned_seconds * ratio)
        counts = Counter(dict(self.failure_classes)) + Counter(map(failure_class, header.failures))
        classes = tuple(counts.most_common(_LARGEST))
        return replace(
            self,
            done=self.done + header.rows,
            failed=self.failed + len(header.failures),
            unreadable=self.unreadable + num_unreadable(header.failures),
            left=self.left - header.recordings,
            shards_done=self.shards_done + 1,
            seconds_done=self.seconds_done + header.seconds,
            seconds_left=left if self.shards_done + 1 < self.shards else 0.0,
            failure_classes=classes,
            failure_examples=examples(classes, header.failures, self.failure_examples),
            excluded=self.excluded + sum(header.excluded.values()),
            exclusions=tuple((Counter(dict(self.exclusions)) + Counter(header.excluded)).most_common(_LARGEST)),
        )


def num_unreadable(failures: Iterable[Failure]) -> int:
    """How many recordings failed before the model had a part in it."""
    return sum(failure.stage in ("plan", "read") for failure in failures)


def examples(
    classes: Iterable[tuple[str, int]],
    failures: Iterable[Failure],
    known: Iterable[tuple[str, tuple[str, ...]]] = (),
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Of each class of failures the ids of the first few; those that are known come before others."""
    found = {name: list(ids) for name, ids in known}
    for failure in failures:
        ids = found.setdefault(failure_class(failure), [])
        if len(ids) < _EXAMPLES:
            ids.append(failure.id)
    return tuple((name, tuple(found[name])) for name, _ in classes if name in found)


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
        worker: (i, n) where the run is one of n workers that take shards until none is left.
        speeds: audio-seconds per second of each actor or process of a run that has several, by name.
        restarts: how often one of these was started anew.
        slowest: the files that took longest to read.
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
    worker: Part | None = None
    speeds: Mapping[str, float] = field(default_factory=dict)
    restarts: int = 0
    slowest: tuple[SlowRead, ...] = ()

    @property
    def place(self) -> str:
        """Which of several runs it is: "part 3/8", "worker 3/8", or nothing."""
        name, (number, count) = ("worker", self.worker) if self.worker else ("part", self.part)
        return f"{name} {number + 1}/{count}" if count > 1 or self.worker else ""

    @property
    def elapsed(self) -> float:
        """In seconds."""
        return self.updated - self.started


def read_runs(store: Store) -> list[RunStatus]:
    """What the runs on an output last told of themselves; a file that cannot be read tells nothing."""
    runs = []
    for name in store.names():
        if not (name.startswith("status") and name.endswith(".json")):
            continue
        with suppress(ValueError, TypeError, KeyError, OSError):
            stored = json.loads(store.read(name))
            standing = stored["standing"]
            for name in ("failure_classes", "exclusions"):
                standing[name] = tuple(map(tuple, standing.get(name, ())))
            known = standing.get("failure_examples", ())
            standing["failure_examples"] = tuple((name, tuple(ids)) for name, ids in known)
            stored |= {"standing": Standing(**standing), "part": tuple(stored["part"])}
            stored["worker"] = tuple(stored["worker"]) if stored.get("worker") else None
            stored["slowest"] = tuple(SlowRead(**each) for each in stored.get("slowest", ()))
            runs.append(RunStatus(**stored))
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


def write_excluded(plan: Plan) -> None:
    """Gather what all shards left out in one Parquet file, excluded.parquet, where the plan leaves out anything."""
    treatment = plan.fingerprint.treatment
    if not treatment.leaves_out:
        return
    schema = excluded_schema(treatment).append(pa.field("shard", pa.int32()))
    with plan.store.writing("excluded.parquet") as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for number, header in plan.survey().done.items():
            if header.excluded:
                name = plan.output(number)
                rows = read_excluded(plan.store.footer(name), treatment, plan.store.called(name))
                writer.write_table(rows.append_column("shard", pa.array([number] * len(rows), pa.int32())))
