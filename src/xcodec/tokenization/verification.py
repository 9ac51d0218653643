"""Whether an output is what its plan says: whole, readable, each id once. Each fault comes with what to do about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.errors import InputError, XcodecError, first_line
from xcodec.tokenization.duplicates import DuplicateFinder, ids_of
from xcodec.tokenization.excluded import read_excluded
from xcodec.tokenization.headers import ShardHeader
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.repeated_audio import is_settled
from xcodec.tokenization.sinks import output_schema
from xcodec.tokenization.tokens import Tokens, rows_of
from xcodec.tokenization.treatment import Treatment

__all__ = ["Fault", "Verification", "shard_faults", "verify"]

_AT_ONCE = 16384  # ids of a plan
_PLAN_REMEDY = "put plan.json and plan.parquet back from a copy, or delete both and give the same input again"


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be.

    Args:
        subject: the file or the recording.
        problem: what is wrong.
        remedy: what to do.
    """

    subject: str
    problem: str
    remedy: str

    @classmethod
    def of(cls, error: XcodecError, subject: object = "", remedy: str = "") -> "Fault":
        """Describe an error; what it does not tell itself is given."""
        return cls(error.subject or str(subject), error.problem, error.remedy or remedy)

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}; {self.remedy}"


@dataclass
class Verification:
    """What was found.

    Args:
        shards: that were read.
        rows: recordings with codes in them.
        failures: recordings without, each with its reason.
        excluded: rows that were left out, each with its reason.
        faults: what is wrong.
        compared: recordings of the sample that were encoded again.
        decoded: recordings of the sample that are away, so that their codes were decoded.
    """

    shards: int = 0
    rows: int = 0
    failures: int = 0
    excluded: int = 0
    faults: list[Fault] = field(default_factory=list)
    compared: int = 0
    decoded: int = 0

    def __str__(self) -> str:
        """The verdict in one line."""
        away = f", and of {self.decoded:,} that are away the codes were decoded" if self.decoded else ""
        sample = f"; {self.compared:,} recordings were encoded again{away}" if self.compared or self.decoded else ""
        out = f", {self.excluded:,} left out" if self.excluded else ""
        verdict = f"{len(self.faults):,} faults" if self.faults else "All is well"
        held = f"{self.shards:,} shards with {self.rows:,} recordings and {self.failures:,} failures"
        return f"{verdict}: {held}{out}{sample}"


def verify(output: Tokens, on_shard: Callable[[Verification], object] = lambda _: None) -> Verification:
    """Read all of an output and compare it with its plan.

    Args:
        output: whose plan could be read.
        on_shard: called after each shard.
    """
    plan, found = output.plan, Verification()
    found.faults += plan_faults(plan)
    survey = plan.survey()
    again = f"run `xcodec tokenize -o {plan.store}` again"
    for called, reason in survey.strange.items():
        what, _, remedy = reason.partition("; ")
        found.faults.append(Fault(called, what, remedy or f"move it away, and {again}"))
    if left := plan.fingerprint.shards - len(survey.done):
        problem = f"{left:,} of {plan.fingerprint.shards:,} shards are not there"
        found.faults.append(Fault(str(plan.store), problem, f"{again}, to the end"))
    elif not is_settled(plan):
        found.faults.append(Fault(str(plan.store), "duplicates have not been left out yet", again))
    for number, header in survey.done.items():
        called = plan.store.called(plan.output(number))
        faults = [Fault(called, problem, f"delete it, and {again}") for problem in shard_faults(output, number, header)]
        found.faults += faults
        found.shards, found.rows = found.shards + 1, found.rows + header.rows
        found.failures += len(header.failures)
        found.excluded += sum(header.excluded.values())
        on_shard(found)
    if not left:
        found.faults += [
            Fault(plan.store.called("failures.parquet"), problem, f"{again}; it is made of what the shards say")
            for problem in listing_faults(plan, survey.done)
        ]
    return found


