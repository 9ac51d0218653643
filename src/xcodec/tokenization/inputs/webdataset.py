"""WebDataset tars: the files of one sample lie side by side under one key."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from xcodec.audio import MEDIA_SUFFIXES
from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import BATCH_ROWS, check_carried, entries, estimated_seconds

__all__ = ["WebDatasetReader"]

Sample = tuple[dict[str, Any], dict[str, Any]]
"""What is known of a recording: the columns of an entry, and the carried ones."""


class WebDatasetReader:
    """The recordings in tars. They are read where they lie, by their position; nothing is unpacked.

    An id is tar/key.suffix. `text` is what key.txt holds; the values of key.json are carried under their names.

    Args:
        tars: uncompressed tars.
    """

    def __init__(self, tars: Sequence[Location]) -> None:
        self.tars = tars
        self.carried = pa.schema([])
        for samples in self.grouped():
            try:
                found = pa.schema(list(pa.array([carried for _, carried in samples], pa_struct(samples)).type))
                self.carried = pa.unify_schemas([self.carried, found], promote_options="permissive")
            except pa.ArrowException as error:
                raise InputError(
                    f"{tars[0]}: a key of the JSON files holds values of different types; write them alike "
                    f"({str(error).splitlines()[0]})"
                ) from None
        check_carried(self.carried.names, str(tars[0]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The recordings, in the order in which they lie in the tars."""
        for samples in self.grouped():
            columns = {name: [entry[name] for entry, _ in samples] for name in samples[0][0]}
            further = [
                pa.array([carried.get(field.name) for _, carried in samples], field.type) for field in self.carried
            ]
            yield entries(self.carried, columns, further)

    def grouped(self) -> Iterator[list[Sample]]:
        """The recordings, so many at a time."""
        group: list[Sample] = []
        for tar in self.tars:
            for sample in samples_of(tar):
                group.append(sample)
                if len(group) == BATCH_ROWS:
                    yield group
                    group = []
        if group:
            yield group


def pa_struct(samples: list[Sample]) -> pa.DataType:
    """The type of what is carried; an empty one where nothing is."""
    found = pa.infer_type([carried for _, carried in samples])
    return found if pa.types.is_struct(found) else pa.struct([])


def samples_of(tar: Location) -> Iterator[Sample]:
    """The recordings in one tar."""
    if not tar.name.lower().endswith(".tar"):
        raise InputError(
            f"{tar}: recordings in a compressed tar cannot be read where they lie; unpack it to .tar first"
        )
    try:
        with tar.open() as file, tarfile.open(fileobj=file, mode="r:") as members:
            key = ""
            audio: list[dict[str, Any]] = []
            carried: dict[str, Any] = {}
            for member in members:
                folder, _, name = member.name.rpartition("/")
                if not member.isfile() or name.startswith("."):
                    continue
                stem, _, suffix = name.partition(".")
                if f"{folder}/{stem}" != key:
                    yield from ((entry, carried) for entry in audio)
                    key, audio, carried = f"{folder}/{stem}", [], {}
                if name.lower().endswith(MEDIA_SUFFIXES):
                    audio.append(entry_of(tar, member))
                elif suffix in ("txt", "json"):
                    stored = members.extractfile(member)
                    assert stored is not None  # it is a file
                    carried |= read_text(tar, member.name, stored.read())
                members.members.clear()  # type: ignore[attr-defined]  # or tarfile would keep all that it has seen
            yield from ((entry, carried) for entry in audio)
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{tar}: is damaged, cut short or no tar: {error}") from None


def entry_of(tar: Location, member: tarfile.TarInfo) -> dict[str, Any]:
    """Where a recording lies."""
    return {
        "id": f"{tar.name[: -len('.tar')]}/{member.name.removeprefix('./')}",
        "uri": str(tar),
        "byte_start": member.offset_data,
        "byte_count": member.size,
        "seconds": estimated_seconds(member.name, member.size),
    }


def read_text(tar: Location, name: str, stored: bytes) -> dict[str, Any]:
    """What a sample's text or JSON file adds to its recordings."""
    try:
        if name.endswith(".txt"):
            return {"text": stored.decode()}
        values = json.loads(stored)
    except ValueError as error:
        raise InputError(f"{tar}: {name} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{tar}: {name} holds a {type(values).__name__}, expected an object")
    return values
