"""Data sets of the Hugging Face library, as `save_to_disk` leaves them: Arrow files with the audio inside."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import Fault, check_carried, entries, estimated_seconds, fault_entries
from xcodec.tokenization.inputs.rows import as_strings
from xcodec.tokenization.inputs.stamps import FileStamps

__all__ = ["DATASET_DICT", "DATASET_STATE", "HuggingFaceReader"]

DATASET_STATE = "state.json"
DATASET_DICT = "dataset_dict.json"


class HuggingFaceReader:
    """A `Dataset` on disk, or one split of a `DatasetDict`. Audio is read where it lies inside the Arrow files.

    An id is the column `id` if there is one, and else the split (if any) and the row's number.

    Args:
        folder: of the data set or the split.
        split: what precedes numbers in ids.
    """

    def __init__(self, folder: Location, split: str = "") -> None:
        if not folder.is_local:
            raise InputError(
                "a Hugging Face data set is read from this machine's disk", subject=folder, remedy="copy it here"
            )
        self.folder, self.split = folder, split
        self.stamps = FileStamps()
        self.files = [folder.child(item["filename"]) for item in read_json(folder.child(DATASET_STATE))["_data_files"]]
        features = read_json(folder.child("dataset_info.json")).get("features") or {}
        audio = [name for name, feature in features.items() if isinstance(feature, dict) and is_audio(feature)]
        if len(audio) != 1:
            found = f"{len(audio)} ({', '.join(audio)})" if audio else "none"
            raise InputError(
                f"expected one column of audio, found {found}", subject=folder, remedy="cast or select it in `datasets`"
            )
        self.audio = audio[0]
        if not self.files:
            raise InputError("holds no Arrow file; the data set is empty", subject=folder)
        self.carried, self.has_id = self.described()
        check_carried(self.carried.names, str(folder))

    def described(self) -> tuple[pa.Schema, bool]:
        """The carried columns, and whether rows have ids, as the first file says that can be read.

        Raises:
            InputError: where none can be.
        """
        for file in self.files:
            try:
                with opened(file) as (schema, _, _):
                    return pa.schema([f for f in schema if f.name not in (self.audio, "id")]), "id" in schema.names
            except InputError as error:
                reason = error
        raise reason

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order; a file that cannot be read to its end is an entry that says so."""
        number = 0
        for file in self.files:
            try:
                with opened(file) as (_, batches, base):
                    for batch in batches:
                        yield from self.entries_of(file, batch, base, number)
                        number += len(batch)
            except InputError as error:
                fault = Fault(f"{self.split}{file.name}", str(file), error.beside(file))
                yield from fault_entries(self.carried, [fault])

    def entries_of(self, file: Location, batch: pa.RecordBatch, base: int, number: int) -> Iterator[pa.RecordBatch]:
        """Where the audio of each row lies: inside the file, or in one that the row names."""
        audio = batch.column(self.audio)
        inside = addresses(audio.field("bytes"), base, file)
        paths = audio.field("path").to_pylist()
        ids = [f"{self.split}{number + i:08}" for i in range(len(batch))]
        if self.has_id:
            ids = [given or ids[i] for i, given in enumerate(batch.column("id").cast(pa.string()).to_pylist())]
        kept = [i for i, (place, path) in enumerate(zip(inside, paths, strict=True)) if place or path]
        uris = as_strings([str(file) if inside[i] else str(Location.of(paths[i])) for i in kept])
        sizes, times = self.stamps.of(uris)
        places = [inside[i] or (None, None) for i in kept]
        columns: dict[str, Any] = {
            "id": [ids[i] for i in kept],
            "uri": uris,
            "byte_start": [start for start, _ in places],
            "byte_count": [count for _, count in places],
            "seconds": [
                estimated_seconds(paths[i] or ".wav", size if count is None else count)
                for i, (_, count), size in zip(kept, places, sizes.to_pylist(), strict=True)
            ],
            "file_size": sizes,
            "file_modified": times,
        }
        rows = batch.take(pa.array(kept, pa.int64()))
        yield entries(self.carried, columns, [rows.column(name) for name in self.carried.names])
        empty = sorted(set(range(len(batch))) - set(kept))
        reasons = [f"row {number + i} has neither audio nor a path of it" for i in empty]
        faults = [Fault(ids[i], str(file), reason) for i, reason in zip(empty, reasons, strict=True)]
        yield from fault_entries(self.carried, faults)


def is_audio(feature: dict[str, Any]) -> bool:
    """Whether a column holds recordings."""
    return feature.get("_type") == "Audio"


def addresses(values: pa.Array, base: int, file: Location) -> list[tuple[int, int] | None]:
    """Where in its file each value of a mapped column lies, (first byte, bytes); None for null."""
    _, offsets, data = values.buffers()
    kind = np.int64 if pa.types.is_large_binary(values.type) else np.int32
    ends = np.frombuffer(offsets, kind)[values.offset : values.offset + len(values) + 1].tolist()
    if data is not None and ends[-1] > ends[0] and not 0 <= data.address - base < (file.stamp().size or 0):
        raise InputError(
            "is compressed, so that audio cannot be read where it lies; save the data set anew", subject=file
        )
    return [
        (data.address - base + ends[i], ends[i + 1] - ends[i]) if valid else None
        for i, valid in enumerate(values.is_valid().to_pylist())
    ]


@contextmanager
def opened(file: Location) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch], int]]:
    """Map an Arrow file into memory: its schema, its batches, and the address of its first byte."""
    try:
        with pa.memory_map(file.path) as mapped:
            whole = mapped.read_buffer()
            stream = pa.ipc.open_stream(whole)
            yield stream.schema.remove_metadata(), iter(stream), whole.address
    except FileNotFoundError:
        raise InputError("no such file, though the data set names it", subject=file) from None
    except pa.ArrowInvalid as error:
        raise InputError(f"is damaged or no Arrow file: {error}", subject=file) from None


def read_json(file: Location) -> dict[str, Any]:
    """A small file of the data set."""
    try:
        with file.open() as stored:
            values: dict[str, Any] = json.load(stored)
            return values
    except ValueError as error:
        raise InputError(f"is damaged: {error}", subject=file) from None
