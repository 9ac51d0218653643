"""Entries: where each recording of a data set lies, and what its manifest says of it, as batches of Arrow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import as_text

__all__ = [
    "BATCH_ROWS",
    "ENTRY",
    "OUTPUT_COLUMNS",
    "Fault",
    "Reader",
    "UnreadableReader",
    "check_carried",
    "entries",
    "estimated_seconds",
    "fault_entries",
]

BATCH_ROWS = 16384
"""Rows that a reader holds at once."""

ENTRY = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),  # an absolute path, or what fsspec opens
        ("byte_start", pa.int64()),  # where a recording lies inside the file, such as a tar; null: it is the file
        ("byte_count", pa.int64()),
        pa.field("start", pa.float64(), nullable=False),  # of a span of the recording, in seconds
        ("duration", pa.float64()),  # in seconds; null: to the end
        ("channel", pa.int32()),  # the one that is meant; null: the mean of all
        pa.field("seconds", pa.float64(), nullable=False),  # `duration`, or an estimate of it
        ("file_size", pa.int64()),  # of the file at `uri` when it was planned, in bytes; null where that was not told
        ("file_modified", pa.int64()),  # when it was written last, in milliseconds since 1970; null likewise
        ("file_sha256", pa.string()),  # of the recording's bytes; null unless the plan was made with hashes
        ("fault", pa.string()),  # why there is nothing to read, where that is known already
    ]
)
"""The columns that every entry has; what a manifest holds beyond them is carried."""

OUTPUT_COLUMNS = ("codes", "frames", "source_rate")
"""What a row of codes has besides an entry's id and seconds."""

_TAKEN = {*ENTRY.names, *OUTPUT_COLUMNS, "shard"}

# Bytes of a second of speech, roughly. They only decide how shards of recordings of unknown length are cut.
_BYTES_PER_SECOND = {".flac": 18_000, ".mp3": 8_000, ".ogg": 8_000, ".oga": 8_000, ".opus": 6_000}
_PCM_BYTES_PER_SECOND = 32_000
_UNKNOWN_SECONDS = 10.0


@dataclass(frozen=True)
class Fault:
    """Something in an input that names no recording that can be read.

    Args:
        id: of the entry that it becomes.
        uri: where it is.
        reason: why it cannot be read.
    """

    id: str
    uri: str
    reason: str


class Reader(Protocol):
    """One kind of input."""

    @property
    def carried(self) -> pa.Schema:
        """The columns that go along with each entry, with their types."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All entries in a fixed order: the columns of `ENTRY`, then the carried ones."""


class UnreadableReader:
    """An input of which nothing can be read, beside others: one entry that says why.

    Args:
        place: of the input.
        reason: as an error says it, the place in front.
    """

    carried = pa.schema([])

    def __init__(self, place: str, reason: str) -> None:
        self.place, self.reason = place, reason

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The entry."""
        reason = self.reason.removeprefix(f"{self.place}: ")
        return fault_entries(self.carried, [Fault(self.place, self.place, reason)])


def entries(
    carried: pa.Schema, columns: Mapping[str, Sequence[Any] | pa.Array], further: Sequence[pa.Array] = ()
) -> pa.RecordBatch:
    """A batch of entries.

    Args:
        carried: names and types of `further`.
        columns: of `ENTRY`, at least id and uri, whose lists may hold paths that are no text; `seconds` where the
            length is only estimated.
        further: the carried columns.
    """
    count = len(columns["id"])
    given: dict[str, Sequence[Any] | pa.Array] = {"start": [0.0] * count, **columns}
    if "seconds" not in given:
        given["seconds"] = [_UNKNOWN_SECONDS if each is None else each for each in given["duration"]]
    try:
        arrays = arrays_of(given, count)
    except UnicodeEncodeError:
        listed = [name for name in ("id", "uri") if not isinstance(given[name], pa.Array)]
        arrays = arrays_of(given | {name: list(map(as_text, given[name])) for name in listed}, count)
    return pa.RecordBatch.from_arrays([*arrays, *further], schema=pa.schema([*ENTRY, *carried]))


def arrays_of(given: Mapping[str, Sequence[Any] | pa.Array], count: int) -> list[pa.Array]:
    """The columns of `ENTRY`; those that are not given are null."""
    columns = [given.get(field.name, [None] * count) for field in ENTRY]
    return [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field, values in zip(ENTRY, columns, strict=True)
    ]


def fault_entries(carried: pa.Schema, faults: Sequence[Fault]) -> Iterator[pa.RecordBatch]:
    """A batch of entries that only say why they cannot be read, if there are any; what is carried is null."""
    if faults:
        columns: dict[str, Sequence[Any]] = {
            "id": [as_text(each.id) for each in faults],
            "uri": [as_text(each.uri) for each in faults],
            "seconds": [0.0] * len(faults),
            "fault": [as_text(each.reason) for each in faults],
        }
        yield entries(carried, columns, [pa.nulls(len(faults), field.type) for field in carried])


def estimated_seconds(name: str, num_bytes: int | None) -> float:
    """How long a recording may be that takes so many bytes, for cutting shards; nothing is opened."""
    if num_bytes is None:
        return _UNKNOWN_SECONDS
    return max(1.0, num_bytes / _BYTES_PER_SECOND.get(PurePosixPath(name).suffix.lower(), _PCM_BYTES_PER_SECOND))


def check_carried(names: Sequence[str], source: str) -> None:
    """Refuse further columns whose names mean something else in the plan or in the output."""
    if taken := sorted(_TAKEN.intersection(names)):
        raise InputError(
            f"the column {taken[0]!r} has a name that the output needs for itself",
            subject=source,
            remedy=f"rename it. Taken are {', '.join(sorted(_TAKEN))}",
        )
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise InputError(f"has two columns called {twice[0]!r}", subject=source, remedy="rename one")
