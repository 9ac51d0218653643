"""The plan: what is tokenized, frozen once, cut into shards, with the fingerprint of the input and of the codec.

OUT holds, besides what the run reports of itself:

    plan.json          the fingerprint
    plan.parquet       id, uri, where in it, and shard of every recording, with the carried columns
    codes/*.parquet    a file for each shard that is done
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.tokenization.duplicates import DuplicateFinder
from xcodec.tokenization.inputs import ENTRY, Inputs

__all__ = ["Fingerprint", "Plan"]

FORMAT = "xcodec.tokens"
FORMAT_VERSION = 1

_SHARD_ROWS = 20_000  # at most: what a shard's worker holds of its rows in memory
_GROUP_ROWS = 20_000  # at least: a Parquet row group holds whole shards
_NAMED = 5  # duplicates that an error spells out


@dataclass(frozen=True)
class Fingerprint:
    """What decides every code of an output.

    Args:
        plan_hash: SHA-256 of plan.parquet.
        rows: recordings.
        seconds: their expected length together.
        shards: how many there are.
        shard_hours: expected audio in each.
        codec: `name`, `config_hash` and `weights_hash` of the model, `dtype`, `bandwidth` in kbit/s, and the
            `xcodec` version.
    """

    plan_hash: str
    rows: int
    seconds: float
    shards: int
    shard_hours: float
    codec: dict[str, Any]

    def codec_changes(self, codec: dict[str, Any]) -> list[str]:
        """What another codec differs in; its name is for people and does not count."""
        return [
            f"{name} was {self.codec.get(name)!r} and is {codec.get(name)!r}"
            for name in sorted(self.codec.keys() | codec.keys())
            if name != "name" and self.codec.get(name) != codec.get(name)
        ]


class Plan:
    """A plan in the folder of an output.

    Args:
        folder: the output, in which a plan was written.

    Raises:
        InputError: where there is no plan, or it is damaged or of a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "plan.json"
        try:
            stored = json.loads(path.read_text())
            version = stored.pop("format_version")
            if stored.pop("format") != FORMAT or version > FORMAT_VERSION:
                raise InputError(f"{path}: is of format version {version}; this xcodec reads up to {FORMAT_VERSION}")
            self.fingerprint = Fingerprint(**stored)
        except FileNotFoundError:
            raise InputError(f"{folder}: holds no plan.json, so it is no output of `xcodec tokenize`") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: is damaged ({error}); delete it, and give the input again") from None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a plan was finished in a folder."""
        return (folder / "plan.json").is_file()

    @classmethod
    def write(cls, folder: Path, inputs: Inputs, shard_hours: float, codec: dict[str, Any]) -> "Plan":
        """Freeze the input.

        Args:
            folder: of the output, which exists.
            inputs: all entries; they are read once, in batches.
            shard_hours: expected audio in a shard.
            codec: of the fingerprint.

        Raises:
            InputError: for an empty input, and for ids that occur twice, which it names.
        """
        with written_whole(folder / "plan.parquet") as part:
            fingerprint = _write_rows(part, inputs, shard_hours, codec)
        stored = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(fingerprint)}
        with written_whole(folder / "plan.json") as part:
            part.write_text(json.dumps(stored, indent=1) + "\n")
        return cls(folder)

    def check_same(self, inputs: Inputs, shard_hours: float) -> None:
        """Refuse an input, or a way to cut it, that gives another plan; say what changed.

        Raises:
            InputError: names the first recording that differs.
        """
        was = self.fingerprint
        if shard_hours != was.shard_hours:
            raise InputError(
                f"{self.folder}: was planned with shard_hours={was.shard_hours:g}, not {shard_hours:g}; go on with the "
                "same, or start another output"
            )
        with tempfile.TemporaryDirectory(prefix=".plan-", dir=self.folder) as temporary:
            again = Path(temporary, "plan.parquet")
            now = _write_rows(again, inputs, shard_hours, was.codec)
            if now.plan_hash == was.plan_hash:
                return
            if change := first_difference(self.folder / "plan.parquet", again):
                raise InputError(
                    f"{self.folder}: the input has changed since it was planned: it had {was.rows:,} recordings and "
                    f"has {now.rows:,}; {change}. Go on with the recordings as planned by leaving the input out, or "
                    "start another output"
                )

    def check_codec(self, codec: dict[str, Any]) -> None:
        """Refuse another codec, and say what changed.

        Raises:
            InputError: names what differs.
        """
        if changes := self.fingerprint.codec_changes(codec):
            raise InputError(
                f"{self.folder}: was begun with the codec {self.fingerprint.codec['name']}, which is not this one: "
                f"{'; '.join(changes)}. Go on with the same codec, or start another output"
            )

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of plan.parquet."""
        return pq.read_schema(self.folder / "plan.parquet").remove_metadata()

    @property
    def carried(self) -> pa.Schema:
        """The columns that go along to the output, with their types."""
        return pa.schema([field for field in self.schema if field.name not in (*ENTRY.names, "shard")])

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """Of each row group of plan.parquet, its first and its last shard."""
        metadata = pq.read_metadata(self.folder / "plan.parquet")
        column = self.schema.get_field_index("shard")
        groups = [metadata.row_group(i).column(column).statistics for i in range(metadata.num_row_groups)]
        return [(statistics.min, statistics.max) for statistics in groups]

    def shard(self, number: int) -> pa.Table:
        """The rows of a shard, all columns."""
        group = next(i for i, (first, last) in enumerate(self._groups) if first <= number <= last)
        with pq.ParquetFile(self.folder / "plan.parquet") as parquet:
            rows = parquet.read_row_group(group)
        return rows.filter(pc.equal(rows["shard"], number))

    @cached_property
    def shard_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Recordings in each shard, and their expected seconds."""
        rows, seconds = (np.zeros(self.fingerprint.shards, dtype) for dtype in (np.int64, np.float64))
        with pq.ParquetFile(self.folder / "plan.parquet") as parquet:
            for batch in parquet.iter_batches(columns=["shard", "seconds"]):
                np.add.at(rows, batch["shard"].to_numpy(), 1)
                np.add.at(seconds, batch["shard"].to_numpy(), batch["seconds"].to_numpy())
        return rows, seconds

    def output(self, number: int) -> Path:
        """Where the codes of a shard are, once it is done."""
        return self.folder / "codes" / f"{number:07}.parquet"

    def shards(self, part: tuple[int, int] = (0, 1)) -> range:
        """The numbers of the shards; of a part (i, n) of the work, only each n-th from the i-th on."""
        return range(part[0], self.fingerprint.shards, part[1])

    def done(self, part: tuple[int, int] = (0, 1)) -> list[int]:
        """The shards whose output is there."""
        names = {path.name for path in (self.folder / "codes").glob("*.parquet")}
        return [number for number in self.shards(part) if self.output(number).name in names]


