"""The output of a shard: one Parquet file that appears whole or not at all, with codes, and failures beside them."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.tokenization.headers import METADATA, Failure, ShardHeader, read_header
from xcodec.tokenization.plan import Fingerprint
from xcodec.tokenization.stores import Store, WrittenAlreadyError

__all__ = ["output_schema", "write_shard"]

_DICTIONARY = 1.03  # what indices in a dictionary take, over the bits that they need
_LARGE_CODEBOOK = 4096  # codes, from which on a dictionary of those in a shard takes more room than it saves


def output_schema(codec: Mapping[str, Any], carried: pa.Schema) -> pa.Schema:
    """The columns of codes: `codes` is a list of ids, or where there are several codebooks, of one list for each."""
    ids = pa.list_(pa.uint16())
    return pa.schema(
        [
            ("id", pa.string()),
            ("codes", ids if len(codec["codebook_sizes"]) == 1 else pa.list_(ids)),
            ("frames", pa.int32()),
            ("seconds", pa.float64()),
            ("source_rate", pa.int32()),
            *carried,
        ]
    )


def write_shard(
    store: Store, name: str, number: int, fingerprint: Fingerprint, rows: pa.Table, carried: pa.Schema,
    results: Mapping[int, Codes | Failure],
) -> ShardHeader:  # fmt: skip
    """Write what became of the rows of a shard. Equal codes give equal files.

    Where another run has done the shard meanwhile, what it wrote stays, if the store can tell.

    Args:
        store: of the output.
        name: of the file.
        number: of the shard.
        fingerprint: of the plan.
        rows: of the plan, all of the shard.
        carried: the columns of `rows` that go along.
        results: of each row, codes or why there are none.

    Returns:
        What the file says of itself.

    Raises:
        InputError: where the folder of the output is gone, or the name is taken by what is no such shard.
    """
    assert results.keys() == set(range(len(rows)))
    done = [i for i in range(len(rows)) if isinstance(results[i], Codes)]
    codes = [each for i in done if isinstance(each := results[i], Codes)]
    failures = tuple(each for i in sorted(results) if isinstance(each := results[i], Failure))
    kept = rows.take(pa.array(done, pa.int64()))
    seconds = [each.duration for each in codes]
    header = ShardHeader(
        number,
        fingerprint.plan_hash,
        rows=len(done),
        seconds=sum(seconds),
        planned_seconds=sum(rows["seconds"].to_pylist()),
        codec=fingerprint.codec,
        failures=failures,
    )
    sizes = fingerprint.codec["codebook_sizes"]
    schema = output_schema(fingerprint.codec, carried).with_metadata({METADATA: json.dumps(asdict(header))})
    columns = [
        kept["id"],
        as_lists([each.ids for each in codes], nested=len(sizes) > 1),
        pa.array([len(each) for each in codes], pa.int32()),
        pa.array(seconds, pa.float64()),
        pa.array([each.source_sampling_rate for each in codes], pa.int32()),
        *(kept[name] for name in carried.names),
    ]
    try:
        with store.writing(name, once=True) as part:
            table = pa.Table.from_arrays(columns, schema=schema)
            pq.write_table(table, part, compression="zstd", **encoding(table.schema.names, sizes))
    except FileNotFoundError:
        raise InputError("the output was deleted while it was made", subject=store, remedy="start it again") from None
    except WrittenAlreadyError:
        there = read_header(store.footer(name), store.called(name))
        if (there.shard, there.plan_hash) != (number, fingerprint.plan_hash):
            raise InputError("is no file of this plan", subject=store.called(name), remedy="move it away") from None
        return there
    return header


def bytes_per_code(size: int, codebooks: int) -> float:
    """How many bytes a code takes in a file of codes, at most, of a codebook of so many codes."""
    if codebooks > 1 or size < _LARGE_CODEBOOK:
        return math.log2(size) / 8 * _DICTIONARY
    return 2.0


def encoding(names: list[str], codebook_sizes: list[int]) -> dict[str, Any]:
    """How Parquet writes the columns: codes of a large codebook byte by byte, all first bytes, then all second ones."""
    if len(codebook_sizes) > 1 or codebook_sizes[0] < _LARGE_CODEBOOK:
        return {}
    others = [name for name in names if name != "codes"]
    return {"use_dictionary": others, "column_encoding": {"codes.list.element": "BYTE_STREAM_SPLIT"}}


def as_lists(ids: list[np.ndarray], nested: bool) -> pa.Array:
    """Arrays of shape (K, T) as lists of uint16, or as lists of K lists."""
    rows = [row.astype(np.uint16) for each in ids for row in each]
    ends = np.cumsum([0, *(len(row) for row in rows)])
    values = pa.array(np.concatenate(rows) if rows else np.zeros(0, np.uint16))
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)
    if not nested:
        return lists
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *(len(each) for each in ids)]), pa.int32()), lists)
