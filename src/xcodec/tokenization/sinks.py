"""The output of a shard: one Parquet file that appears whole or not at all, with codes, and failures beside them."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.tokenization.excluded import EXCLUDED, excluded_schema, packed
from xcodec.tokenization.headers import METADATA, Failure, ShardHeader, read_header
from xcodec.tokenization.outcomes import Excluded, Outcome
from xcodec.tokenization.pieces import span_of
from xcodec.tokenization.plan import Fingerprint
from xcodec.tokenization.stores import Store, WrittenAlreadyError
from xcodec.tokenization.treatment import AUDIO_HASH, Treatment

__all__ = ["output_schema", "write_shard", "write_table"]

_DICTIONARY = 1.03  # what indices in a dictionary take, over the bits that they need
_LARGE_CODEBOOK = 4096  # codes, from which on a dictionary of those in a shard takes more room than it saves


def output_schema(codec: Mapping[str, Any], treatment: Treatment, carried: pa.Schema) -> pa.Schema:
    """The columns of codes: `codes` is a list of ids, or where there are several codebooks, of one list for each."""
    ids = pa.list_(pa.uint16())
    return pa.schema(
        [
            ("id", pa.string()),
            ("codes", ids if len(codec["codebook_sizes"]) == 1 else pa.list_(ids)),
            ("frames", pa.int32()),
            ("seconds", pa.float64()),
            ("source_rate", pa.int32()),
            *treatment.columns,
            *carried,
        ]
    )


def write_shard(
    store: Store, name: str, number: int, fingerprint: Fingerprint, rows: pa.Table, carried: pa.Schema,
    results: Mapping[int, Sequence[Outcome]],
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
        results: what became of each row; of one that was cut, of each of its pieces.

    Returns:
        What the file says of itself.

    Raises:
        InputError: where the folder of the output is gone, or the name is taken by what is no such shard.
    """
    assert results.keys() == set(range(len(rows)))
    outcomes = [(row, each) for row in range(len(rows)) for each in results[row]]
    excluded = excluded_table(rows, outcomes, fingerprint)
    table = codes_table(rows, outcomes, fingerprint, carried)
    header = ShardHeader(
        number,
        fingerprint.plan_hash,
        rows=len(table),
        seconds=sum(table["seconds"].to_pylist()),
        planned_seconds=sum(rows["seconds"].to_pylist()),
        codec=fingerprint.codec,
        failures=tuple(each.result for _, each in outcomes if isinstance(each.result, Failure)),
        recordings=len(rows),
        excluded=dict(Counter(excluded["reason"].to_pylist())),
    )
    try:
        with store.writing(name, once=True) as part:
            write_table(part, table, header, excluded)
    except FileNotFoundError:
        raise InputError("the output was deleted while it was made", subject=store, remedy="start it again") from None
    except WrittenAlreadyError:
        there = read_header(store.footer(name), store.called(name))
        if (there.shard, there.plan_hash) != (number, fingerprint.plan_hash):
            raise InputError("is no file of this plan", subject=store.called(name), remedy="move it away") from None
        return there
    return header


def write_table(path: Path, table: pa.Table, header: ShardHeader, excluded: pa.Table) -> None:
    """Write the file of a shard.

    Args:
        path: of the file.
        table: its rows.
        header: what it says of itself.
        excluded: the rows that were left out.
    """
    metadata: dict[bytes, str | bytes] = {METADATA: json.dumps(asdict(header))}
    if len(excluded):
        metadata[EXCLUDED] = packed(excluded)
    table = table.replace_schema_metadata(metadata)
    settings = encoding(table.schema.names, header.codec["codebook_sizes"])
    pq.write_table(table, path, compression="zstd", write_page_checksum=True, **settings)


def codes_table(
    rows: pa.Table, outcomes: Sequence[tuple[int, Outcome]], fingerprint: Fingerprint, carried: pa.Schema
) -> pa.Table:
    """The rows with codes. Where a recording was cut, `text` is null: what is said in it is not what a piece says."""
    done = [(row, each, each.result) for row, each in outcomes if isinstance(each.result, Codes)]
    kept = rows.take(pa.array([row for row, _, _ in done], pa.int64()))
    codes = [each for _, _, each in done]
    told = {name: kept[name] for name in carried.names}
    if "text" in told and any(each.is_cut for _, each, _ in done):
        cut = pa.array([each.is_cut for _, each, _ in done])
        told["text"] = pc.if_else(cut, pa.scalar(None, told["text"].type), told["text"])
    treatment = fingerprint.treatment
    schema = output_schema(fingerprint.codec, treatment, carried)
    columns = [
        pa.array([each.id for _, each, _ in done], pa.string()),
        as_lists([each.ids for each in codes], nested=len(fingerprint.codec["codebook_sizes"]) > 1),
        pa.array([len(each) for each in codes], pa.int32()),
        pa.array([each.duration for each in codes], pa.float64()),
        pa.array([each.source_sampling_rate for each in codes], pa.int32()),
        *treated(kept, [each for _, each, _ in done], fingerprint),
        *told.values(),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def excluded_table(rows: pa.Table, outcomes: Sequence[tuple[int, Outcome]], fingerprint: Fingerprint) -> pa.Table:
    """The rows that were left out."""
    left = [(row, each, each.result) for row, each in outcomes if isinstance(each.result, Excluded)]
    kept = rows.take(pa.array([row for row, _, _ in left], pa.int64()))
    columns = [
        pa.array([each.id for _, each, _ in left], pa.string()),
        kept["uri"],
        pa.array([result.reason for _, _, result in left], pa.string()),
        *([pa.nulls(len(left), pa.string())] if fingerprint.treatment.dedupe else []),
        pa.array([result.seconds for _, _, result in left], pa.float64()),
        pa.array([result.source_rate for _, _, result in left], pa.int32()),
        *treated(kept, [each for _, each, _ in left], fingerprint),
    ]
    return pa.Table.from_arrays(columns, schema=excluded_schema(fingerprint.treatment))


def treated(kept: pa.Table, outcomes: Sequence[Outcome], fingerprint: Fingerprint) -> list[pa.Array]:
    """The columns that a treatment adds.

    Args:
        kept: rows of the plan, one for each outcome.
        outcomes: of pieces that were read.
        fingerprint: of the plan.
    """
    schema = fingerprint.treatment.columns
    if not len(schema):
        return []
    values: dict[str, list[Any]] = {name: [] for name in schema.names}
    entries = kept.select([name for name in ("id", "start") if name in kept.schema.names]).to_pylist()
    for entry, each in zip(entries, outcomes, strict=True):
        assert each.piece is not None
        start, end = span_of(entry, each.piece, fingerprint.codec["sampling_rate"])
        told = {"parent": entry["id"], "start": start, "end": end, AUDIO_HASH: each.piece.audio_hash}
        for name in schema.names:
            values[name].append((told | each.piece.figures)[name])
    return [pa.array(values[field.name], field.type) for field in schema]


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
