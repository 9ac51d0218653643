"""A folder as the Hugging Face Hub shows data sets: Parquet files and a card; uploaded where that is asked for."""

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.errors import InputError, MissingExtraError, first_line
from xcodec.files import written_whole
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.sinks import as_lists
from xcodec.tokenization.tokens import Row, Tokens

__all__ = ["export_hub", "push"]

_FILE_BYTES = 400_000_000  # about: of a file
_AT_ONCE = 2048  # rows of a row group
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
LICENCE = "unknown"


@dataclass
class Figures:
    """What the card says of the rows.

    Args:
        seen: of each codec, by name, and of each of its codebooks, how often each code occurs.
        seconds: of each recording.
        files: that were written.
    """

    seen: dict[str, list[np.ndarray]]
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    files: int = 0

    @classmethod
    def of(cls, codecs: Mapping[str, Mapping[str, Any]]) -> "Figures":
        """Nothing is counted yet."""
        sizes = {name: codec["codebook_sizes"] for name, codec in codecs.items()}
        return cls({name: [np.zeros(size, np.int64) for size in each] for name, each in sizes.items()})

    def add(self, rows: list[Row]) -> None:
        """Count some rows."""
        for name, counts in self.seen.items():
            ids = np.concatenate([row.joined[name] if name else row.codes for row in rows], axis=1)
            for count, codebook in zip(counts, ids, strict=True):
                count += np.bincount(codebook, minlength=len(count))
        self.seconds.extend(row.seconds for row in rows)


