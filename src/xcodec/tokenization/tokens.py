"""Tokens: the codes of an output, read back row by row."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import InputError, first_line
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.repeated_audio import is_settled
from xcodec.tokenization.stores import Store

__all__ = ["Places", "Row", "Tokens", "batches_of", "path_below", "rows_of"]

_BATCH_ROWS = 1024
_OWN = ("id", "codes", "frames", "seconds", "source_rate")


@dataclass(frozen=True)
class Row:
    """A recording with its codes.

    Args:
        id: its id.
        codes: uint16 of shape (K, T).
        seconds: its true length.
        source_rate: of the file that it came from, in Hz.
        carried: the further columns.
        joined: its codes of other codecs, uint16 of shape (K, T), by the names that these were joined under.
    """

    id: str
    codes: np.ndarray
    seconds: float
    source_rate: int
    carried: dict[str, Any]
    joined: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """All but the codes, in JSON's types where the carried columns have them."""
        return {"id": self.id, "seconds": self.seconds, "source_rate": self.source_rate, **self.carried}


class Tokens:
    """The codes of an output of `xcodec tokenize`.

    Args:
        output: its store, or the path or URL of it.

    Attributes:
        plan: of the output.
        codec: that made the codes, as the fingerprint has it.
        codecs: the codecs of a row's codes by name: "" for this one, and those that were joined.

    Raises:
        InputError: where it is none.
    """

    def __init__(self, output: Store | str | os.PathLike[str]) -> None:
        self.plan = Plan(output)
        self.codec = self.plan.fingerprint.codec
        self.codecs: dict[str, Mapping[str, Any]] = {"": self.codec}

    @cached_property
    def further(self) -> pa.Schema:
        """The columns beside the codes, as the first file of codes has them; where there is none, what is carried."""
        plan = self.plan
        for number in plan.done()[:1]:
            schema = pq.read_schema(plan.store.footer(plan.output(number)))
            return pa.schema([each for each in schema if each.name not in _OWN])
        return plan.carried

    def check_finished(self) -> None:
        """Refuse an output that is still growing, or holds what is not of its plan.

        Raises:
            InputError: says how much is left.
        """
        survey = self.plan.survey()
        survey.check()
        done, shards = len(survey.done), self.plan.fingerprint.shards
        if done < shards:
            raise InputError(
                f"is not finished, {shards - done} of {shards} shards are left",
                subject=self.plan.store,
                remedy=f"run `xcodec tokenize -o {self.plan.store}` to the end first",
            )
        if not is_settled(self.plan):
            raise InputError(
                "is not finished, duplicates have not been left out yet",
                subject=self.plan.store,
                remedy=f"run `xcodec tokenize -o {self.plan.store}` once more",
            )

    def shard(self, number: int, ids: Collection[str] | None = None) -> Iterator[Row]:
        """The rows of a shard; of `ids`, those that are in it.

        Raises:
            InputError: where its file is damaged.
        """
        for batch in batches_of(self.plan.store, self.plan.output(number)):
            yield from rows_of(batch, ids)

    def rows(self, ids: Collection[str] | None = None, failures: list[Failure] | None = None) -> Iterator[Row]:
        """All rows that are there, in the plan's order; of `ids`, only these.

        Args:
            ids: that are wanted; None is all.
            failures: takes the files of codes that cannot be read; without it the first of them is an error.

        Raises:
            InputError: where a file cannot be read.
        """
        survey = self.plan.survey()
        if failures is None:
            survey.check()
        else:
            failures += [
                Failure(called.rpartition("/")[2], called, "read", reason) for called, reason in survey.strange.items()
            ]
        for number in survey.done:
            try:
                yield from self.shard(number, ids)
            except InputError as error:
                if failures is None:
                    raise
                failures.append(self.unreadable(number, error))

    def unreadable(self, number: int, error: Exception) -> Failure:
        """What a report says of a shard whose file cannot be read."""
        name = self.plan.output(number)
        return Failure.of(name.rpartition("/")[2], self.plan.store.called(name), "read", error)

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


def rows_of(batch: pa.RecordBatch, ids: Collection[str] | None = None) -> Iterator[Row]:
    """The rows of a batch; of `ids`, those that are in it."""
    further = [name for name in batch.schema.names if name not in _OWN]
    for i, name in enumerate(batch["id"].to_pylist()):
        if ids is None or name in ids:
            yield Row(
                name,
                as_array(batch["codes"][i].values),
                batch["seconds"][i].as_py(),
                batch["source_rate"][i].as_py(),
                {name: batch[name][i].as_py() for name in further},
            )


def as_array(values: pa.Array) -> np.ndarray:
    """A row's ids of shape (K, T), of a list of them or of K lists."""
    if pa.types.is_list(values.type):
        return np.stack([each.values.to_numpy() for each in values])
    ids: np.ndarray = values.to_numpy()[None]
    return ids


def batches_of(store: Store, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a file of codes; None is all columns.

    Raises:
        InputError: where it is damaged.
    """
    try:
        with store.here(name) as path, pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            yield from parquet.iter_batches(_BATCH_ROWS, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"is damaged ({first_line(error)})",
            subject=store.called(name),
            remedy="delete it and run `xcodec tokenize` again",
        ) from None


class Places:
    """The files for ids below a folder, in a tree like the input's, one for each.

    Args:
        folder: to write to.
        suffix: of the files; an id that ends in it keeps its name where `kept`, to any other it is added.
        kept: whether an id may end in the suffix already.
    """

    def __init__(self, folder: Path, suffix: str, kept: bool = False) -> None:
        self.folder, self.suffix, self.kept = folder, suffix, kept
        self._taken: set[int] = set()  # hashes of paths: a few tens of megabytes for a million

    def beside(self, suffix: str) -> "Places":
        """Further files for the same ids, none of which is one of these."""
        other = Places(self.folder, suffix)
        other._taken = self._taken
        return other

    def of(self, name: str) -> Path:
        """The file for an id.

        Raises:
            InputError: for an id that leads out of the folder, or to the file of another.
        """
        path = path_below(self.folder, name.removesuffix(self.suffix) if self.kept else name, self.suffix)
        if hash(path) in self._taken:
            raise InputError(
                "is the file of another id", subject=path, remedy="give this one alone, and another folder"
            )
        self._taken.add(hash(path))
        return path


def path_below(folder: Path, name: str, suffix: str) -> Path:
    """The file for an id below a folder, in a tree like the input's.

    Raises:
        InputError: for an id that leads out of the folder.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts or "\0" in name:
        raise InputError(f"the id {name!r} leads out of {folder}", remedy="give the recordings other ids in a manifest")
    return folder.joinpath(*parts[:-1], parts[-1] + suffix)
