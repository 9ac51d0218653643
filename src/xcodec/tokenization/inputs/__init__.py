"""What is tokenized: every kind of input becomes one stream of entries."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from xcodec.audio import is_media
from xcodec.errors import InputError
from xcodec.listing import LineForm
from xcodec.location import STANDARD_INPUT, Location, StandardInput
from xcodec.tokenization.contents import hash_of
from xcodec.tokenization.inputs.channels import EACH, CountChannels, each_channel, one_channel, replaced
from xcodec.tokenization.inputs.entries import ENTRY, Reader, UnreadableReader
from xcodec.tokenization.inputs.folder import FileReader, FolderReader, common_folder
from xcodec.tokenization.inputs.huggingface import DATASET_DICT, DATASET_STATE, HuggingFaceReader, read_json
from xcodec.tokenization.inputs.lhotse import LhotseReader, looks_like_cuts
from xcodec.tokenization.inputs.manifest import ManifestReader
from xcodec.tokenization.inputs.parquet_audio import ParquetAudioReader, audio_columns
from xcodec.tokenization.inputs.rows import Lines, ParquetRows, SeparatedValues, numbered_objects
from xcodec.tokenization.inputs.texts import BESIDE, with_texts
from xcodec.tokenization.inputs.webdataset import WebDatasetReader

__all__ = ["ENTRY", "Inputs", "Reader", "open_input"]

_PACKED = (".gz", ".bz2", ".xz", ".zst")


def open_input(text: str, root: str | None = None) -> list[Reader]:
    """Find out what an input is, and who reads it.

    Args:
        text: a folder, a file or a pattern, as a path or as a URL of fsspec; or - for a list on standard input.
        root: what the relative paths of manifests are relative to.

    Raises:
        InputError: where there is nothing, or it cannot be understood.
    """
    if text == STANDARD_INPUT:
        return list_readers([StandardInput.read()], root)
    place = Location.of(text)
    if place.is_folder():
        return readers_of_folder(place)
    if place.exists():
        kind = kind_of(place)
        return FILES[kind]([place], root) if kind else [FileReader([place])]
    matched = place.matches()
    if not matched:
        raise InputError("no such file or folder, and no file matches it as a pattern", subject=text)
    folders = [each for each in matched if each.is_folder()]
    inside = {each.path.rstrip("/") for each in folders}
    folders = [each for each in folders if not is_below(each, inside)]  # what they hold is found by searching them
    files = [each for each in matched if each.path.rstrip("/") not in inside and not is_below(each, inside)]
    kinds = {kind for file in files if (kind := kind_of(file)) in PATTERNS}
    recordings = [file for file in files if is_media(file.name)]
    if len(kinds) + bool(recordings or folders) > 1:
        named = sorted(kinds) + ["recordings"] * bool(recordings or folders)
        raise InputError(
            f"matches files of several kinds ({', '.join(named)})", subject=text, remedy="give them one by one"
        )
    if kinds:
        kind = kinds.pop()
        return FILES[kind]([file for file in files if kind_of(file) == kind], root)
    if not recordings and not folders:  # whatever they are called, they were meant
        return list_readers(files, root) if {kind_of(file) for file in files} <= LISTS else [FileReader(files)]
    if place.fixed_part in inside:  # as ** matches the folder before it, too
        return [FolderReader(place.at(place.fixed_part))]
    common = common_folder([each.folder for each in (*recordings, *folders)])
    found: list[Reader] = [FileReader(recordings, common)] if recordings else []
    return [*found, *(FolderReader(folder, common) for folder in folders)]


def is_below(place: Location, folders: set[str]) -> bool:
    """Whether a place lies in one of some folders."""
    path = place.path.rstrip("/")
    while "/" in path:
        path = path.rpartition("/")[0]
        if path in folders:
            return True
    return False


class Inputs:
    """All that was named, as one stream of entries with one set of columns.

    Args:
        names: folders, files and patterns; - is a list on standard input.
        root: what the relative paths of manifests are relative to.
        channel: of recordings of which the input means none: a number from 0, None for the mean of all, or EACH, for an
            entry of each.
        count_channels: needed for EACH.
        hashed: whether to read all recordings and hash them, so that they are known again by their contents.
        texts: whether to carry what lies beside a recording and says what is said in it.
    """

    def __init__(
        self,
        names: Sequence[str],
        root: str | None = None,
        *,
        channel: int | str | None = None,
        count_channels: CountChannels | None = None,
        hashed: bool = False,
        texts: bool = False,
    ) -> None:
        self.channel, self.count_channels, self.hashed, self.texts = channel, count_channels, hashed, texts
        self.readers = [reader for name in names for reader in open_input(name, root)]
        unreadable = [reader for reader in self.readers if isinstance(reader, UnreadableReader)]
        if unreadable and len(unreadable) == len(self.readers):  # then there is nothing to plan
            raise InputError(unreadable[0].reason)
        try:
            carried = [reader.carried.remove_metadata() for reader in self.readers] + [BESIDE] * texts
            self.carried = pa.unify_schemas(carried, promote_options="permissive")
        except pa.ArrowException as error:
            raise InputError(f"a column is of different types: {error}", subject=", ".join(names)) from None
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
                yield self.completed(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def completed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The entries with texts, hashes and channels."""
        if self.texts:
            batch = with_texts(batch)
        if self.hashed:
            batch = with_hashes(batch)
        if self.channel == EACH:
            assert self.count_channels is not None, "to count channels, something has to open files"
            return each_channel(batch, self.count_channels)
        return batch if self.channel is None else one_channel(batch, int(self.channel))


