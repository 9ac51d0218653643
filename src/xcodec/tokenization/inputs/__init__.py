"""What is tokenized: every kind of input becomes one stream of entries."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import ENTRY, Reader
from xcodec.tokenization.inputs.folder import FileReader, FolderReader
from xcodec.tokenization.inputs.huggingface import DATASET_DICT, DATASET_STATE, HuggingFaceReader, read_json
from xcodec.tokenization.inputs.lhotse import LhotseReader, looks_like_cuts
from xcodec.tokenization.inputs.manifest import JsonLines, ManifestReader, ParquetRows, SeparatedValues, json_objects
from xcodec.tokenization.inputs.webdataset import WebDatasetReader

__all__ = ["ENTRY", "Inputs", "Reader", "open_input"]

_PACKED = (".gz", ".bz2", ".xz", ".zst")


def open_input(text: str, root: str | None = None) -> list[Reader]:
    """Find out what an input is, and who reads it.

    Args:
        text: a folder, a file or a pattern, as a path or as a URL of fsspec.
        root: what the relative paths of manifests are relative to.

    Raises:
        InputError: where there is nothing, or it cannot be understood.
    """
    place = Location.of(text)
    if place.is_folder():
        return next(readers(place) for holds, readers in FOLDERS if holds(place))
    files = [place] if place.exists() else [file for file in place.matches() if not file.is_folder()]
    if not files:
        raise InputError(f"{text}: no such file or folder, and no file matches it as a pattern")
    kinds = {next(suffix for suffix in (*FILES, "") if unpacked(file).endswith(suffix)) for file in files}
    if len(kinds) > 1:
        raise InputError(f"{text}: matches files of several kinds ({', '.join(sorted(kinds))}); give them one by one")
    kind = kinds.pop()
    return FILES[kind](files, root) if kind else [FileReader(files)]


class Inputs:
    """All that was named, as one stream of entries with one set of columns.

    Args:
        names: folders, files and patterns.
        root: what the relative paths of manifests are relative to.
    """

    def __init__(self, names: Sequence[str], root: str | None = None) -> None:
        self.readers = [reader for name in names for reader in open_input(name, root)]
        try:
            carried = [reader.carried.remove_metadata() for reader in self.readers]
            self.carried = pa.unify_schemas(carried, promote_options="permissive")
        except pa.ArrowException as error:
            raise InputError(f"{', '.join(names)}: a column is of different types: {error}") from None
        self.schema = pa.schema([*ENTRY, *self.carried])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All entries, input by input; a column that an input lacks is null there."""
        for reader in self.readers:
            for batch in reader.batches():
                columns = [
                    batch.column(field.name).cast(field.type)
                    if field.name in batch.schema.names
                    else pa.nulls(len(batch), field.type)
                    for field in self.schema
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)


def unpacked(file: Location) -> str:
    """A file's name in lower case, without the suffix of its compression."""
    name = file.name.lower()
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    return name


def json_readers(files: Sequence[Location], root: str | None) -> list[Reader]:
    """Manifests of JSON lines, or cuts."""
    readers: list[Reader] = []
    for file in files:
        first = next(islice((row for rows in json_objects(file) for row in rows), 1), {})
        cuts = looks_like_cuts(first)
        readers.append(LhotseReader(file, root) if cuts else ManifestReader(file, JsonLines(file), root))
    return readers


def split_readers(folder: Location) -> list[Reader]:
    """The splits of a `DatasetDict`."""
    names = read_json(folder.child(DATASET_DICT))["splits"]
    return [HuggingFaceReader(folder.child(name), f"{name}/") for name in names]


FOLDERS: list[tuple[Callable[[Location], bool], Callable[[Location], list[Reader]]]] = [
    (lambda folder: folder.child(DATASET_DICT).exists(), split_readers),
    (lambda folder: folder.child(DATASET_STATE).exists(), lambda folder: [HuggingFaceReader(folder)]),
    (lambda _: True, lambda folder: [FolderReader(folder)]),
]
"""What a folder may be, by what it holds."""

FILES: dict[str, Callable[[Sequence[Location], str | None], list[Reader]]] = {
    ".jsonl": json_readers,
    ".csv": lambda files, root: [ManifestReader(file, SeparatedValues(file), root) for file in files],
    ".tsv": lambda files, root: [ManifestReader(file, SeparatedValues(file), root) for file in files],
    ".parquet": lambda files, root: [ManifestReader(file, ParquetRows(file), root) for file in files],
    ".tar": lambda files, _: [WebDatasetReader(files)],
}
"""What a file may be, by its suffix, whatever it is compressed with; others are recordings."""
