"""What a recording's bytes are known by: the size and the time of its file, or a hash."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from xcodec.errors import AudioError
from xcodec.location import Location, is_url, stamp
from xcodec.tokenization.cells import Cell, CellReader, file_of

__all__ = ["check_hash", "check_stamp", "chunks", "hash_of"]

_CHUNK = 1 << 20


def chunks(uri: str, byte_start: int | None, byte_count: int | None) -> Iterator[bytes]:
    """The bytes of a recording: of a whole file, or of a part of it.

    Raises:
        EOFError: where the file ends before the part does.
        OSError: or whatever else the library of the protocol raises, where the file cannot be read.
    """
    if cell := Cell.of(uri):
        yield CellReader().read(cell)
        return
    location = Location.of(uri)
    with location.fs.open(location.path, "rb") as source:
        source.seek(byte_start or 0)
        left = byte_count if byte_start is not None else None
        while chunk := source.read(_CHUNK if left is None else min(left or 0, _CHUNK)):
            left = None if left is None else left - len(chunk)
            yield chunk
        if left:
            raise EOFError(f"it ends {left} bytes before the recording does")


def hash_of(uri: str, byte_start: int | None, byte_count: int | None) -> str | None:
    """SHA-256 of a recording's bytes; None where they cannot be read, which is told when the recording is to be."""
    digest = hashlib.sha256()
    try:
        for chunk in chunks(uri, byte_start, byte_count):
            digest.update(chunk)
    except Exception:  # of whatever library serves the protocol
        return None
    return digest.hexdigest()


def check_stamp(entry: Mapping[str, Any]) -> None:
    """Refuse a file here that is another than was planned, by its size and the time when it was written last.

    Raises:
        AudioError: says what it was and is.
    """
    if entry["file_sha256"] is not None or entry["file_size"] is None or is_url(entry["uri"]):
        return
    seen = stamp(Location.of(file_of(entry["uri"])).path)
    was, now = (entry["file_size"], entry["file_modified"]), (seen.size, seen.modified)
    if now == (None, None) or was == now:  # a file that is gone is told when it is opened
        return
    how = f"it had {was[0]:,} bytes and has {now[0]:,}" if was[0] != now[0] else "it was written again"
    raise AudioError(
        f"has been replaced since it was planned ({how})",
        subject=entry["uri"],
        remedy="put the file back, or start another output. Plans that are made with --verify go by "
        "contents, not by times",
    )


def check_hash(entry: Mapping[str, Any]) -> None:
    """Refuse a recording whose bytes are others than was planned, where the plan has their hash.

    Raises:
        AudioError: where they differ.
    """
    planned = entry["file_sha256"]
    if planned is None:
        return
    now = hash_of(entry["uri"], entry["byte_start"], entry["byte_count"])
    if now is not None and now != planned:
        raise AudioError(
            "holds other bytes than when it was planned", subject=entry["uri"], remedy="put it back, or plan anew"
        )
