"""Which channel of each recording is meant, and a row for each of them."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xcodec.errors import InputError

__all__ = ["EACH", "CountChannels", "each_channel", "one_channel", "parse_channel"]

EACH = "each"
"""A row for each channel."""

CountChannels = Callable[[Mapping[str, Any]], int | None]
"""Says how many channels an entry's file has; None where it cannot be read."""

_THREADS = 16
_PLACE = ("uri", "byte_start", "byte_count")
_LOOKED_AT = (*_PLACE, "start", "duration", "channel", "fault", "file_size", "file_modified", "file_sha256")
_NAMES = {"mean": None, "left": 0, "right": 1}


def parse_channel(text: str) -> int | str | None:
    """Understand which channel is meant: a number from 0, EACH, or None for the mean of all.

    Raises:
        InputError: for anything else.
    """
    if text in _NAMES:
        return _NAMES[text]
    if text == EACH:
        return EACH
    if text.isdecimal() and int(text) < 1024:
        return int(text)
    raise InputError(f"the channel {text!r}: expected left, right, mean, each, or a number from 0")


def one_channel(batch: pa.RecordBatch, channel: int) -> pa.RecordBatch:
    """Mean this channel of all entries that mean none yet and have something to read."""
    chosen = pc.if_else(pc.is_null(batch["fault"]), pc.coalesce(batch["channel"], pa.scalar(channel, pa.int32())), None)
    return replaced(batch, {"channel": chosen.cast(pa.int32())})


def each_channel(batch: pa.RecordBatch, count: CountChannels) -> pa.RecordBatch:
    """Put an entry for each channel in the place of those that mean none yet: NAME.ch0, NAME.ch1 and so on.

    Of the spans of a file that follow one another all of one channel come first, so that they can be read in one pass.
    An entry whose file cannot be read stays one.
    """
    rows = batch.select(_LOOKED_AT).to_pylist()
    files = [list(group) for _, group in groupby(range(len(rows)), key=lambda i: tuple(rows[i][n] for n in _PLACE))]
    asked = [next((rows[i] for i in file if open_to_choice(rows[i])), None) for file in files]
    with ThreadPoolExecutor(_THREADS) as pool:
        counts = list(pool.map(lambda row: None if row is None else count(row), asked))
    taken: list[int] = []
    channels: list[int | None] = []
    for file, found in zip(files, counts, strict=True):
        for number in range(found or 1):
            chosen = [i for i in file if number == 0 or open_to_choice(rows[i])]
            taken += chosen
            channels += [number if found and open_to_choice(rows[i]) else rows[i]["channel"] for i in chosen]
    whole = batch.take(pa.array(taken, pa.int64()))
    ids = [
        name if number is None or not open_to_choice(rows[i]) else f"{name}.ch{number}"
        for i, name, number in zip(taken, whole["id"].to_pylist(), channels, strict=True)
    ]
    return replaced(whole, {"id": pa.array(ids, pa.string()), "channel": pa.array(channels, pa.int32())})


def open_to_choice(row: Mapping[str, Any]) -> bool:
    """Whether an entry means no channel yet, and has something to read."""
    return row["channel"] is None and row["fault"] is None


def replaced(batch: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The batch with other values in some of its columns."""
    arrays = [columns.get(name, batch.column(name)) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)
