"""Tokens: the codes of an output, read back row by row."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import InputError
from xcodec.tokenization.plan import Plan

__all__ = ["Row", "Tokens", "path_below"]

_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Row:
    """A recording with its codes.

    Args:
        id: its id.
        codes: uint16 of shape (K, T).
        seconds: its true length.
        source_rate: of the file that it came from, in Hz.
        carried: the further columns.
    """

    id: str
    codes: np.ndarray
    seconds: float
    source_rate: int
    carried: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """All but the codes, in JSON's types where the carried columns have them."""
        return {"id": self.id, "seconds": self.seconds, "source_rate": self.source_rate, **self.carried}


class Tokens:
    """The codes of an output of `xcodec tokenize`.

    Args:
        folder: the output.

    Raises:
        InputError: where it is none.
    """

    def __init__(self, folder: Path) -> None:
        self.plan = Plan(folder)
        self.codec = self.plan.fingerprint.codec

    def check_finished(self) -> None:
        """Refuse an output that is still growing.

        Raises:
            InputError: says how much is left.
        """
        done, shards = len(self.plan.done()), self.plan.fingerprint.shards
        if done < shards:
            raise InputError(
                f"{self.plan.folder}: is not finished, {shards - done} of {shards} shards are left; run "
                f"`xcodec tokenize -o {self.plan.folder}` to the end first"
            )

    def shard(self, number: int, ids: Collection[str] | None = None) -> Iterator[Row]:
        """The rows of a shard; of `ids`, those that are in it."""
        own = ("id", "codes", "frames", "seconds", "source_rate")
        with pq.ParquetFile(self.plan.output(number)) as parquet:
            for batch in parquet.iter_batches(_BATCH_ROWS):
                names = batch["id"].to_pylist()
                wanted = [i for i, name in enumerate(names) if ids is None or name in ids]
                further = [name for name in batch.schema.names if name not in own]
                for i in wanted:
                    yield Row(
                        names[i],
                        as_array(batch["codes"][i].values),
                        batch["seconds"][i].as_py(),
                        batch["source_rate"][i].as_py(),
                        {name: batch[name][i].as_py() for name in further},
                    )

    def rows(self, ids: Collection[str] | None = None) -> Iterator[Row]:
        """All rows that are there, in the plan's order; of `ids`, only these."""
        for number in self.plan.done():
            yield from self.shard(number, ids)

    def codes(self, row: Row) -> Codes:
        """A row's codes, as a codec decodes them."""
        identity = CodecIdentity(*(self.codec[name] for name in ("name", "config_hash", "weights_hash")))
        rate = self.codec["sampling_rate"]
        return Codes(
            row.codes,
            frame_rate=self.codec["frame_rate"],
            num_samples=round(row.seconds * rate),
            sampling_rate=rate,
            source_sampling_rate=row.source_rate,
            codebook_sizes=tuple(self.codec["codebook_sizes"]),
            codec=identity,
        )


def as_array(values: pa.Array) -> np.ndarray:
    """A row's ids of shape (K, T), of a list of them or of K lists."""
    if pa.types.is_list(values.type):
        return np.stack([each.values.to_numpy() for each in values])
    ids: np.ndarray = values.to_numpy()[None]
    return ids


def path_below(folder: Path, name: str, suffix: str) -> Path:
    """The file for an id below a folder, in a tree like the input's.

    Raises:
        InputError: for an id that leads out of the folder.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts or "\0" in name:
        raise InputError(f"the id {name!r} leads out of {folder}; give the recordings other ids in a manifest")
    return folder.joinpath(*parts[:-1], parts[-1] + suffix)