def with_hashes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Entries that are known again by their contents, not by the times of their files."""
    places = list(zip(*(batch[name].to_pylist() for name in ("uri", "byte_start", "byte_count")), strict=True))
    wanted = list(dict.fromkeys(p for p, fault in zip(places, batch["fault"].to_pylist(), strict=True) if not fault))
    with ThreadPoolExecutor() as pool:
        found = dict(zip(wanted, pool.map(lambda place: hash_of(*place), wanted), strict=True))
    hashes = [found.get(place) for place in places]
    modified = zip(batch["file_modified"].to_pylist(), hashes, strict=True)
    times = [time if sha256 is None else None for time, sha256 in modified]
    columns = {"file_sha256": pa.array(hashes, pa.string()), "file_modified": pa.array(times, pa.int64())}
    return replaced(batch, columns)


def kind_of(file: Location) -> str:
    """By which suffix of `FILES` a file is known, whatever it is compressed with; empty for recordings."""
    name = file.name.lower()
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    return next((suffix for suffix in FILES if name.endswith(suffix)), "")


def list_readers(files: Sequence[Location], root: str | None) -> list[Reader]:
    """Lists: manifests of JSON lines, paths, Kaldi's wav.scp, or cuts of Lhotse."""
    readers: list[Reader] = []
    for file in files:
        form = LineForm.of(kind_of(file))
        first = next((row for _, rows, _ in numbered_objects(file, form) for row in rows), {})
        if form is LineForm.JSON and looks_like_cuts(first):
            readers.append(LhotseReader(file, root))
        else:
            readers.append(ManifestReader(file, Lines(file, form), root))
    return readers


def parquet_readers(files: Sequence[Location], root: str | None) -> list[Reader]:
    """Manifests in Parquet, or data sets with the audio inside; one that cannot be read keeps no other from it."""
    readers: list[Reader] = []
    for file in files:
        try:
            rows = ParquetRows(file)
        except InputError as error:
            readers.append(UnreadableReader(str(file), str(error)))
        else:
            with_audio = bool(audio_columns(rows.schema))
            readers.append(ParquetAudioReader(file) if with_audio else ManifestReader(file, rows, root))
    return readers


def split_readers(folder: Location) -> list[Reader]:
    """The splits of a `DatasetDict`."""
    names = read_json(folder.child(DATASET_DICT))["splits"]
    return [HuggingFaceReader(folder.child(name), f"{name}/") for name in names]


def readers_of_folder(folder: Location) -> list[Reader]:
    """What a folder is, by what it holds."""
    if folder.child(DATASET_DICT).exists():
        return split_readers(folder)
    return [HuggingFaceReader(folder) if folder.child(DATASET_STATE).exists() else FolderReader(folder)]


FILES: dict[str, Callable[[Sequence[Location], str | None], list[Reader]]] = {
    ".jsonl": list_readers,
    ".txt": list_readers,
    ".lst": list_readers,
    ".list": list_readers,
    ".scp": list_readers,
    ".csv": lambda files, root: [ManifestReader(file, SeparatedValues(file), root) for file in files],
    ".tsv": lambda files, root: [ManifestReader(file, SeparatedValues(file), root) for file in files],
    ".parquet": parquet_readers,
    ".tar": lambda files, _: [WebDatasetReader(files)],
}
"""What a file may be, by its suffix, whatever it is compressed with; others are recordings."""

LISTS = {".txt", ".lst", ".list"}
"""What transcripts are called too: a pattern means them as lists only where it matches nothing else."""

PATTERNS = FILES.keys() - LISTS
