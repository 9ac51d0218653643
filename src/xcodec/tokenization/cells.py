"""Recordings in Parquet files, as `datasets` writes them: each in a cell of a column of {bytes, path}."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.errors import AudioError, first_line
from xcodec.location import Location

__all__ = ["Cell", "CellReader", "file_of"]

_WRITTEN = re.compile(r"(.+\.parquet)#(.+)=(\d+)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Cell:
    """Where a recording lies. A plan has it as FILE.parquet#COLUMN=ROW.

    Args:
        file: a path or URL.
        column: of the recordings.
        row: from 0.
    """

    file: str
    column: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}#{self.column}={self.row}"

    @classmethod
    def of(cls, uri: str) -> "Cell | None":
        """Understand the place of a recording; None where it is no cell."""
        match = _WRITTEN.fullmatch(uri)
        return None if match is None else cls(match[1], match[2], int(match[3]))


def file_of(uri: str) -> str:
    """The file that a recording is in."""
    cell = Cell.of(uri)
    return uri if cell is None else cell.file


class CellReader:
    """Reads one cell after the other. A file stays open, and rows that follow one another are read in one pass."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._place: tuple[str, str] | None = None
        self._group, self._next = -1, 0
        self._rows: Iterator[pa.RecordBatch] = iter(())

    def read(self, cell: Cell) -> bytes:
        """The bytes of a recording.

        Raises:
            AudioError: where the cell is empty, or the file is not what it was.
        """
        try:
            return self._read(cell)
        except (pa.ArrowException, StopIteration, IndexError, KeyError, ValueError) as error:
            self.close()
            if isinstance(error, AudioError):
                raise
            raise AudioError(f"cannot be read where it was planned: {first_line(error)}", subject=cell) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._opened.close()
        self._place = None

    def _read(self, cell: Cell) -> bytes:
        if self._place != (cell.file, cell.column):
            self._open(cell)
        group = bisect_right(self._starts, cell.row) - 1
        if group != self._group or cell.row < self._next:
            self._group, self._next = group, self._starts[group]
            self._rows = self._parquet.iter_batches(1, row_groups=[group], columns=[f"{cell.column}.bytes"])
        while True:
            row = next(self._rows)
            self._next += 1
            if self._next > cell.row:
                break
        stored: bytes | None = row.column(0).field("bytes")[0].as_py()
        if stored is None:
            raise AudioError("holds no audio", subject=cell, remedy="save the data set with its audio inside")
        return stored

    def _open(self, cell: Cell) -> None:
        self.close()
        location = Location.of(cell.file)
        file = self._opened.enter_context(location.fs.open(location.path, "rb"))
        self._parquet = self._opened.enter_context(pq.ParquetFile(file))
        metadata = self._parquet.metadata
        counts = (metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        self._starts = list(accumulate(counts, initial=0))[:-1]
        self._place, self._group = (cell.file, cell.column), -1
