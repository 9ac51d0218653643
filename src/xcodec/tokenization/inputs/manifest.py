"""Manifests: JSONL, CSV, TSV and Parquet files with a row for each recording."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.errors import InputError
from xcodec.location import Location, explained, is_url
from xcodec.tokenization.inputs.entries import BATCH_ROWS, check_carried, entries, estimated_seconds

__all__ = ["JsonLines", "ManifestReader", "ParquetRows", "SeparatedValues", "base_of", "json_objects", "resolved"]

# Columns that are understood, and by what names; what else there is is carried.
PATH, START = ("path", "audio_filepath"), ("start", "offset")
UNDERSTOOD = {*PATH, *START, "id", "duration"}


class Rows(Protocol):
    """The rows of a file, whatever its format."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order."""


class ManifestReader:
    """A manifest with a column `path`, and perhaps `id`, `start` and `duration` (in seconds), `text` and any others.

    The names that NeMo gives, `audio_filepath` and `offset`, are understood too. Without an id, it is the path as it is
    written, and for a span also where it lies: path#start+duration.

    Args:
        file: the manifest.
        rows: its rows.
        root: what relative paths are relative to; None is the manifest's folder.
    """

    def __init__(self, file: Location, rows: Rows, root: str | None) -> None:
        self.file, self.rows, self.root = file, rows, root
        names = rows.schema.names
        self.path, self.start = (next((name for name in each if name in names), None) for each in (PATH, START))
        if self.path is None:
            raise InputError(
                f"{file}: has the columns {', '.join(names) or 'of an empty file'}; expected one called "
                f"{' or '.join(PATH)}"
            )
        self.carried = pa.schema([field for field in rows.schema if field.name not in UNDERSTOOD], metadata=None)
        check_carried(self.carried.names, str(file))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """An entry for each row."""
        first = 1
        for batch in self.rows.batches():
            with cast_errors(self.file):
                paths = self.column(batch, self.path, pa.string())
                starts = self.column(batch, self.start, pa.float64())
                durations = self.column(batch, "duration", pa.float64())
                ids = self.column(batch, "id", pa.string())
            self.check_present(paths, self.path, first)
            if "id" in batch.schema.names:
                self.check_present(ids, "id", first)
            spans = list(zip(paths, starts, durations, strict=True))
            uris = [resolved(path, self.base) for path in paths]
            columns: dict[str, Sequence[Any]] = {
                "id": [given or default_id(*span) for given, span in zip(ids, spans, strict=True)],
                "uri": uris,
                "start": [start or 0.0 for start in starts],
                "duration": durations,
                "seconds": [
                    (estimated_seconds(uri, None if is_url(uri) else Location.of(uri).size()) if each is None else each)
                    for uri, each in zip(uris, durations, strict=True)
                ],
            }
            yield entries(self.carried, columns, [batch.column(name) for name in self.carried.names])
            first += len(batch)

    def check_present(self, values: Sequence[Any], name: str | None, first: int) -> None:
        """Refuse a row without a path, or without an id where there are any."""
        for row, value in enumerate(values, start=first):
            if not value:
                raise InputError(f"{self.file}: row {row} has no {name}")

    @property
    def base(self) -> str:
        """What relative paths are relative to."""
        return base_of(self.root, self.file.folder)

    def column(self, batch: pa.RecordBatch, name: str | None, kind: pa.DataType) -> list[Any]:
        """A column's values; None throughout where there is no such column."""
        if name is None or name not in batch.schema.names:
            return [None] * len(batch)
        values = batch.column(name)
        if pa.types.is_string(values.type) and pa.types.is_floating(kind):  # an empty field is none
            values = pc.if_else(pc.equal(pc.utf8_trim_whitespace(values), ""), None, values)
        listed: list[Any] = values.cast(kind).to_pylist()
        return listed


def base_of(root: str | None, folder: Location) -> str:
    """What relative paths are relative to: what the user says, or else a folder."""
    return str(folder if root is None else Location.of(root)).rstrip("/")


def resolved(path: str, base: str) -> str:
    """The place that a manifest's path means."""
    return path if is_url(path) or path.startswith("/") else f"{base}/{path.removeprefix('./')}"


def default_id(path: str, start: float | None, duration: float | None) -> str:
    """What to call a row that has no id."""
    if start is None and duration is None:
        return path
    return f"{path}#{start or 0.0!r}" + (f"+{duration!r}" if duration is not None else "")


@contextmanager
def cast_errors(source: object) -> Iterator[None]:
    """Say which manifest holds something that does not fit its column."""
    try:
        yield
    except pa.ArrowException as error:
        raise InputError(f"{source}: {str(error).splitlines()[0]}") from None


class SeparatedValues:
    """CSV (quoted where needed) and TSV (never quoted), with a header. All values are text: the files know no types."""

    def __init__(self, file: Location) -> None:
        self.file = file
        tabs = ".tsv" in file.name.lower()
        self.dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
        header = next(self.lines(), [])
        if header:
            header[0] = header[0].removeprefix("\ufeff")  # how spreadsheets mark UTF-8
        self.schema = pa.schema([(name.strip(), pa.string()) for name in header])

    def lines(self) -> Iterator[list[str]]:
        """The fields of each line, header included."""
        try:
            with self.file.open("r") as text:
                yield from csv.reader(text, strict=True, **self.dialect)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self.file}: is no text of separated values: {error}") from None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows after the header; empty lines are passed over."""
        lines = enumerate(self.lines(), start=1)
        next(lines, None)
        width = len(self.schema)
        while numbered := list(islice(((number, line) for number, line in lines if line), BATCH_ROWS)):
            for number, line in numbered:
                if len(line) != width:
                    raise InputError(f"{self.file}: row {number} has {len(line)} fields, its header {width}")
            columns = zip(*(line for _, line in numbered), strict=True)
            yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=self.schema)


class JsonLines:
    """A JSON object on each line. Read twice: first for the columns and their types."""

    def __init__(self, file: Location) -> None:
        self.file = file
        self.schema = pa.schema([])
        for rows in json_objects(self.file):
            with self.type_errors():
                found = pa.schema(list(pa.array(rows).type))
                self.schema = pa.unify_schemas([self.schema, found], promote_options="permissive")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The objects as rows; what a line leaves out is null."""
        for rows in json_objects(self.file):
            with self.type_errors():
                yield pa.RecordBatch.from_pylist(rows, schema=self.schema)

    @contextmanager
    def type_errors(self) -> Iterator[None]:
        """Say where one name holds values of several types."""
        try:
            yield
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.file}: a key holds values of different types on different lines; write them alike ({reason})"
            ) from None


def json_objects(file: Location) -> Iterator[list[dict[str, Any]]]:
    """The objects of a JSONL file, so many at a time; empty lines are passed over."""
    rows: list[dict[str, Any]] = []
    with file.open() as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}: line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}: line {number} is a {type(row).__name__}, expected an object")
            rows.append(row)
            if len(rows) == BATCH_ROWS:
                yield rows
                rows = []
    if rows:
        yield rows


class ParquetRows:
    """The rows of a Parquet file."""

    def __init__(self, file: Location) -> None:
        self.file = file
        with self.opened() as parquet:
            self.schema = parquet.schema_arrow.remove_metadata()

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """The file, open."""
        with explained(self.file), self.file.fs.open(self.file.path, "rb") as binary:
            try:
                parquet = pq.ParquetFile(binary)
            except pa.ArrowInvalid as error:
                raise InputError(f"{self.file}: is no Parquet file: {error}") from None
            yield parquet

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order."""
        with self.opened() as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS):
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
