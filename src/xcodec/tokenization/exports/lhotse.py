"""Cuts as Lhotse has them, each with its codes as an array in time; Lhotse itself is not needed to write them."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.location import is_url
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.tokens import Places, Row, Tokens

__all__ = ["export_lhotse"]

CUTS = "cuts.jsonl.gz"
_SPOKEN = ("text", "speaker", "language", "gender")
"""Columns that a supervision has fields for; others are fields of the cut."""


def export_lhotse(tokens: Tokens, folder: Path) -> ExportReport:
    """Write cuts.jsonl.gz, a MonoCut for each recording, and codes/ID.npy: uint16 of shape (T,), or (T, K).

    A cut has the field `codes`, a TemporalArray; `codes_NAME` of a codec that was joined as NAME. Its recording is the
    file that was tokenized, whose length is not known where a span of it was: it is given as what reaches to the end of
    the span. A recording inside a tar or a table has none, since Lhotse could not open it. Paths are absolute. An id
    that is no name of a file is a failure of the report.
    """
    tokens.check_finished()
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    report = ExportReport()
    own = Places(folder / "codes", ".npy")
    places = {name: own.beside(f".{name}.npy") if name else own for name in tokens.codecs}
    with written_whole(folder / CUTS) as part, gzip.open(part, "wt", encoding="utf-8") as file:
        is_cut = tokens.plan.fingerprint.treatment.is_cut
        for number in tokens.plan.done():
            planned = tokens.plan.shard(number).select(["id", "uri", "byte_start", "start", "channel"]).to_pylist()
            entries = {each["id"]: each for each in planned}
            try:
                for row in tokens.shard(number):
                    try:
                        arrays = {name: written(places[name], tokens, row, name) for name in tokens.codecs}
                    except (InputError, OSError) as error:
                        report.failures.append(Failure.of(row.id, str(folder), "write", error))
                        continue
                    entry = entries[row.carried["parent"] if is_cut else row.id]
                    cut = cut_of(row, entry, arrays, is_cut)
                    file.write(json.dumps(cut, ensure_ascii=False, default=str) + "\n")
                    report.rows += 1
            except InputError as error:
                report.failures.append(tokens.unreadable(number, error))
    return report


def written(places: Places, tokens: Tokens, row: Row, name: str) -> dict[str, Any]:
    """Write the codes of a row, and return how a manifest speaks of them."""
    codes = (row.joined[name] if name else row.codes).T
    array = codes[:, 0] if codes.shape[1] == 1 else np.ascontiguousarray(codes)
    path = places.of(row.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, part.open("wb") as file:
        np.save(file, array)
    stored = {
        "storage_type": "numpy_files",
        "storage_path": str(places.folder),
        "storage_key": path.relative_to(places.folder).as_posix(),
        "shape": list(array.shape),
    }
    return {"array": stored, "temporal_dim": 0, "frame_shift": 1 / tokens.codecs[name]["frame_rate"]}


def cut_of(row: Row, entry: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]], is_cut: bool) -> dict[str, Any]:
    """Make a cut of a row, of where it is, of how its codes are stored, and of whether it may be a piece."""
    known = {name: value for name, value in row.carried.items() if value is not None}
    start, channel = entry["start"], entry["channel"] or 0
    if is_cut:  # a piece of a recording says itself where it is
        start = known.pop("start")
        del known["end"]
    cut: dict[str, Any] = {
        "id": row.id,
        "start": start,
        "duration": row.seconds,
        "channel": channel,
        "supervisions": [
            {
                "id": row.id,
                "recording_id": row.id,
                "start": 0.0,
                "duration": row.seconds,
                "channel": channel,
                **{name: str(known.pop(name)) for name in _SPOKEN if name in known},
            }
        ],
        "custom": {f"codes_{name}" if name else "codes": {**array, "start": start} for name, array in arrays.items()},
        "type": "MonoCut",
    }
    cut["custom"] |= {name: value for name, value in known.items() if name not in cut["custom"]}
    if entry["byte_start"] is None:
        seconds = start + row.seconds
        cut["recording"] = {
            "id": row.id,
            "sources": [
                {
                    "type": "url" if is_url(entry["uri"]) else "file",
                    "channels": list(range(channel + 1)),
                    "source": entry["uri"],
                }
            ],
            "sampling_rate": row.source_rate,
            "num_samples": round(seconds * row.source_rate),
            "duration": seconds,
        }
    return cut