def plan_faults(plan: Plan) -> Iterator[Fault]:
    """What in plan.parquet is not as plan.json says; its hash has been compared."""
    called, said = plan.store.called("plan.json"), plan.fingerprint
    try:
        rows, seconds = plan.shard_sizes
        with pq.ParquetFile(plan.table_path) as parquet:
            faults = sum(len(batch) - batch["fault"].null_count for batch in parquet.iter_batches(columns=["fault"]))
    except (pa.ArrowException, OSError, IndexError, InputError) as error:
        yield Fault(plan.store.called("plan.parquet"), f"cannot be read ({first_line(error)})", _PLAN_REMEDY)
        return
    counted = {"rows": int(rows.sum()), "faults": faults}
    for name, count in counted.items():
        if getattr(said, name) != count:
            yield Fault(
                called, f"speaks of {getattr(said, name):,} {name}, and plan.parquet has {count:,}", _PLAN_REMEDY
            )
    if abs(said.seconds - seconds.sum()) > 1e-6 * max(1.0, said.seconds):
        yield Fault(called, f"speaks of {said.seconds} s, and plan.parquet of {seconds.sum()} s", _PLAN_REMEDY)
    if not rows.all():
        yield Fault(called, f"speaks of {said.shards:,} shards, of which {(rows == 0).sum():,} are empty", _PLAN_REMEDY)
    with DuplicateFinder() as finder:
        with pq.ParquetFile(plan.table_path) as parquet:
            for batch in parquet.iter_batches(_AT_ONCE, columns=["id"]):
                finder.add(batch["id"].to_pylist())
        twice = finder.found(lambda: ids_of(plan.table_path))
    if twice:
        problem = f"holds {len(twice):,} ids more than once, such as {next(iter(twice))!r}"
        yield Fault(plan.store.called("plan.parquet"), problem, _PLAN_REMEDY)


def shard_faults(output: Tokens, number: int, header: ShardHeader) -> Iterator[str]:
    """What is wrong with the file of a shard."""
    plan, treatment = output.plan, output.plan.fingerprint.treatment
    try:
        with plan.store.here(plan.output(number)) as path:
            table = pq.read_table(path, page_checksum_verification=True)
            table.validate(full=True)
            excluded = read_excluded(path, treatment)
        planned = plan.shard(number)
    except (pa.ArrowException, OSError, InputError, StopIteration) as error:
        yield f"cannot be read ({first_line(error)})"
        return
    expected = output_schema(plan.fingerprint.codec, treatment, plan.carried)
    if wrong := [each.name for each in expected if each.name not in table.schema.names]:
        yield f"lacks the columns {', '.join(wrong)}"
        return
    if wrong := [each.name for each in expected if table.schema.field(each.name).type != each.type]:
        yield f"has the columns {', '.join(wrong)} in other types"
        return
    yield from row_faults(table, excluded, header, planned, treatment)
    yield from header_faults(header, table, planned, plan)
    if dict(header.excluded) != Counter(excluded["reason"].to_pylist()):
        yield f"speaks of {sum(header.excluded.values()):,} rows that were left out, and there are {len(excluded):,}"
    yield from carried_faults(table, planned, plan.carried.names, treatment)
    yield from code_faults(output, table)


def row_faults(
    table: pa.Table, excluded: pa.Table, header: ShardHeader, planned: pa.Table, treatment: Treatment
) -> Iterator[str]:
    """What is wrong with the ids of a shard. Of a recording that was cut, each piece has one, with the parent's."""
    failed = [each.id for each in header.failures]
    ids = [*table["id"].to_pylist(), *excluded["id"].to_pylist()]
    names = planned["id"].to_pylist()
    if not treatment.is_cut:
        yield from id_faults(table["id"].to_pylist(), [*excluded["id"].to_pylist(), *failed], names)
        return
    if twice := [name for name, count in Counter([*ids, *failed]).items() if count > 1]:
        yield f"holds {len(twice):,} ids more than once, such as {twice[0]!r}"
    wanted = set(names)
    pieces = [name if name in wanted else name.rpartition("#")[0] for name in failed]
    parents = dict.fromkeys([*table["parent"].to_pylist(), *excluded["parent"].to_pylist(), *pieces])
    more = [name for name in parents if name not in wanted]
    yield from id_faults([name for name in names if name in parents], more, names)


