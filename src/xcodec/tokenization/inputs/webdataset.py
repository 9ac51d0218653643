"""WebDataset tars: the files of one sample have one key, wherever in the tar they lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from xcodec.audio import is_media
from xcodec.errors import InputError
from xcodec.listing import LineForm, parse_line
from xcodec.location import Location, Stamp, explained
from xcodec.tokenization.inputs.entries import (
    BATCH_ROWS,
    Fault,
    check_carried,
    entries,
    estimated_seconds,
    fault_entries,
)
from xcodec.tokenization.inputs.rows import NOT_ROWS, misfit, table_of, widened
from xcodec.tokenization.inputs.tar import Member, contents, members_of

__all__ = ["WebDatasetReader"]


@dataclass
class Sample:
    """A recording in a tar: the columns of an entry, the carried ones, and why it cannot be read, if it cannot."""

    entry: dict[str, Any]
    carried: dict[str, Any]
    fault: str = ""


class WebDatasetReader:
    """The recordings in tars. They are read where they lie, by their position; nothing is unpacked.

    An id is tar/key.suffix. `text` is what key.txt holds, without the end of its last line; the values of key.json are
    carried under their names. What is wrong with a member, or with the rest of a tar, becomes an entry that says so.

    Args:
        tars: uncompressed tars.
    """

    def __init__(self, tars: Sequence[Location]) -> None:
        self.tars = tars
        self.carried = pa.schema([])
        self._misfits: dict[str, str] = {}
        for samples in self.grouped():
            try:
                self.carried = widened(self.carried, [sample.carried for sample in samples])
            except NOT_ROWS:
                for sample in samples:
                    try:
                        self.carried = widened(self.carried, [sample.carried])
                    except NOT_ROWS as error:
                        self._misfits[sample.entry["id"]] = misfit(self.carried, sample.carried, error)
        check_carried(self.carried.names, str(tars[0]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The recordings, in the order in which they lie in the tars."""
        for samples in self.grouped():
            good = [sample for sample in samples if not self.fault_of(sample)]
            if good:
                columns = {name: [sample.entry[name] for sample in good] for name in good[0].entry}
                further = table_of([sample.carried for sample in good], self.carried).columns
                yield entries(self.carried, columns, further)
            faults = [
                Fault(sample.entry["id"], sample.entry["uri"], reason)
                for sample in samples
                if (reason := self.fault_of(sample))
            ]
            yield from fault_entries(self.carried, faults)

    def fault_of(self, sample: Sample) -> str:
        """Why a recording cannot be read, or its values cannot be carried."""
        return sample.fault or self._misfits.get(sample.entry["id"], "")

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


def samples_of(tar: Location) -> Iterator[Sample]:
    """The recordings in one tar; what is wrong with the tar itself comes last."""
    if not tar.name.lower().endswith(".tar"):
        reason = "is a compressed tar, whose recordings cannot be read where they lie; unpack it to .tar first"
        yield Sample({"id": tar.name, "uri": str(tar)}, {}, reason)
        return
    stamp = tar.stamp()
    with explained(tar), tar.open() as file:
        samples: dict[str, list[Member]] = {}
        members = members_of(file)
        for member in members:
            folder, _, name = member.name.rpartition("/")
            if member.name and not name.startswith("."):
                samples.setdefault(f"{folder}/{name.partition('.')[0]}", []).append(member)
        for sample in samples.values():
            audio = [member for member in sample if is_media(member.name)]
            if audio:
                carried, fault = described(file, sample)
                yield from (
                    Sample(entry_of(tar, stamp, member), carried, fault or named(member.fault, member.name))
                    for member in audio
                )
    yield from (Sample({"id": tar.name, "uri": str(tar)}, {}, each.fault) for each in members if not each.name)


def entry_of(tar: Location, stamp: Stamp, member: Member) -> dict[str, Any]:
    """Where a recording lies."""
    return {
        "id": f"{tar.name[: -len('.tar')]}/{member.name}",
        "uri": str(tar),
        "byte_start": member.start,
        "byte_count": member.size,
        "seconds": estimated_seconds(member.name, member.size),
        "file_size": stamp.size,
        "file_modified": stamp.modified,
    }


def described(file: IO[bytes], sample: Sequence[Member]) -> tuple[dict[str, Any], str]:
    """What a sample's text and JSON files add to its recordings, and what is wrong with them."""
    carried: dict[str, Any] = {}
    for member in sample:
        suffix = member.name.rpartition("/")[2].partition(".")[2]
        if suffix not in ("txt", "json"):
            continue
        try:
            if member.fault:
                raise InputError(member.fault)
            stored = contents(file, member)
            carried |= parse_line(stored, LineForm.JSON) if suffix == "json" else {"text": text_of(stored)}
        except (InputError, ValueError) as error:
            return {}, named(str(error), member.name)
    return carried, ""


def named(reason: str, member: str) -> str:
    """A reason, with the member that it is about."""
    return f"its {member} {reason}" if reason else ""


def text_of(stored: bytes) -> str:
    """A text, without what ends its last line."""
    text = stored.decode("utf-8-sig")
    return text.removesuffix("\n").removesuffix("\r")
