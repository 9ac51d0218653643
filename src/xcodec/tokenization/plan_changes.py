"""Where two plans part, for people."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

__all__ = ["first_difference"]


def first_difference(was: Path, now: Path) -> str:
    """Say where two plans part; empty where they say the same, as files of two versions of Arrow may."""
    old, new = pq.read_schema(was), pq.read_schema(now)
    if differing := {field.name for field in set(old) ^ set(new)}:
        return f"the columns differ in {', '.join(sorted(differing))}"
    for row, (a, b) in enumerate(zip_longest(rows_of(was), rows_of(now)), start=1):
        if a != b:
            return f"recording {row} {_changed(a, b)}"
    return ""


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a plan, one by one."""
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches():
            yield from batch.to_pylist()


def _changed(was: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """Spell how a recording changed."""
    if was is None or now is None:
        which, how = (now, "new") if was is None else (was, "gone")
        return f"({which['id']!r}) is {how}"  # type: ignore[index]  # one of them is there
    if was["id"] != now["id"]:
        return f"was {was['id']!r} and is {now['id']!r}"
    return f"({was['id']!r}): " + ", ".join(f"{k} was {was[k]!r} and is {now[k]!r}" for k in was if was[k] != now[k])