def carried_faults(table: pa.Table, planned: pa.Table, carried: Sequence[str], treatment: Treatment) -> Iterator[str]:
    """What of a shard is not as it was carried along."""
    places = pc.index_in(table[treatment.recording_column], planned["id"].combine_chunks())
    if places.null_count:
        return
    for name in carried:
        told, expected = table[name].to_pylist(), planned[name].take(places).to_pylist()
        if treatment.is_cut and name == "text":  # a piece has none
            expected = [was if now is not None else None for was, now in zip(expected, told, strict=True)]
        if repr(told) != repr(expected):  # as text NaN is NaN
            yield f"has other values of {name!r} than the plan"


def id_faults(done: list[str], failed: list[str], planned: list[str]) -> Iterator[str]:
    """What is wrong with the ids of a shard: each that is planned is there once, with codes or as a failure."""
    if twice := [name for name, count in Counter([*done, *failed]).items() if count > 1]:
        yield f"holds {len(twice):,} ids more than once, such as {twice[0]!r}"
    there, wanted = {*done, *failed}, set(planned)
    if missing := [name for name in planned if name not in there]:
        yield f"lacks {len(missing):,} of its {len(planned):,} ids, such as {missing[0]!r}"
    if more := [name for name in (*done, *failed) if name not in wanted]:
        yield f"holds {len(more):,} ids that are not planned in it, such as {more[0]!r}"
    if not (twice or missing or more) and done != [name for name in planned if name in set(done)]:
        yield "holds its recordings in another order than the plan"


def header_faults(header: ShardHeader, table: pa.Table, planned: pa.Table, plan: Plan) -> Iterator[str]:
    """What a shard says of itself that is not so."""
    told = (
        ("rows", header.rows, len(table)),
        ("seconds", header.seconds, sum(table["seconds"].to_pylist())),
        ("seconds that were planned", header.planned_seconds, sum(planned["seconds"].to_pylist())),
    )
    for what, said, found in told:
        if said != found:
            yield f"speaks of {said:,} {what}, and there are {found:,}"
    if dict(header.codec) != plan.fingerprint.codec:
        yield "was made by another codec than the plan's"


def code_faults(output: Tokens, table: pa.Table) -> Iterator[str]:
    """What is wrong with codes: too few or too many for the sound, or beyond their codebook."""
    wrong: list[str] = []
    frames = table["frames"].to_pylist()
    if table["codes"].null_count:
        yield f"has no codes of {table['codes'].null_count:,} recordings"
        return
    for i, row in enumerate(row for batch in table.to_batches() for row in rows_of(batch)):
        try:
            if row.codes.shape[1] != frames[i]:
                wrong.append(f"{row.id!r} has {row.codes.shape[1]} frames, not {frames[i]}")
            else:
                output.codes(row)
        except (XcodecError, ValueError) as error:
            wrong.append(f"{row.id!r}: {first_line(error)}")
    if wrong:
        yield f"holds codes that cannot be decoded, of {len(wrong):,} recordings, such as {wrong[0]}"


def listing_faults(plan: Plan, done: Mapping[int, ShardHeader]) -> Iterator[str]:
    """What is wrong with failures.parquet, which gathers what the shards say."""
    expected = [(number, failure.id) for number, header in done.items() for failure in header.failures]
    try:
        with plan.store.here("failures.parquet") as path:
            table = pq.read_table(path, columns=["shard", "id"])
    except FileNotFoundError:
        yield "is not there"
    except (pa.ArrowException, OSError) as error:
        yield f"cannot be read ({first_line(error)})"
    else:
        if list(zip(table["shard"].to_pylist(), table["id"].to_pylist(), strict=True)) != expected:
            yield f"lists {len(table):,} failures, which are not the {len(expected):,} of the shards"
