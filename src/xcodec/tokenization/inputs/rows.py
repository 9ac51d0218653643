"""The rows of a manifest, whatever its format, each with its number; and what is wrong with those that are none."""

import csv
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.errors import InputError, first_line
from xcodec.listing import LineForm, parse_line
from xcodec.location import Location, as_text, explained
from xcodec.tokenization.inputs.entries import BATCH_ROWS

__all__ = [
    "NOT_ROWS",
    "UNPACKING",
    "Lines",
    "Numbered",
    "ParquetRows",
    "Rows",
    "SeparatedValues",
    "as_strings",
    "misfit",
    "numbered_objects",
    "table_of",
    "widened",
]

UNPACKING = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a compressed file raises where it is cut short or damaged."""

NOT_ROWS = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""What Arrow raises for a value that does not fit."""


@dataclass(frozen=True)
class Numbered:
    """Some rows.

    Args:
        batch: the rows.
        numbers: of each, counted from 1.
        faults: numbers of what stands between them and is no row, with the reasons.
    """

    batch: pa.RecordBatch
    numbers: Sequence[int]
    faults: Sequence[tuple[int, str]] = ()


class Rows(Protocol):
    """The rows of a file, whatever its format."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def batches(self) -> Iterator[Numbered]:
        """The rows in their order."""


class SeparatedValues:
    """CSV (quoted where needed) and TSV (never quoted), with a header. All values are text: the files know no types."""

    def __init__(self, file: Location) -> None:
        self.file = file
        tabs = ".tsv" in file.name.lower()
        self.dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
        header = next(self.lines(), [])
        if isinstance(header, str):
            raise InputError(f"is no text of separated values: {header}", subject=file)
        if header:
            header[0] = header[0].removeprefix("\ufeff")  # how spreadsheets mark UTF-8
        self.schema = pa.schema([(as_text(name.strip()), pa.string()) for name in header])

    def lines(self) -> Iterator[list[str] | str]:
        """The fields of each row, header included, or what is wrong with the row."""
        with explained(self.file), self.file.open("r") as text:
            rows = csv.reader(text, strict=True, **self.dialect)
            while True:
                try:
                    yield next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield f"is no row of separated values: {error}"
                except UNPACKING as error:
                    yield f"and what follows cannot be read: {error}"
                    return

    def batches(self) -> Iterator[Numbered]:
        """The rows after the header; empty lines are passed over."""
        lines = enumerate(self.lines(), start=1)
        next(lines, None)
        width = len(self.schema)
        while taken := list(islice(((number, line) for number, line in lines if line), BATCH_ROWS)):
            good: list[tuple[int, list[str]]] = []
            faults: list[tuple[int, str]] = []
            for number, line in taken:
                if isinstance(line, str):
                    faults.append((number, line))
                elif len(line) != width:
                    faults.append((number, f"has {len(line)} fields, its header {width}"))
                else:
                    good.append((number, line))
            columns = zip(*(line for _, line in good), strict=True) if good else [()] * width
            arrays = [as_strings(column) for column in columns]
            yield Numbered(pa.RecordBatch.from_arrays(arrays, schema=self.schema), [n for n, _ in good], faults)


def as_strings(values: Sequence[str]) -> pa.Array:
    """Texts in which bytes that are no UTF-8 are spelt."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array(list(map(as_text, values)), pa.string())


