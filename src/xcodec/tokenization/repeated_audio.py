"""Rows with the same audio as a row before them: found once all shards are done, and left out.

What is kept is the first in the plan's order, so it does not matter who did which shard, and when. The pass may be
killed and begun again: a row that was left out stays told of, with its hash, in the file of its shard.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.tokenization.duplicates import DuplicateFinder
from xcodec.tokenization.excluded import excluded_schema, read_excluded
from xcodec.tokenization.headers import Survey, read_header
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.sinks import write_table
from xcodec.tokenization.treatment import AUDIO_HASH, DUPLICATE

__all__ = ["is_settled", "settle"]

SETTLED = "deduplicated.json"
"""What says of which state of the shards no row repeats another."""


def is_settled(plan: Plan) -> bool:
    """Whether no row of an output that is done repeats another, if that is wanted."""
    if plan.fingerprint.treatment.dedupe is None:
        return True
    try:
        told = json.loads(plan.store.read(SETTLED))["state"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    return bool(told == state_of(plan.survey()))


def state_of(survey: Survey) -> str:
    """A hash of what all shards say of themselves: another once one was done again with another result."""
    text = json.dumps([asdict(header) for header in survey.done.values()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def settle(plan: Plan) -> list[int]:
    """Leave out duplicates, where the plan asks for it and all shards are done.

    Returns:
        Shards that have to be done again, and are removed: a row in them was left out, and the one that was kept for it
        has no codes any more, as after its shard was done anew and it could not be read.
    """
    if is_settled(plan):
        return []
    with plan.store.lock(".deduplicate.lock") as lock:
        lock.take(wait=True)
        numbers = list(plan.survey().done)
        if len(numbers) < plan.fingerprint.shards or is_settled(plan):
            return []
        with DuplicateFinder() as finder:
            for each in all_hashes(plan, numbers):
                finder.add(each)
            repeated = finder.found(lambda: chain.from_iterable(all_hashes(plan, numbers)))
        firsts: dict[str, str] = {}
        for number in numbers if repeated else ():
            leave_out(plan, number, repeated, firsts)
        lost = [number for number in numbers if not firsts.keys() >= set(left_out_hashes(plan, number))]
        for number in lost:
            plan.store.remove(plan.output(number))
        if not lost:
            with plan.store.writing(SETTLED) as part:
                part.write_text(json.dumps({"state": state_of(plan.survey())}) + "\n")
        return lost


def all_hashes(plan: Plan, numbers: Sequence[int]) -> Iterator[list[str]]:
    """The hashes of all rows of some shards, and of those that were left out as duplicates."""
    for number in numbers:
        yield kept_hashes(plan, number)
        yield left_out_hashes(plan, number)


def kept_hashes(plan: Plan, number: int) -> list[str]:
    """The hashes of the rows of a shard."""
    with plan.store.here(plan.output(number)) as path:
        found: list[str] = pq.read_table(path, columns=[AUDIO_HASH])[AUDIO_HASH].to_pylist()
        return found


def left_out_hashes(plan: Plan, number: int) -> list[str]:
    """The hashes of those rows of a shard that were left out as duplicates."""
    name = plan.output(number)
    rows = read_excluded(plan.store.footer(name), plan.fingerprint.treatment, plan.store.called(name))
    found: list[str] = rows.filter(pc.equal(rows["reason"], DUPLICATE))[AUDIO_HASH].to_pylist()
    return found


def leave_out(plan: Plan, number: int, repeated: Container[str], firsts: dict[str, str]) -> None:
    """Write a shard again without the rows whose audio a row before them has; where there is none, leave it as it is.

    Args:
        plan: of the output.
        number: of the shard.
        repeated: hashes that occur more than once.
        firsts: takes of each of them the id of the first row, and has those of the shards before.
    """
    name = plan.output(number)
    with plan.store.here(name) as path:
        table = pq.read_table(path)
        header = read_header(path, plan.store.called(name))
        excluded = read_excluded(path, plan.fingerprint.treatment, plan.store.called(name))
    is_first = [
        audio not in repeated or firsts.setdefault(audio, row) == row
        for row, audio in zip(table["id"].to_pylist(), table[AUDIO_HASH].to_pylist(), strict=True)
    ]
    if all(is_first):
        return
    new = pa.array(is_first)
    repeats = table.filter(pc.invert(new))
    rows = plan.shard(number)
    uris = dict(zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), strict=True))
    planned = repeats[plan.fingerprint.treatment.recording_column].to_pylist()
    told = {
        "uri": pa.array([uris[each] for each in planned], pa.string()),
        "reason": pa.array([DUPLICATE] * len(repeats), pa.string()),
        "same_as": pa.array([firsts[each] for each in repeats[AUDIO_HASH].to_pylist()], pa.string()),
    }
    schema = excluded_schema(plan.fingerprint.treatment)
    added = pa.Table.from_arrays(
        [told[each] if each in told else repeats[each] for each in schema.names], schema=schema
    )
    kept, excluded = table.filter(new), pa.concat_tables([excluded, added])
    changed = replace(
        header,
        rows=len(kept),
        seconds=sum(kept["seconds"].to_pylist()),
        excluded=dict(Counter(excluded["reason"].to_pylist())),
    )
    with plan.store.writing(name) as part:
        write_table(part, kept, changed, excluded)
