"""Manifests: files with a row for each recording."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xcodec.errors import InputError
from xcodec.listing import PATH_KEYS, START_KEYS
from xcodec.location import Location, is_url
from xcodec.tokenization.inputs.entries import Fault, check_carried, entries, estimated_seconds, fault_entries
from xcodec.tokenization.inputs.rows import Numbered, Rows, as_strings
from xcodec.tokenization.inputs.stamps import FileStamps

__all__ = ["ManifestReader", "base_of", "resolved", "why_not"]

# Columns that are understood; what else there is is carried.
UNDERSTOOD = {*PATH_KEYS, *START_KEYS, "id", "duration", "channel"}


class ManifestReader:
    """A manifest with a column `path`, and perhaps `id`, `start`, `duration` (in seconds), `channel` and any others.

    The names that NeMo gives, `audio_filepath` and `offset`, are understood too. Without an id, it is the path as it is
    written, and for a span also where it lies: path#start+duration. A row that names no recording becomes an entry that
    says why.

    Args:
        file: the manifest.
        rows: its rows.
        root: what relative paths are relative to; None is the manifest's folder.
    """

    def __init__(self, file: Location, rows: Rows, root: str | None) -> None:
        self.file, self.rows, self.root = file, rows, root
        self.stamps = FileStamps()
        names = rows.schema.names
        self.path, self.start = (
            next((name for name in each if name in names), None) for each in (PATH_KEYS, START_KEYS)
        )
        if self.path is None:
            raise InputError(
                f"has the columns {', '.join(names) or 'of an empty file'}; expected one called "
                f"{' or '.join(PATH_KEYS)}",
                subject=file,
            )
        self.carried = pa.schema([field for field in rows.schema if field.name not in UNDERSTOOD], metadata=None)
        check_carried(self.carried.names, str(file))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """An entry for each row."""
        for numbered in self.rows.batches():
            yield from self.entries_of(numbered)

    def entries_of(self, numbered: Numbered) -> Iterator[pa.RecordBatch]:
        """The entries of some rows, and then those of what is none."""
        batch, wrong = numbered.batch, dict[int, str]()
        kinds = {self.path: pa.string(), self.start: pa.float64()}
        kinds |= {"duration": pa.float64(), "channel": pa.int32(), "id": pa.string()}
        path, start, duration, channel, name = (column(batch, each, kind, wrong) for each, kind in kinds.items())
        has_ids = "id" in batch.schema.names
        for i in doubtful(path, start, duration, channel, name if has_ids else path):
            place = (each[i].as_py() for each in (path, start, duration, channel))
            if reason := why_not(*place) or why_no_id(name[i].as_py(), has_ids):
                wrong.setdefault(i, reason)
        faults = [self.fault(number, None, reason) for number, reason in numbered.faults]
        faults += [self.fault(numbered.numbers[i], name[i].as_py(), reason) for i, reason in sorted(wrong.items())]
        if wrong:
            kept = pa.array([i for i in range(len(batch)) if i not in wrong], pa.int64())
            batch = batch.take(kept)
            path, start, duration, channel, name = (each.take(kept) for each in (path, start, duration, channel, name))
        spans = (each.to_pylist() for each in (path, start, duration, channel))
        uris = self.uris_of(path)
        sizes, times = self.stamps.of(uris)
        columns: dict[str, Any] = {
            "id": name if has_ids else list(map(default_id, *spans)),
            "uri": uris,
            "start": pc.fill_null(start, 0.0),
            "duration": duration,
            "channel": channel,
            "seconds": duration,
            "file_size": sizes,
            "file_modified": times,
        }
        if duration.null_count:
            columns["seconds"] = [
                estimated_seconds(uri, size) if each is None else each
                for uri, size, each in zip(uris.to_pylist(), sizes.to_pylist(), duration.to_pylist(), strict=True)
            ]
        yield entries(self.carried, columns, [batch.column(name) for name in self.carried.names])
        yield from fault_entries(self.carried, faults)

    def uris_of(self, path: pa.Array) -> pa.Array:
        """The places that paths mean."""
        if pc.all(pc.starts_with(path, "/")).as_py():
            return path
        base = self.base
        return as_strings([resolved(each, base) for each in path.to_pylist()])

    def fault(self, number: int, name: str | None, reason: str) -> Fault:
        """What a row becomes that names no recording."""
        named = name if name and "\0" not in name else f"{self.file}:{number}"
        return Fault(named, str(self.file), f"row {number} {reason}")

    @property
    def base(self) -> str:
        """What relative paths are relative to."""
        return base_of(self.root, self.file.folder)


def doubtful(path: pa.Array, start: pa.Array, duration: pa.Array, channel: pa.Array, name: pa.Array) -> list[int]:
    """The rows that need a closer look: all in which `why_not` or `why_no_id` may find something."""
    sure = pc.and_(plain(path), plain(name))
    sure = pc.and_(sure, pc.fill_null(pc.and_(pc.greater_equal(start, 0.0), pc.is_finite(start)), True))
    sure = pc.and_(sure, pc.fill_null(pc.and_(pc.greater(duration, 0.0), pc.is_finite(duration)), True))
    sure = pc.and_(sure, pc.fill_null(pc.greater_equal(channel, 0), True))
    found: list[int] = pc.indices_nonzero(pc.invert(sure)).to_pylist()
    return found


def plain(text: pa.Array) -> pa.Array:
    """Whether texts are there, not empty, and without NUL."""
    return pc.fill_null(pc.and_(pc.not_equal(text, ""), pc.invert(pc.match_substring(text, "\0"))), False)


def why_not(path: str | None, start: float | None, duration: float | None, channel: int | None) -> str:
    """What is wrong with where a row points, if anything is."""
    if not path:
        return "has no path"
    if "\0" in path:
        return f"has a path with a NUL, {path!r:.60}, which no name of a file holds"
    if start is not None and not 0 <= start < math.inf:
        return f"begins at {start!r} s, expected 0 or more"
    if duration is not None and not 0 < duration < math.inf:
        return f"lasts {duration!r} s, expected more than 0"
    if channel is not None and channel < 0:
        return f"means the channel {channel}, expected 0 or more"
    return ""


def why_no_id(name: str | None, has_ids: bool) -> str:
    """What is wrong with a row's id, if anything is."""
    if has_ids and not name:
        return "has no id"
    return f"has an id with a NUL, {name!r:.60}" if name and "\0" in name else ""