def export_hub(tokens: Tokens, folder: Path, licence: str = LICENCE) -> ExportReport:
    """Write data/train-NNNNN.parquet, with the columns of an output, and README.md, the card.

    Codes of a codec that was joined as NAME are codes_NAME and frames_NAME. Where recordings are, and which failed, is
    not told: that is nobody else's business. A file of codes that cannot be read is a failure of the report.

    Args:
        tokens: a finished output.
        folder: to write, which holds no such files yet.
        licence: as the Hub calls it, such as cc-by-4.0; the card says where to fill it in where it is unknown.

    Raises:
        InputError: where there are files of another export.
    """
    tokens.check_finished()
    data = folder / "data"
    if data.is_dir() and any(data.iterdir()):
        raise InputError("holds files already", subject=data, remedy="give another folder")
    data.mkdir(parents=True, exist_ok=True)
    report, figures = ExportReport(), Figures.of(tokens.codecs)
    schema = schema_of(tokens)
    groups = row_groups(tokens, report)
    group = next(groups, None)
    while group is not None:
        path = data / f"train-{figures.files:05}.parquet"
        with (
            written_whole(path) as part,
            part.open("wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            while group is not None and file.tell() < _FILE_BYTES:
                writer.write_table(table_of(group, schema, tokens))
                figures.add(group)
                report.rows += len(group)
                group = next(groups, None)
        figures.files += 1
    with written_whole(folder / "README.md") as part:
        part.write_text(card(tokens, schema, figures, licence), encoding="utf-8")
    return report


def row_groups(tokens: Tokens, report: ExportReport) -> Iterator[list[Row]]:
    """All rows, so many at a time."""
    rows: list[Row] = []
    for row in tokens.rows(failures=report.failures):
        rows.append(row)
        if len(rows) == _AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def schema_of(tokens: Tokens) -> pa.Schema:
    """The columns of the files."""
    columns: list[Any] = [pa.field("id", pa.string())]
    for name, codec in tokens.codecs.items():
        ids = pa.list_(pa.uint16())
        columns.append(pa.field(marked("codes", name), ids if len(codec["codebook_sizes"]) == 1 else pa.list_(ids)))
        columns.append(pa.field(marked("frames", name), pa.int32()))
    columns += [pa.field("seconds", pa.float64()), pa.field("source_rate", pa.int32())]
    taken = {each.name for each in columns}
    if twice := taken & set(tokens.further.names):
        raise InputError(
            f"the column {min(twice)!r} is carried, and a name for codes", remedy="join under another name"
        )
    told = {"xcodec_codecs": json.dumps({name or "codes": dict(codec) for name, codec in tokens.codecs.items()})}
    return pa.schema([*columns, *tokens.further], metadata=told)


def marked(column: str, name: str) -> str:
    """Name a column of a codec that was joined."""
    return f"{column}_{name}" if name else column


def table_of(rows: list[Row], schema: pa.Schema, tokens: Tokens) -> pa.Table:
    """Rows as a table."""
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in ("id", "seconds", "source_rate")}
    for name, codec in tokens.codecs.items():
        ids = [row.joined[name] if name else row.codes for row in rows]
        columns[marked("codes", name)] = as_lists(ids, nested=len(codec["codebook_sizes"]) > 1)
        columns[marked("frames", name)] = [each.shape[1] for each in ids]
    columns |= {name: [row.carried[name] for row in rows] for name in tokens.further.names}
    return pa.table({each.name: pa.array(columns[each.name], each.type) for each in schema}, schema=schema)


def card(tokens: Tokens, schema: pa.Schema, figures: Figures, licence: str) -> str:
    """Write the card: what the Hub reads, what people read, and how to get sound back."""
    seconds = np.array(figures.seconds if figures.seconds else [0.0])
    rows = len(figures.seconds)
    size = _SIZES[min(max(len(str(rows)) - 3, 0), len(_SIZES) - 1)]
    fill = "  # fill in what the owners of the recordings allow, such as cc-by-4.0" if licence == LICENCE else ""
    quantiles = np.quantile(seconds, [0.0, 0.5, 0.95, 1.0])
    codecs = "\n".join(codec_line(name, codec, figures) for name, codec in tokens.codecs.items())
    joined = {marked(column, name): f"likewise, joined as {name}" for name in tokens.codecs if name for column in OWN}
    known = MEANINGS | joined
    meanings = [(each, known.get(each.name, "as it was carried along")) for each in schema]
    columns = "\n".join(f"| `{each.name}` | {each.type} | {meaning} |" for each, meaning in meanings)
    codec = tokens.codec
    return f"""---
license: {licence}{fill}
pretty_name: ""  # fill in
tags:
- audio
- speech
- audio-codes
- xcodec
size_categories:
- {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

# Codes of speech

{rows:,} recordings, {seconds.sum() / 3600:,.2f} hours, as the codes of a neural codec, made with `xcodec tokenize`.
A recording lasts {quantiles[1]:.2f} s (the median); the shortest {quantiles[0]:.2f} s, one in 20 more than
{quantiles[2]:.2f} s, the longest {quantiles[3]:.2f} s.

| codec | codes a second | codebooks | codes that occur | weights, SHA-256 |
|---|---|---|---|---|
{codecs}

| column | type | |
|---|---|---|
{columns}

## Back to sound

```python
import numpy as np
from datasets import load_dataset

from xcodec import Codec, Codes

codec = Codec.from_pretrained({json.dumps(codec["name"])})
row = next(iter(load_dataset("REPO", split="train", streaming=True)))
codes = Codes(
    np.array(row["codes"]),
    frame_rate={codec["frame_rate"]},
    num_samples=round(row["seconds"] * {codec["sampling_rate"]}),
    sampling_rate={codec["sampling_rate"]},
    source_sampling_rate=row["source_rate"],
    codebook_sizes={tuple(codec["codebook_sizes"])},
)
codec.decode(codes).save("sound.wav")
```

## Where the recordings come from

Fill in: who made them, what for, what they may be used for, and whether those who speak agreed.
"""


OWN = ("codes", "frames")
"""Columns that each codec has."""

MEANINGS = {
    "id": "of the recording",
    "codes": "ids, a list; a list for each codebook where there are several",
    "frames": "of the codes",
    "seconds": "of the recording",
    "source_rate": "of the file that was tokenized, in Hz",
}


def codec_line(name: str, codec: Mapping[str, Any], figures: Figures) -> str:
    """Write the row of a codec in the card's table."""
    sizes = codec["codebook_sizes"]
    books = f"{len(sizes)} x {sizes[0]:,}" if len(set(sizes)) == 1 else ", ".join(f"{size:,}" for size in sizes)
    used = ", ".join(f"{(count > 0).mean():.1%}" for count in figures.seen[name])
    column = f" (`{marked('codes', name)}`)" if name else ""
    return f"| {codec['name']}{column} | {codec['frame_rate']:g} | {books} | {used} | `{codec['weights_hash'][:16]}` |"


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder as a data set of the Hub, which is made, and is private, where there is none.

    Args:
        folder: as `export_hub` wrote it.
        repository: OWNER/NAME.

    Returns:
        Its address.

    Raises:
        InputError: where the Hub refuses.
        MissingExtraError: without huggingface_hub.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise MissingExtraError("pip install huggingface_hub, which uploads") from error
    api = HfApi()
    try:
        place = api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type="dataset",
            allow_patterns=["README.md", "data/*.parquet"],
            commit_message="Codes made with xcodec tokenize",
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            f"the Hub refuses: {first_line(error)}", subject=repository, remedy="log in with `hf auth login`"
        ) from error
    return str(place)