@dataclass
class Lines:
    """A list with a JSON object, a path, or an id and a path on each line.

    It is read twice: first for the columns and their types. A line whose values do not fit the types of the lines
    before it is no row.

    Args:
        file: the list.
        form: of its lines.
    """

    file: Location
    form: LineForm
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]), init=False)
    _misfits: dict[int, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for numbers, rows, _ in numbered_objects(self.file, self.form):
            try:
                self.schema = widened(self.schema, rows)
            except NOT_ROWS:
                for number, row in zip(numbers, rows, strict=True):
                    try:
                        self.schema = widened(self.schema, [row])
                    except NOT_ROWS as error:
                        self._misfits[number] = misfit(self.schema, row, error)

    def batches(self) -> Iterator[Numbered]:
        """The lines as rows; what a line leaves out is null."""
        for numbers, rows, faults in numbered_objects(self.file, self.form):
            if any(number in self._misfits for number in numbers):
                faults = [*faults, *((number, self._misfits[number]) for number in numbers if number in self._misfits)]
                kept = [i for i, number in enumerate(numbers) if number not in self._misfits]
                numbers, rows = [numbers[i] for i in kept], [rows[i] for i in kept]
            try:
                yield Numbered(table_of(rows, self.schema), numbers, faults)
            except NOT_ROWS:
                yield self._one_by_one(numbers, rows, faults)

    def _one_by_one(self, numbers: list[int], rows: list[dict[str, Any]], faults: list[tuple[int, str]]) -> Numbered:
        """Rows of which some do not fit the types that all lines together have, as whole numbers beyond a float's."""
        kept: list[int] = []
        faults = list(faults)
        for i, row in enumerate(rows):
            try:
                table_of([row], self.schema)
                kept.append(i)
            except NOT_ROWS as error:
                faults.append((numbers[i], misfit(self.schema, row, error)))
        return Numbered(table_of([rows[i] for i in kept], self.schema), [numbers[i] for i in kept], faults)


def table_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Objects as rows, also where there are none, or no columns."""
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def widened(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Schema:
    """The columns that hold what `schema` holds, and some more rows."""
    found = pa.array(rows).type  # `infer_type` does not see that a later value is of another type
    schemas = [schema, pa.schema(list(found) if pa.types.is_struct(found) else [])]
    return pa.unify_schemas(schemas, promote_options="permissive")


def misfit(schema: pa.Schema, row: dict[str, Any], error: Exception) -> str:
    """Say which value of a row is of another type than those before it."""
    for name, value in row.items():
        with suppress(*NOT_ROWS):
            widened(schema, [{name: value}])
            continue
        if name in schema.names:
            return (
                f"holds {value!r:.60} as {name!r}, which is {schema.field(name).type} on other lines; write them alike"
            )
    return f"holds values of different types: {first_line(error)}"


def numbered_objects(
    file: Location, form: LineForm = LineForm.JSON
) -> Iterator[tuple[list[int], list[dict[str, Any]], list[tuple[int, str]]]]:
    """The objects of a list with their lines' numbers, and the lines that are none, so many at a time.

    Empty lines are passed over.
    """
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    faults: list[tuple[int, str]] = []
    with explained(file), file.open() as lines:
        for number, line in enumerate(unpacked(lines), start=1):
            if isinstance(line, str):
                faults.append((number, line))
                continue
            if not line.strip():
                continue
            try:
                row = parse_line(line, form)
                if form is not LineForm.JSON:  # paths as the system has them
                    row |= {key: as_text(row[key]) for key in ("id", "path") if isinstance(row.get(key), str)}
                rows.append(row)
                numbers.append(number)
            except InputError as error:
                faults.append((number, str(error)))
            if len(rows) + len(faults) == BATCH_ROWS:
                yield numbers, rows, faults
                numbers, rows, faults = [], [], []
    if rows or faults:
        yield numbers, rows, faults


def unpacked(lines: Iterable[bytes]) -> Iterator[bytes | str]:
    """The lines of a file, and if it cannot be unpacked to its end, why."""
    try:
        yield from lines
    except UNPACKING as error:
        yield f"and what follows cannot be read: {error}"


class ParquetRows:
    """The rows of a Parquet file.

    Args:
        file: to read.
        parts: of columns that are structs, the one field that is read.

    Raises:
        InputError: where it is none, or its footer is damaged, so that nothing in it can be found.
    """

    def __init__(self, file: Location, parts: Mapping[str, str] | None = None) -> None:
        self.file, self.parts = file, parts or {}
        with self.opened() as parquet:
            self.schema = pa.schema([self._part_of(field) for field in parquet.schema_arrow])

    def _part_of(self, column: pa.Field) -> pa.Field:
        wanted = self.parts.get(column.name)
        return column if wanted is None else pa.field(column.name, pa.struct([column.type.field(wanted)]))

    def mean_size(self, leaf: str) -> int:
        """How many bytes the values of a column have in the mean, by what the footer says."""
        with self.opened() as parquet:
            groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
        columns = [group.column(i) for group in groups for i in range(group.num_columns)]
        total = sum(column.total_uncompressed_size for column in columns if column.path_in_schema == leaf)
        return int(total / max(1, sum(group.num_rows for group in groups)))

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """The file, open."""
        with explained(self.file), self.file.fs.open(self.file.path, "rb") as binary:
            try:
                parquet = pq.ParquetFile(binary)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputError(f"is no Parquet file, or damaged: {error}", subject=self.file) from None
            yield parquet

    def batches(self) -> Iterator[Numbered]:
        """The rows in their order; of a row group that is damaged, what can be read before the damage."""
        first = 1
        names = [f"{name}.{self.parts[name]}" if name in self.parts else name for name in self.schema.names]
        wanted = names if self.parts else None
        with self.opened() as parquet:
            for group in range(parquet.num_row_groups):
                after = first + parquet.metadata.row_group(group).num_rows
                try:
                    for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=wanted):
                        rows = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
                        rows.validate(full=True)  # damage may leave bytes that are no text
                        yield Numbered(rows, range(first, first + len(rows)))
                        first += len(rows)
                except (pa.ArrowException, OSError, ValueError) as error:
                    wrong = f"and what follows to row {after - 1} cannot be read, {after - first} in all: {error}"
                    yield Numbered(table_of([], self.schema), [], [(first, wrong)])
                first = after