def column(batch: pa.RecordBatch, name: str | None, kind: pa.DataType, wrong: dict[int, str]) -> pa.Array:
    """A column's values; null throughout where there is no such column.

    Args:
        batch: of rows.
        name: of the column.
        kind: its type.
        wrong: takes the rows whose values are of no such type, and why.
    """
    if name is None or name not in batch.schema.names:
        return pa.nulls(len(batch), kind)
    values = batch.column(name)
    if pa.types.is_string(values.type) and not pa.types.is_string(kind):  # an empty field is none
        values = pc.if_else(pc.equal(pc.utf8_trim_whitespace(values), ""), None, values)
    try:
        return values.cast(kind)
    except pa.ArrowException:
        listed: list[Any] = [None] * len(values)
        for i in range(len(values)):
            try:
                listed[i] = values.slice(i, 1).cast(kind)[0].as_py()
            except pa.ArrowException:
                wrong[i] = f"has {values[i].as_py()!r:.60} as {name!r}, expected {NAMES[kind]}"
        return pa.array(listed, kind)


NAMES = {pa.string(): "text", pa.float64(): "a number of seconds", pa.int32(): "the number of a channel, from 0"}
"""What columns hold, as messages say it."""


def base_of(root: str | None, folder: Location) -> str:
    """What relative paths are relative to: what the user says, or else a folder."""
    return str(folder if root is None else Location.of(root)).rstrip("/")


def resolved(path: str, base: str) -> str:
    """The place that a manifest's path means."""
    return path if path.startswith("/") or is_url(path) else f"{base}/{path.removeprefix('./')}"


def default_id(path: str, start: float | None, duration: float | None, channel: int | None) -> str:
    """What to call a row that has no id."""
    name = path
    if start is not None or duration is not None:
        name += f"#{start or 0.0!r}" + (f"+{duration!r}" if duration is not None else "")
    return name if channel is None else f"{name}.ch{channel}"
