"""Ids that occur twice: found in bounded memory whatever their number, and told in the plan."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.files import scratch_file

__all__ = ["DuplicateFinder", "settle_duplicates"]

_BUCKETS = 64


class DuplicateFinder:
    """Remembers the hashes of ids on disk, in buckets small enough to be sorted in memory one by one: 8 bytes an id."""

    def __init__(self) -> None:
        self._files = ExitStack()
        self._buckets = [self._files.enter_context(tempfile.TemporaryFile()) for _ in range(_BUCKETS)]  # noqa: SIM115

    def __enter__(self) -> "DuplicateFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, ids: Iterable[str]) -> None:
        """Remember some more ids."""
        hashes = np.fromiter(map(hash, ids), np.int64)
        bucket = hashes % _BUCKETS
        for number in np.unique(bucket):
            self._buckets[number].write(hashes[bucket == number].tobytes())

    def found(self, ids: Callable[[], Iterable[str]]) -> dict[str, int]:
        """Return the ids that were added more than once, and how often.

        Args:
            ids: gives all of them again; read only where hashes meet.
        """
        suspects: set[int] = set()
        for bucket in self._buckets:
            bucket.seek(0)
            hashes = np.sort(np.frombuffer(bucket.read(), np.int64))
            suspects.update(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not suspects:
            return {}
        counts = Counter(each for each in ids() if hash(each) in suspects)
        return {each: count for each, count in counts.items() if count > 1}


def settle_duplicates(path: Path, found: DuplicateFinder) -> None:
    """Write a plan again where ids occur twice: each row but the first becomes a failure, under an id of its own.

    Args:
        path: plan.parquet.
        found: has been told of all its ids.
    """
    counts = found.found(lambda: ids_of(path))
    if not counts:
        return
    mark = "#"
    while not new_ids(counts, mark).isdisjoint(ids_of(path)):
        mark += "#"
    rewrite(path, Renaming(counts, mark))


def new_ids(counts: Mapping[str, int], mark: str) -> frozenset[str]:
    """All that duplicates would be called with a mark between their id and their number."""
    return frozenset(f"{name}{mark}{number}" for name, count in counts.items() for number in range(2, count + 1))


def ids_of(path: Path) -> Iterator[str]:
    """The ids of a plan, in their order."""
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(columns=["id"]):
            yield from batch["id"].to_pylist()


def rewrite(path: Path, renaming: "Renaming") -> None:
    """Rename the duplicates in a plan, in the file that it is."""
    with scratch_file(path.parent) as scratch:
        with (
            pq.ParquetFile(path) as parquet,
            pq.ParquetWriter(scratch, parquet.schema_arrow, compression="zstd") as writer,
        ):
            for number in range(parquet.num_row_groups):  # each holds whole shards
                rows = renaming.renamed(parquet.read_row_group(number))
                writer.write_table(rows, row_group_size=len(rows))
        shutil.copyfile(scratch, path)


class Renaming:
    """Gives rows of a plan whose id another row has before them an id of their own, and says so.

    Args:
        repeated: the ids that occur more than once.
        mark: stands between an id and the number of its occurrence.
    """

    _LOOKED_AT = ("id", "uri", "start", "seconds", "fault")

    def __init__(self, repeated: Container[str], mark: str) -> None:
        self._repeated, self._mark = repeated, mark
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def renamed(self, rows: pa.Table) -> pa.Table:
        """The next rows of the plan."""
        listed = rows.select(self._LOOKED_AT).to_pylist()
        for row in listed:
            if row["id"] in self._repeated:
                self._rename(row)
        for name in ("id", "seconds", "fault"):
            kind = rows.schema.field(name)
            values = pa.array([row[name] for row in listed], kind.type)
            rows = rows.set_column(rows.schema.get_field_index(name), kind, values)
        return rows

    def _rename(self, row: dict[str, Any]) -> None:
        name = row["id"]
        self._counts[name] += 1
        if self._counts[name] == 1:
            self._first[name] = row["uri"] + (f" from {row['start']:g} s on" if row["start"] else "")
            return
        row |= {"id": f"{name}{self._mark}{self._counts[name]}", "seconds": 0.0}
        row["fault"] = row["fault"] or (
            f"has the id of a recording before it, {name!r}; that one is {self._first[name]}. Give each its own"
        )
