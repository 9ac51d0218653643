"""What the file of a shard says of itself, and which files of an output are shards of its plan."""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.errors import InputError, XcodecError

if TYPE_CHECKING:
    from xcodec.tokenization.stores import Store

__all__ = ["METADATA", "Failure", "ShardHeader", "Survey", "read_header", "shard_name", "survey"]

METADATA = b"xcodec"
"""Under which key Parquet keeps the header."""

_THREADS = 8
_NAMED = 5  # files that an error spells out
_LONGEST = 400  # characters of a text that are kept


@dataclass(frozen=True)
class Failure:
    """A recording that has no codes.

    Args:
        id: its id.
        uri: where it is.
        stage: "plan", "read" or "encode"; of what is made of an output, "read" or "write".
        error: why, in one line.
        kind: of error, such as "AudioError"; empty in files of earlier versions, as are the next two.
        problem: what `error` says is wrong.
        remedy: what it says is to be done; empty where it says nothing of it.
    """

    id: str
    uri: str
    stage: str
    error: str
    kind: str = ""
    problem: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, name: str, uri: str, stage: str, error: Exception) -> "Failure":
        """Describe an exception, which need not repeat where the recording is.

        Args:
            name: the recording's id.
            uri: where it is.
            stage: in which it failed.
            error: what was raised.
        """
        if isinstance(error, XcodecError):
            said, problem, remedy = error.beside(uri), error.problem, error.remedy or ""
        else:
            said = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
            problem, remedy = said, ""
        texts = (" ".join(text.split())[:_LONGEST] for text in (said, type(error).__name__, problem, remedy))
        return cls(name, uri, stage, *texts)


@dataclass(frozen=True)
class ShardHeader:
    """What the file of a shard says of itself.

    Args:
        shard: its number.
        plan_hash: of the plan that it belongs to.
        rows: with codes; more than its recordings where these are cut.
        seconds: of audio in them.
        planned_seconds: that the plan expected of all its recordings.
        codec: as the fingerprint has it.
        failures: the recordings without codes.
        recordings: of the plan that are in it, whatever became of them.
        excluded: how many rows were left out, by reason; which ones, the file says elsewhere.
    """

    shard: int
    plan_hash: str
    rows: int
    seconds: float
    planned_seconds: float
    codec: Mapping[str, Any]
    failures: tuple[Failure, ...] = ()
    recordings: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)


def read_header(file: Path | IO[bytes], called: str = "") -> ShardHeader:
    """What the file of a shard says of itself.

    Args:
        file: the file, of which no more than the Parquet footer need be there.
        called: for messages; empty where that is its path.

    Raises:
        InputError: where it is no such file, or damaged.
    """
    try:
        header = json.loads((pq.read_schema(file).metadata or {})[METADATA])
        failures = tuple(Failure(**each) for each in header["failures"])
        header.setdefault("recordings", header["rows"] + len(failures))  # files of earlier versions do not say it
        return ShardHeader(**header | {"failures": failures})
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"is damaged, or no file of codes ({error})", subject=called or file, remedy="delete it and run again"
        ) from None


@dataclass(frozen=True)
class Survey:
    """What lies where the codes of an output belong.

    Args:
        done: the headers of the shards that are done, by number, in order.
        strange: files that are no shards of the plan, and why not.
    """

    done: Mapping[int, ShardHeader]
    strange: Mapping[str, str]

    def check(self) -> None:
        """Refuse an output with files that are no shards of its plan.

        Raises:
            InputError: names them.
        """
        if self.strange:
            named = "; ".join(f"{path} {reason}" for path, reason in list(self.strange.items())[:_NAMED])
            more = f"; and {len(self.strange) - _NAMED} more" if len(self.strange) > _NAMED else ""
            raise InputError(
                f"{len(self.strange)} files among the codes are not of this plan: {named}{more}. Move them away, or "
                "delete them, and run again: what is missing is done anew"
            )


def survey(store: "Store", plan_hash: str, shards: int, numbers: range) -> Survey:
    """Look at the files of codes; each has to say itself that it is of the plan, and which shard it is.

    Args:
        store: of the output.
        plan_hash: of the plan.
        shards: how many the plan has.
        numbers: of the shards that are looked at; files whose names are no shard's are strange in any case.
    """
    found: dict[int, str] = {}
    strange: dict[str, str] = {}
    for name in store.names("codes"):
        stem = name.removeprefix("codes/").removesuffix(".parquet")
        if not name.endswith(".parquet"):
            continue
        if not re.fullmatch(r"\d{7,}", stem) or name != shard_name(int(stem)):
            strange[store.called(name)] = "has no name of a shard"
        elif int(stem) >= shards:
            strange[store.called(name)] = f"has the name of a shard beyond the {shards} of the plan"
        elif int(stem) in numbers:
            found[int(stem)] = name
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = dict(zip(found, pool.map(lambda name: _header_or_why_not(store, name), found.values()), strict=True))
    done: dict[int, ShardHeader] = {}
    for number, header in headers.items():
        called = store.called(found[number])
        if isinstance(header, InputError):
            strange[called] = header.beside(called)
        elif header.plan_hash != plan_hash:
            strange[called] = "belongs to another plan"
        elif header.shard != number:
            strange[called] = f"is shard {header.shard}, under the name of another"
        else:
            done[number] = header
    return Survey(done, strange)


def shard_name(number: int) -> str:
    """What a store calls the file of a shard."""
    return f"codes/{number:07}.parquet"


def _header_or_why_not(store: "Store", name: str) -> ShardHeader | InputError:
    try:
        return read_header(store.footer(name), store.called(name))
    except InputError as error:
        return error
