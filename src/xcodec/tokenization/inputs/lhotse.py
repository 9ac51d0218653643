"""Cut manifests of Lhotse, read without it: each cut is a span of a recording, with what was said in it."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import entries
from xcodec.tokenization.inputs.manifest import base_of, json_objects, resolved

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

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The cuts in their order."""
        for cuts in json_objects(self.file):
            rows = [self.entry(cut) for cut in cuts]
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            further = [pa.array([said(cut, name) for cut in cuts], pa.string()) for name in self.carried.names]
            yield entries(self.carried, columns, further)

    def entry(self, cut: dict[str, Any]) -> dict[str, Any]:
        """Where a cut lies."""
        where = f"{self.file}: cut {cut.get('id')!r}"
        try:
            sources, wanted = cut["recording"]["sources"], cut.get("channel", 0)
            several = isinstance(wanted, list) or len(sources) != 1
            source = next(each for each in sources if several is False or wanted in each["channels"])
            path, channels, kind = source["source"], source["channels"], source["type"]
            entry = {"id": str(cut["id"]), "start": float(cut["start"]), "duration": float(cut["duration"])}
        except (KeyError, TypeError, ValueError, StopIteration):
            raise InputError(
                f"{where} ({cut.get('type', 'no type')}) is not one span of one recording, which is what can be "
                "tokenized; export mixed and multi-channel cuts with Lhotse's save_audios first"
            ) from None
        if kind not in ("file", "url"):
            raise InputError(f"{where} has its audio in {kind!r}, expected a file or a URL")
        channel = channels.index(wanted) if len(channels) > 1 and wanted in channels else None
        return entry | {"uri": resolved(path, self.base), "channel": channel}


def said(cut: dict[str, Any], name: str) -> str | None:
    """What the supervisions of a cut say under a name, one after the other."""
    values = dict.fromkeys(str(each[name]) for each in cut.get("supervisions") or [] if each.get(name) is not None)
    return " ".join(values) if values else None
