"""Outputs of several codecs as one: of each recording its codes by all of them."""

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from xcodec.errors import InputError
from xcodec.tokenization.tokens import Row, Tokens, batches_of

__all__ = ["JoinedTokens"]

_KEPT_SHARDS = 4  # of an output that is joined, read already: recordings mostly come in its order


class JoinedTokens(Tokens):
    """The codes of an output, each row with the codes that other outputs have of the same id.

    Memory holds 16 bytes for each recording of an output that is joined, and a few shards.

    Args:
        output: whose rows and order count, its path or URL.
        others: what is joined, by the name that its codes get.
        common: whether recordings that not all have are left out, and counted in `left_out`; else they are an error.

    Raises:
        InputError: where one is no output, or a name is no word.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        others: Mapping[str, str | os.PathLike[str]],
        common: bool = False,
    ) -> None:
        super().__init__(output)
        self.common = common
        self.left_out: Counter[str] = Counter()
        for name in others:
            if not re.fullmatch(r"[A-Za-z0-9_]+", name):
                raise InputError(f"{name!r} is no name for codes: give letters, digits and _")
        self.others = {name: IndexedTokens(place) for name, place in others.items()}
        self.codecs |= {name: other.codec for name, other in self.others.items()}

    def check_finished(self) -> None:
        """Refuse outputs that are still growing, or that do not have the same recordings.

        Raises:
            InputError: says how much is left, or which ids only one has.
        """
        super().check_finished()
        own = IndexedTokens(self.plan.store)
        own.index()
        for name, other in self.others.items():
            other.check_finished()
            other.index()
            if not self.common:
                check_same_ids(own, other, name)

    def shard(self, number: int, ids: Collection[str] | None = None) -> Iterator[Row]:
        """The rows of a shard that all have; of `ids`, those that are in it.

        Raises:
            InputError: where a file is damaged.
        """
        rows = list(super().shard(number, ids))
        found = {name: other.codes_of([row.id for row in rows]) for name, other in self.others.items()}
        for i, row in enumerate(rows):
            joined = {name: codes for name, each in found.items() if (codes := each[i]) is not None}
            if len(joined) == len(self.others):
                yield replace(row, joined=joined)
            else:
                missing = next(name for name in self.others if name not in joined)
                self.left_out[f"no codes of {missing}"] += 1


class IndexedTokens(Tokens):
    """An output in which the codes of an id are found: by its hash, in which shard and row it is."""

    def index(self) -> None:
        """Read all ids.

        Raises:
            InputError: where a file is damaged.
        """
        hashes, shards, rows = [], [], []
        for number in self.plan.done():
            column = np.fromiter(map(hash, self.ids_of_shard(number)), np.int64)
            hashes.append(column)
            shards.append(np.full(len(column), number, np.int32))
            rows.append(np.arange(len(column), dtype=np.int32))
        joined = np.concatenate([*hashes, np.empty(0, np.int64)])
        order = np.argsort(joined, kind="stable")
        self.hashes = joined[order]
        self._shards = np.concatenate([*shards, np.empty(0, np.int32)])[order]
        self._rows = np.concatenate([*rows, np.empty(0, np.int32)])[order]
        self._read: OrderedDict[int, list[Row]] = OrderedDict()

    def ids_of_shard(self, number: int) -> list[str]:
        """The ids of a shard, in their order."""
        batches = batches_of(self.plan.store, self.plan.output(number), ["id"])
        return [name for batch in batches for name in batch["id"].to_pylist()]

    def without(self, hashes: np.ndarray) -> tuple[int, str]:
        """How many ids have hashes that are not among some sorted ones, and the first of them."""
        missing = np.flatnonzero(~np.isin(self.hashes, hashes, assume_unique=False))
        if not len(missing):
            return 0, ""
        first = missing[np.lexsort((self._rows[missing], self._shards[missing]))[0]]
        return len(missing), self.ids_of_shard(int(self._shards[first]))[int(self._rows[first])]

    def codes_of(self, ids: Sequence[str]) -> list[np.ndarray | None]:
        """The codes of each id; None where there are none."""
        wanted = np.fromiter(map(hash, ids), np.int64)
        places = np.searchsorted(self.hashes, wanted)
        found: list[np.ndarray | None] = []
        for name, value, place in zip(ids, wanted, places, strict=True):
            if place == len(self.hashes) or self.hashes[place] != value:
                found.append(None)
                continue
            row = self.shard_rows(int(self._shards[place]))[int(self._rows[place])]
            found.append(row.codes if row.id == name else None)
        return found

    def shard_rows(self, number: int) -> list[Row]:
        """The rows of a shard, which is kept for a while."""
        if number not in self._read:
            self._read[number] = list(self.shard(number))
            if len(self._read) > _KEPT_SHARDS:
                self._read.popitem(last=False)
        self._read.move_to_end(number)
        return self._read[number]


def check_same_ids(own: IndexedTokens, other: IndexedTokens, name: str) -> None:
    """Refuse outputs of which one has codes of recordings that the other has not.

    Raises:
        InputError: says how many, and names one.
    """
    only = (own.without(other.hashes), other.without(own.hashes))
    told = [
        f"{count:,} recordings have codes in {place} only, such as {example!r}"
        for (count, example), place in zip(only, (own.plan.store, other.plan.store), strict=True)
        if count
    ]
    if told:
        raise InputError(
            f"{'; '.join(told)}",
            subject=f"joining {name}",
            remedy="tokenize them with both codecs, or leave out what not all have: common=True",
        )
