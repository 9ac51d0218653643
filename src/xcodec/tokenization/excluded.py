"""The rows that were left out of a shard, in the file of the shard: so both are there, or neither is.

Parquet keeps texts under keys. This is one of them: a table as a stream of Arrow, compressed, in base64.
"""

import base64
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.errors import InputError
from xcodec.tokenization.treatment import Treatment

__all__ = ["EXCLUDED", "excluded_schema", "packed", "read_excluded"]

EXCLUDED = b"xcodec.excluded"
"""Under which key Parquet keeps the rows that were left out."""


def excluded_schema(treatment: Treatment) -> pa.Schema:
    """What is told of rows that were left out; of duplicates, which row has the same audio."""
    told = [("id", pa.string()), ("uri", pa.string()), ("reason", pa.string())]
    told += [("same_as", pa.string())] if treatment.dedupe else []
    return pa.schema([*told, ("seconds", pa.float64()), ("source_rate", pa.int32()), *treatment.columns])


def packed(rows: pa.Table) -> bytes:
    """A table as a text."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(rows)
    return base64.b64encode(sink.getvalue())


def read_excluded(file: Path | IO[bytes], treatment: Treatment, called: str = "") -> pa.Table:
    """The rows that were left out of a shard.

    Args:
        file: of the shard, of which no more than the Parquet footer need be there.
        treatment: of its plan.
        called: for messages; empty where that is its path.

    Raises:
        InputError: where it is damaged.
    """
    schema = excluded_schema(treatment)
    try:
        text = (pq.read_schema(file).metadata or {}).get(EXCLUDED)
        return schema.empty_table() if text is None else pa.ipc.open_stream(base64.b64decode(text)).read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"is damaged, or no file of codes ({error})", subject=called or file, remedy="delete it and run again"
        ) from None
