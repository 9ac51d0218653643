"""What lies beside a recording and says what is said in it: `a.normalized.txt`, `a.txt` or `a.json` beside `a.wav`."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from xcodec.errors import InputError, XcodecError
from xcodec.location import Location, as_text, is_url
from xcodec.tokenization.cells import file_of
from xcodec.tokenization.inputs.channels import replaced
from xcodec.tokenization.patience import WAITS, patiently

__all__ = ["BESIDE", "with_texts"]

BESIDE = pa.schema([("text", pa.string()), ("speaker", pa.string()), ("language", pa.string())])
"""The columns that are taken from there; all but the text only from JSON."""

_SUFFIXES = (".normalized.txt", ".txt", ".json")  # in this order: the first that is there counts
_THREADS = 32  # a store takes some 20 ms to say that there is nothing
_ATTEMPTS = 4  # more, at reading a text from far away

Told = dict[str, str | None]


def with_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Fill the columns of `BESIDE` where they are null, from what lies beside each recording.

    A recording beside which there is nothing keeps its nulls. One whose text is there and cannot be read is a fault.
    """
    columns = {name: batch[name].to_pylist() for name in ("uri", "byte_start", "fault", *BESIDE.names)}
    wanted = [
        row
        for row in range(len(batch))
        if columns["text"][row] is None
        and columns["byte_start"][row] is None
        and columns["fault"][row] is None
        and file_of(columns["uri"][row]) == columns["uri"][row]
    ]
    places = dict.fromkeys(columns["uri"][row] for row in wanted)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(places, pool.map(_told_or_why_not, places), strict=True))
    for row in wanted:
        told = found[columns["uri"][row]]
        if isinstance(told, str):
            columns["fault"][row] = told
            continue
        for name, value in told.items():
            columns[name][row] = value if columns[name][row] is None else columns[name][row]
    return replaced(batch, {name: pa.array(columns[name], pa.string()) for name in ("fault", *BESIDE.names)})


def _told_or_why_not(uri: str) -> Told | str:
    try:
        return _told_beside(uri)
    except XcodecError as error:
        return f"its text cannot be read: {error}"


def _told_beside(uri: str) -> Told:
    """Read what lies beside a recording.

    Raises:
        XcodecError: where it is there and cannot be read.
    """
    recording = Location.of(uri)
    stem, point, _ = recording.name.rpartition(".")
    for suffix in _SUFFIXES:
        place = recording.folder.child((stem if point else recording.name) + suffix)
        waits = WAITS[:_ATTEMPTS] if is_url(uri) else ()
        try:
            contents = patiently(as_text(str(place)), partial(place.fs.cat_file, place.path), waits)
            text = contents.decode("utf-8-sig").strip()
            return _fields(text) if suffix == ".json" else {"text": text}
        except FileNotFoundError:
            continue
        except ValueError as error:  # no UTF-8, or no JSON
            raise InputError(f"is no {'JSON' if suffix == '.json' else 'UTF-8'} ({error})", subject=place) from None
    return {}


def _fields(text: str) -> Told:
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError(f"a {type(told).__name__}, expected an object")
    return {name: str(told[name]) for name in BESIDE.names if told.get(name) is not None}