def _write_rows(path: Path, inputs: Inputs, shard_hours: float, codec: dict[str, Any]) -> Fingerprint:
    """Write all entries with their shards, in groups of whole shards."""
    schema = pa.schema([*inputs.schema, pa.field("shard", pa.int32(), nullable=False)])
    sharding = _Sharding(3600 * shard_hours)
    rows, seconds = 0, 0.0
    with (
        DuplicateFinder() as duplicates,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        pending = schema.empty_table()
        for batch in inputs.batches():
            numbers = sharding.numbers(batch["seconds"].to_pylist())
            duplicates.add(batch["id"].to_pylist())
            rows, seconds = rows + len(batch), seconds + (pc.sum(batch["seconds"]).as_py() or 0.0)
            numbered = batch.append_column(schema.field("shard"), pa.array(numbers, pa.int32()))
            pending = pa.concat_tables([pending, pa.Table.from_batches([numbered.cast(schema)])])
            if len(pending) > _GROUP_ROWS:
                whole = pending.filter(pc.less(pending["shard"], sharding.number))
                if len(whole) >= _GROUP_ROWS:
                    writer.write_table(whole, row_group_size=len(whole))
                    pending = pending.slice(len(whole))
        if len(pending):
            writer.write_table(pending, row_group_size=len(pending))
        writer.close()
        if rows == 0:
            raise InputError("the input holds no recordings")
        if found := duplicates.found(lambda: (row["id"] for row in _rows(path, ["id"]))):
            named = ", ".join(f"{each!r} ({count} times)" for each, count in list(found.items())[:_NAMED])
            more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            raise InputError(f"ids must be unique, but these occur more than once: {named}{more}")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return Fingerprint(digest.hexdigest(), rows, seconds, sharding.number + 1, shard_hours, codec)


class _Sharding:
    """Cuts a stream of recordings into shards of so many expected seconds."""

    def __init__(self, limit: float) -> None:
        self.limit, self.number = limit, 0
        self.rows, self.seconds = 0, 0.0

    def numbers(self, seconds: Sequence[float]) -> list[int]:
        """The shard of each of the next recordings."""
        numbers = []
        for each in seconds:
            if self.rows and (self.seconds >= self.limit or self.rows == _SHARD_ROWS):
                self.number, self.rows, self.seconds = self.number + 1, 0, 0.0
            self.rows, self.seconds = self.rows + 1, self.seconds + each
            numbers.append(self.number)
        return numbers


def first_difference(was: Path, now: Path) -> str:
    """Say where two plans part; empty where they say the same, as files of two versions of Arrow may."""
    old, new = pq.read_schema(was), pq.read_schema(now)
    if differing := {field.name for field in set(old) ^ set(new)}:
        return f"the columns differ in {', '.join(sorted(differing))}"
    for row, (a, b) in enumerate(zip_longest(_rows(was), _rows(now)), start=1):
        if a != b:
            return f"recording {row} {_changed(a, b)}"
    return ""


def _rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(columns=columns):
            yield from batch.to_pylist()


def _changed(was: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """Spell how a recording changed."""
    if was is None or now is None:
        which, how = (now, "new") if was is None else (was, "gone")
        return f"({which['id']!r}) is {how}"  # type: ignore[index]  # one of them is there
    if was["id"] != now["id"]:
        return f"was {was['id']!r} and is {now['id']!r}"
    return f"({was['id']!r}): " + ", ".join(f"{k} was {was[k]!r} and is {now[k]!r}" for k in was if was[k] != now[k])
