"""Parquet files with the audio inside, as `datasets` writes them and the Hugging Face Hub has them."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import Location, as_text
from xcodec.tokenization.cells import Cell
from xcodec.tokenization.inputs.entries import Fault, check_carried, entries, estimated_seconds, fault_entries
from xcodec.tokenization.inputs.rows import Numbered, ParquetRows

__all__ = ["ParquetAudioReader", "audio_columns"]


def audio_columns(schema: pa.Schema) -> list[str]:
    """The columns of recordings: of bytes, and a path, of which the name says what they are."""
    return [field.name for field in schema if is_audio(field.type)]


def is_audio(kind: pa.DataType) -> bool:
    """Whether a column of this type holds recordings."""
    if not pa.types.is_struct(kind):
        return False
    kinds = {field.name: field.type for field in kind}
    return kinds.keys() == {"bytes", "path"} and (
        pa.types.is_binary(kinds["bytes"]) or pa.types.is_large_binary(kinds["bytes"])
    )


class ParquetAudioReader:
    """The recordings in the cells of a Parquet file; for the plan, all but their bytes is read.

    An id is the column `id` if there is one, and else the file's name and the row's number from 0: train/00000017.

    Args:
        file: with one column of audio.
    """

    def __init__(self, file: Location) -> None:
        rows = ParquetRows(file)
        found = audio_columns(rows.schema)
        if len(found) != 1:
            raise InputError(f"expected one column of audio, found {', '.join(found) or 'none'}", subject=file)
        [self.audio] = found
        self.file, self.rows = file, ParquetRows(file, {self.audio: "path"})
        self.bytes_each = self.rows.mean_size(f"{self.audio}.bytes")
        self.carried = pa.schema([field for field in self.rows.schema if field.name not in (self.audio, "id")])
        check_carried(self.carried.names, str(file))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """An entry for each row."""
        stamp = self.file.stamp()
        for numbered in self.rows.batches():
            batch, count = numbered.batch, len(numbered.batch)
            paths = batch.column(self.audio).field("path").to_pylist()
            columns: dict[str, Any] = {
                "id": self.ids(numbered),
                "uri": [str(Cell(as_text(str(self.file)), self.audio, number - 1)) for number in numbered.numbers],
                "seconds": [estimated_seconds(path or ".wav", self.bytes_each) for path in paths],
                "file_size": [stamp.size] * count,
                "file_modified": [stamp.modified] * count,
            }
            yield entries(self.carried, columns, [batch.column(name) for name in self.carried.names])
            faults = [
                Fault(f"{self.file}:{number}", str(self.file), f"row {number} {reason}")
                for number, reason in numbered.faults
            ]
            yield from fault_entries(self.carried, faults)

    def ids(self, numbered: Numbered) -> list[str]:
        """What the rows are called."""
        stem = self.file.name.rpartition(".")[0]
        ids = [f"{stem}/{number - 1:08}" for number in numbered.numbers]
        if "id" not in numbered.batch.schema.names:
            return ids
        given = numbered.batch.column("id").cast(pa.string()).to_pylist()
        return [name or ids[i] for i, name in enumerate(given)]
