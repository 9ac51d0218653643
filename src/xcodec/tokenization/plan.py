"""The plan: what is tokenized, frozen once, cut into shards, with the fingerprint of the input and of the codec.

OUT holds, besides what the run reports of itself:

    plan.json          the fingerprint
    plan.parquet       id, uri, where in it, and shard of every recording, with the carried columns
    codes/*.parquet    a file for each shard that is done
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.errors import InputError, first_line
from xcodec.tokenization.duplicates import DuplicateFinder, settle_duplicates
from xcodec.tokenization.headers import Survey, shard_name, survey
from xcodec.tokenization.inputs import ENTRY, Inputs
from xcodec.tokenization.lock import ScratchFolder
from xcodec.tokenization.plan_changes import first_difference
from xcodec.tokenization.stores import Store, store_of
from xcodec.tokenization.treatment import UNTREATED, Treatment

__all__ = ["Fingerprint", "Plan", "Sharding"]

FORMAT = "xcodec.tokens"
FORMAT_VERSION = 3

_SHARD_ROWS = 20_000  # at most: what a shard's worker holds of its rows in memory
_SHARD_SHARE = 1 / 1000  # of what was planned before it, which a shard holds at least where shards grow
_SHARDED_AT_ONCE = 256  # recordings: about as many as an hour holds
_GROUP_ROWS = 20_000  # at least: a Parquet row group holds whole shards


@dataclass(frozen=True)
class Fingerprint:
    """What decides every code of an output.

    Args:
        plan_hash: SHA-256 of plan.parquet.
        rows: recordings.
        seconds: their expected length together.
        shards: how many there are.
        shard_hours: expected audio in each; None where they grow with the input.
        codec: `name`, `config_hash` and `weights_hash` of the model, `dtype`, `bandwidth` in kbit/s, and the
            `xcodec` version.
        faults: of the rows, those that name nothing that could be read.
        hashed: whether recordings are known again by hashes of their contents.
        treatment: what is done to them besides encoding; the plan's hash is of it, too.
    """

    plan_hash: str
    rows: int
    seconds: float
    shards: int
    shard_hours: float | None
    codec: dict[str, Any]
    faults: int = 0
    hashed: bool = False
    treatment: Treatment = UNTREATED

    def codec_changes(self, codec: dict[str, Any]) -> list[str]:
        """What another codec differs in; its name is for people and does not count."""
        return [
            f"{name} was {self.codec.get(name)!r} and is {codec.get(name)!r}"
            for name in sorted(self.codec.keys() | codec.keys())
            if name != "name" and self.codec.get(name) != codec.get(name)
        ]


class Plan:
    """A plan of an output.

    Args:
        output: the output, in which a plan was written: its store, or the path or URL of it.

    Raises:
        InputError: where there is no plan, or it is damaged or of a newer version.
    """

    def __init__(self, output: Store | str | os.PathLike[str]) -> None:
        self.store = store = output if isinstance(output, Store) else store_of(output)
        path = store.called("plan.json")
        try:
            stored = json.loads(store.read("plan.json"))
            version = stored.pop("format_version")
            if stored.pop("format") != FORMAT or version > FORMAT_VERSION:
                raise InputError(
                    f"is of format version {version}; this xcodec reads up to {FORMAT_VERSION}", subject=path
                )
            treatment = Treatment(**stored.pop("treatment", {}))
            self.fingerprint = Fingerprint(**stored, treatment=treatment)
        except FileNotFoundError:
            raise InputError("holds no plan.json, so it is no output of `xcodec tokenize`", subject=store) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"is damaged ({error})",
                subject=path,
                remedy="put it back from a copy, or delete it and give the same input again",
            ) from None
        with self._readable():
            if file_hash(self.table_path) != self.fingerprint.plan_hash:
                raise InputError(
                    "is damaged, or not the plan that plan.json speaks of",
                    subject=self.store.called("plan.parquet"),
                    remedy="put it back from a copy, or delete plan.json and give the same input again",
                )

    @cached_property
    def table_path(self) -> Path:
        """The file of all rows; of a store far away a copy, which is kept as long as this is."""
        self._copies = ExitStack()
        return self._copies.enter_context(self.store.here("plan.parquet"))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say what to do where plan.parquet cannot be read."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"cannot be read ({first_line(error)})",
                subject=self.store.called("plan.parquet"),
                remedy="put it back from a copy, or delete plan.json and give the same input again",
            ) from None

    @staticmethod
    def exists(output: Store | str | os.PathLike[str]) -> bool:
        """Whether a plan was finished in an output."""
        return (output if isinstance(output, Store) else store_of(output)).exists("plan.json")

    @classmethod
    def write(
        cls,
        store: Store,
        inputs: Inputs,
        shard_hours: float | None,
        codec: dict[str, Any],
        treatment: Treatment = UNTREATED,
    ) -> "Plan | None":
        """Freeze the input.

        Args:
            store: of the output, which is made.
            inputs: all entries; they are read once, in batches.
            shard_hours: expected audio in a shard; None lets shards grow with the input.
            codec: of the fingerprint.
            treatment: of the fingerprint.

        Returns:
            The plan; None where another run has planned meanwhile.

        Raises:
            InputError: for an empty input, and where the output holds codes of another plan.
        """
        treatment.check_carried(inputs.carried.names)
        with store.lock(".plan.lock") as lock:
            lock.take(wait=True)
            if store.exists("plan.json"):
                return None
            with store.writing("plan.parquet") as part:
                fingerprint = _write_rows(part, inputs, shard_hours, codec, treatment)
                shards = fingerprint.shards
                survey(store, fingerprint.plan_hash, shards, range(shards)).check()
            stored = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(fingerprint)}
            if not store.create("plan.json", f"{json.dumps(stored, indent=1)}\n".encode()):
                raise InputError(
                    "another run has planned this output at the same time",
                    subject=store.called("plan.json"),
                    remedy="run again",
                )
        return cls(store)

    def check_same(self, inputs: Inputs, shard_hours: float | None, treatment: Treatment = UNTREATED) -> None:
        """Refuse an input, or a way to cut or treat it, that gives another plan; say what changed.

        Raises:
            InputError: names the first recording that differs.
        """
        was = self.fingerprint
        if shard_hours != was.shard_hours:
            raise InputError(
                f"was planned with shard_hours={was.shard_hours}, not {shard_hours}",
                subject=self.store,
                remedy="go on with the same, or start another output",
            )
        if changes := was.treatment.changes(treatment):
            raise InputError(
                f"was planned with {', and '.join(changes)}",
                subject=self.store,
                remedy="go on with the same, or start another output",
            )
        if inputs.hashed and not was.hashed:
            raise InputError(
                "was planned without hashes", subject=self.store, remedy="leave --verify out, or start another output"
            )
        inputs.hashed = was.hashed
        with ScratchFolder() as scratch:
            again = scratch.path / "plan.parquet"
            now = _write_rows(again, inputs, shard_hours, was.codec, was.treatment)
            if now.plan_hash == was.plan_hash:
                return
            if change := first_difference(self.table_path, again):
                raise InputError(
                    f"the input has changed since it was planned: it had {was.rows:,} recordings and has "
                    f"{now.rows:,}; {change}. Go on with the recordings as planned by leaving the input out, "
                    "or start another output",
                    subject=self.store,
                )

    def check_codec(self, codec: dict[str, Any]) -> None:
        """Refuse another codec, and say what changed.

        Raises:
            InputError: names what differs.
        """
        if changes := self.fingerprint.codec_changes(codec):
            raise InputError(
                f"was begun with the codec {self.fingerprint.codec['name']}, which is not this one: "
                f"{'; '.join(changes)}. Go on with the same codec, or start another output",
                subject=self.store,
            )

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of plan.parquet."""
        with self._readable():
            return pq.read_schema(self.table_path).remove_metadata()

    @property
    def carried(self) -> pa.Schema:
        """The columns that go along to the output, with their types."""
        return pa.schema([field for field in self.schema if field.name not in (*ENTRY.names, "shard")])

    @cached_property
    def _footer(self) -> pq.FileMetaData:
        """What plan.parquet says of its row groups, which of a large plan takes seconds to read."""
        with self._readable():
            return pq.read_metadata(self.table_path)

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """Of each row group of plan.parquet, its first and its last shard."""
        column = self.schema.get_field_index("shard")
        found = (self._footer.row_group(i) for i in range(self._footer.num_row_groups))
        groups = [group.column(column).statistics for group in found]
        return [(statistics.min, statistics.max) for statistics in groups]

    def shard(self, number: int) -> pa.Table:
        """The rows of a shard, all columns."""
        group = next(i for i, (first, last) in enumerate(self._groups) if first <= number <= last)
        with self._readable(), pq.ParquetFile(self.table_path, metadata=self._footer) as parquet:
            rows = parquet.read_row_group(group)
        return rows.filter(pc.equal(rows["shard"], number))

    @cached_property
    def shard_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Recordings in each shard, and their expected seconds."""
        rows, seconds = (np.zeros(self.fingerprint.shards, dtype) for dtype in (np.int64, np.float64))
        with self._readable(), pq.ParquetFile(self.table_path) as parquet:
            for batch in parquet.iter_batches(columns=["shard", "seconds"]):
                np.add.at(rows, batch["shard"].to_numpy(), 1)
                np.add.at(seconds, batch["shard"].to_numpy(), batch["seconds"].to_numpy())
        return rows, seconds

    def output(self, number: int) -> str:
        """What the store calls the file of a shard, once it is done."""
        return shard_name(number)

    def shards(self, part: tuple[int, int] = (0, 1)) -> range:
        """The numbers of the shards; of a part (i, n) of the work, only each n-th from the i-th on."""
        return range(part[0], self.fingerprint.shards, part[1])

    def survey(self, part: tuple[int, int] = (0, 1)) -> Survey:
        """What lies where the codes of a part belong."""
        planned = self.fingerprint
        return survey(self.store, planned.plan_hash, planned.shards, self.shards(part))

    def done(self, part: tuple[int, int] = (0, 1)) -> list[int]:
        """The shards whose output is there, and says that it is."""
        return list(self.survey(part).done)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _write_rows(
    path: Path, inputs: Inputs, shard_hours: float | None, codec: dict[str, Any], treatment: Treatment
) -> Fingerprint:
    """Write all entries with their shards, in groups of whole shards."""
    told = {"xcodec": json.dumps(treatment.fields())} if treatment.fields() else None
    schema = pa.schema([*inputs.schema, pa.field("shard", pa.int32(), nullable=False)], told)
    sharding = Sharding(shard_hours)
    rows = 0
    with DuplicateFinder() as duplicates:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            pending = schema.empty_table()
            for batch in inputs.batches():
                numbers = sharding.numbers(batch["seconds"].to_numpy())
                duplicates.add(batch["id"].to_pylist())
                rows += len(batch)
                numbered = batch.append_column(schema.field("shard"), pa.array(numbers, pa.int32()))
                pending = pa.concat_tables([pending, pa.Table.from_batches([numbered.cast(schema)])])
                if len(pending) > _GROUP_ROWS:
                    whole = pending.filter(pc.less(pending["shard"], sharding.number))
                    if len(whole) >= _GROUP_ROWS:
                        writer.write_table(whole, row_group_size=len(whole))
                        pending = pending.slice(len(whole))
            if len(pending):
                writer.write_table(pending, row_group_size=len(pending))
        if rows == 0:
            raise InputError("the input holds no recordings")
        settle_duplicates(path, duplicates)
    faults, seconds = 0, 0.0
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(columns=["seconds", "fault"]):
            seconds += pc.sum(batch["seconds"]).as_py() or 0.0
            faults += len(batch) - batch["fault"].null_count
    return Fingerprint(
        file_hash(path), rows, seconds, sharding.number + 1, shard_hours, codec, faults, inputs.hashed, treatment
    )


class Sharding:
    """Cuts a stream of recordings into shards.

    Args:
        hours: expected audio in each; None is an hour, and of a large input a thousandth of what came before, so that
            100,000 hours are 5,600 files, the largest of 100 hours, and not 100,000.
    """

    def __init__(self, hours: float | None) -> None:
        self._least = 3600 * (hours or 1.0)
        self._share = _SHARD_SHARE if hours is None else 0.0
        self.limit, self.number = self._least, 0
        self.rows, self.seconds, self.total = 0, 0.0, 0.0

    def numbers(self, seconds: np.ndarray) -> np.ndarray:
        """The shard of each of the next recordings.

        Args:
            seconds: how long each is, float64 of shape (N,).

        Returns:
            Their numbers, int32 of shape (N,).
        """
        numbers = np.empty(len(seconds), np.int32)
        at = 0
        while at < len(seconds):
            if self.rows and (self.seconds >= self.limit or self.rows == _SHARD_ROWS):
                self.number, self.total = self.number + 1, self.total + self.seconds
                self.limit = max(self._least, self._share * self.total)
                self.rows, self.seconds = 0, 0.0
            window = seconds[at : at + min(_SHARDED_AT_ONCE, _SHARD_ROWS - self.rows)]
            filled = np.cumsum([self.seconds, *window])[1:]  # one after the other, as sums go that plans remember
            taken = min(int(np.searchsorted(filled, self.limit)) + 1, len(window))
            numbers[at : at + taken] = self.number
            self.rows, self.seconds, at = self.rows + taken, float(filled[taken - 1]), at + taken
        return numbers
