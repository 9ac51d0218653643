"""Cut manifests of Lhotse, read without it: each cut is a span of a recording, with what was said in it."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import Fault, entries, fault_entries
from xcodec.tokenization.inputs.manifest import base_of, resolved, why_not
from xcodec.tokenization.inputs.rows import as_strings, numbered_objects
from xcodec.tokenization.inputs.stamps import FileStamps

__all__ = ["LhotseReader", "looks_like_cuts"]


def looks_like_cuts(first: dict[str, Any]) -> bool:
    """Whether the first line of a JSONL file is a cut."""
    return str(first.get("type", "")).endswith("Cut") or {"id", "start", "duration", "recording"} <= first.keys()


class LhotseReader:
    """MonoCuts of recordings in files. `text`, `speaker` and `language` come from the supervisions.

    Relative paths are relative to the current folder, as Lhotse has them, unless there is a root.

    Args:
        file: cuts.jsonl or cuts.jsonl.gz.
        root: what relative paths are relative to.
    """

    carried = pa.schema([("text", pa.string()), ("speaker", pa.string()), ("language", pa.string())])

    def __init__(self, file: Location, root: str | None) -> None:
        self.file = file
        self.base = base_of(root, Location.of("."))
        self.stamps = FileStamps()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The cuts in their order; what is no span of a recording is an entry that says so."""
        for numbers, cuts, wrong in numbered_objects(self.file):
            faults = [self.fault(number, None, reason) for number, reason in wrong]
            rows: list[dict[str, Any]] = []
            kept: list[dict[str, Any]] = []
            for number, cut in zip(numbers, cuts, strict=True):
                try:
                    rows.append(self.entry(cut))
                    kept.append(cut)
                except InputError as error:
                    faults.append(self.fault(number, cut.get("id"), str(error)))
            if rows:
                columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
                columns["uri"] = as_strings(columns["uri"])
                columns["file_size"], columns["file_modified"] = self.stamps.of(columns["uri"])
                further = [pa.array([said(cut, name) for cut in kept], pa.string()) for name in self.carried.names]
                yield entries(self.carried, columns, further)
            yield from fault_entries(self.carried, faults)

    def fault(self, number: int, name: object, reason: str) -> Fault:
        """What a line becomes that is no cut which can be read."""
        return Fault(name if isinstance(name, str) else f"{self.file}:{number}", str(self.file), reason)

    def entry(self, cut: dict[str, Any]) -> dict[str, Any]:
        """Where a cut lies.

        Raises:
            InputError: where it is not one span of one recording in a file.
        """
        try:
            sources, wanted = cut["recording"]["sources"], cut.get("channel", 0)
            several = isinstance(wanted, list) or len(sources) != 1
            source = next(each for each in sources if several is False or wanted in each["channels"])
            path, channels, kind = str(source["source"]), source["channels"], source["type"]
            entry: dict[str, Any] = {
                "id": str(cut["id"]),
                "start": float(cut["start"]),
                "duration": float(cut["duration"]),
            }
            channel = channels.index(wanted) if len(channels) > 1 and wanted in channels else None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, StopIteration):
            raise InputError(
                f"the cut ({cut.get('type', 'no type')}) is not one span of one recording, which is what can be "
                "tokenized; export mixed and multi-channel cuts with Lhotse's save_audios first"
            ) from None
        if kind not in ("file", "url"):
            raise InputError(f"the cut has its audio in {kind!r}, expected a file or a URL")
        if reason := why_not(path, entry["start"], entry["duration"], channel):
            raise InputError(f"the cut {reason}")
        return entry | {"uri": resolved(path, self.base), "channel": channel}


def said(cut: dict[str, Any], name: str) -> str | None:
    """What the supervisions of a cut say under a name, one after the other."""
    spoken = [each for each in cut.get("supervisions") or [] if isinstance(each, dict)]
    values = dict.fromkeys(str(each[name]) for each in spoken if each.get(name) is not None)
    return " ".join(values) if values else None
