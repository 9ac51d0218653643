"""Manifests: files with a row for each recording."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xcodec.errors import InputError
from xcodec.listing import PATH_KEYS, START_KEYS
from xcodec.location import Location, Stamp, as_path, is_url, stamp
from xcodec.tokenization.inputs.entries import Fault, check_carried, entries, estimated_seconds, fault_entries
from xcodec.tokenization.inputs.rows import Numbered, Rows

__all__ = ["ManifestReader", "base_of", "resolved", "stamps_of"]

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
        paths = column(batch, self.path, pa.string(), wrong)
        starts = column(batch, self.start, pa.float64(), wrong)
        durations = column(batch, "duration", pa.float64(), wrong)
        channels = column(batch, "channel", pa.int32(), wrong)
        ids = column(batch, "id", pa.string(), wrong)
        has_ids = "id" in batch.schema.names
        for i, (name, *span) in enumerate(zip(ids, paths, starts, durations, channels, strict=True)):
            if reason := why_not(*span) or why_no_id(name, has_ids):
                wrong.setdefault(i, reason)
        faults = [self.fault(number, None, reason) for number, reason in numbered.faults]
        faults += [self.fault(numbered.numbers[i], ids[i], reason) for i, reason in sorted(wrong.items())]
        if wrong:
            kept = [i for i in range(len(batch)) if i not in wrong]
            batch = batch.take(pa.array(kept, pa.int64()))
            ids, paths, starts, durations, channels = (
                [values[i] for i in kept] for values in (ids, paths, starts, durations, channels)
            )
        base = self.base
        uris = [resolved(path, base) for path in paths]
        stamps = stamps_of(uris)
        columns: dict[str, Sequence[Any]] = {
            "id": [
                given or default_id(*span) for given, *span in zip(ids, paths, starts, durations, channels, strict=True)
            ],
            "uri": uris,
            "start": [start or 0.0 for start in starts],
            "duration": durations,
            "channel": channels,
            "seconds": [
                estimated_seconds(uri, stamp.size) if each is None else each
                for uri, stamp, each in zip(uris, stamps, durations, strict=True)
            ],
            "file_size": [stamp.size for stamp in stamps],
            "file_modified": [stamp.modified for stamp in stamps],
        }
        yield entries(self.carried, columns, [batch.column(name) for name in self.carried.names])
        yield from fault_entries(self.carried, faults)

    def fault(self, number: int, name: str | None, reason: str) -> Fault:
        """What a row becomes that names no recording."""
        named = name if name and "\0" not in name else f"{self.file}:{number}"
        return Fault(named, str(self.file), f"row {number} {reason}")

    @property
    def base(self) -> str:
        """What relative paths are relative to."""
        return base_of(self.root, self.file.folder)


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


def column(batch: pa.RecordBatch, name: str | None, kind: pa.DataType, wrong: dict[int, str]) -> list[Any]:
    """A column's values; None throughout where there is no such column.

    Args:
        batch: of rows.
        name: of the column.
        kind: its type.
        wrong: takes the rows whose values are of no such type, and why.
    """
    if name is None or name not in batch.schema.names:
        return [None] * len(batch)
    values = batch.column(name)
    if pa.types.is_string(values.type) and not pa.types.is_string(kind):  # an empty field is none
        values = pc.if_else(pc.equal(pc.utf8_trim_whitespace(values), ""), None, values)
    try:
        listed: list[Any] = values.cast(kind).to_pylist()
    except pa.ArrowException:
        listed = [None] * len(values)
        for i in range(len(values)):
            try:
                listed[i] = values.slice(i, 1).cast(kind)[0].as_py()
            except pa.ArrowException:
                wrong[i] = f"has {values[i].as_py()!r:.60} as {name!r}, expected {NAMES[kind]}"
    return listed


NAMES = {pa.string(): "text", pa.float64(): "a number of seconds", pa.int32(): "the number of a channel, from 0"}
"""What columns hold, as messages say it."""


def stamps_of(uris: Sequence[str]) -> list[Stamp]:
    """Sizes and times of files here; those far away are not asked. Neighbours are often spans of one file."""
    stamps: list[Stamp] = []
    last, known = "", Stamp()
    for uri in uris:
        if uri != last:
            last, known = uri, Stamp() if is_url(uri) else stamp(as_path(uri))
        stamps.append(known)
    return stamps


def base_of(root: str | None, folder: Location) -> str:
    """What relative paths are relative to: what the user says, or else a folder."""
    return str(folder if root is None else Location.of(root)).rstrip("/")


def resolved(path: str, base: str) -> str:
    """The place that a manifest's path means."""
    return path if is_url(path) or path.startswith("/") else f"{base}/{path.removeprefix('./')}"


def default_id(path: str, start: float | None, duration: float | None, channel: int | None) -> str:
    """What to call a row that has no id."""
    name = path
    if start is not None or duration is not None:
        name += f"#{start or 0.0!r}" + (f"+{duration!r}" if duration is not None else "")
    return name if channel is None else f"{name}.ch{channel}"
