"""A run: plan or go on, do what is missing, and say what became of it."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xcodec.errors import InputError, XcodecError
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.job import Job
from xcodec.tokenization.lock import Lock
from xcodec.tokenization.model import describe
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.status import Meter, RunStatus, write_failures

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["Engine", "IncompleteError", "prepare", "tokenize"]

_PART = f".{'?' * 32}.part"  # what a file is called while it is written
_STALE = 3600.0  # seconds after which a half-written file belongs to no living run, where locks do not tell


class Engine(Protocol):
    """What does shards."""

    def __call__(self, job: Job, plan: Plan, codec: "Codec", shards: Sequence[int], meter: Meter) -> list[str]:
        """Do shards, and return what had to be given up, with reasons."""


class IncompleteError(XcodecError, RuntimeError):
    """Shards were given up; what is done is kept, and running again does the rest."""


def prepare(job: Job, codec: "Codec", inputs: Inputs | None, shard_hours: float | None = None) -> Plan:
    """Write the plan of a new output, or check that the plan that is there is still meant.

    Args:
        job: names the output.
        codec: that will be used.
        inputs: what is tokenized; None goes on with what was planned.
        shard_hours: expected audio in a shard; None is 1 for a new output, and else what was planned.

    Raises:
        InputError: where the input, the codec or `shard_hours` differ from what was planned; it says what changed.
    """
    description = describe(codec, job.model.bandwidth)
    plan = None
    if not Plan.exists(job.folder):
        if inputs is None:
            raise InputError("nothing is planned here yet", subject=job.folder, remedy="give the input")
        (job.folder / "codes").mkdir(parents=True, exist_ok=True)
        plan = Plan.write(job.folder, inputs, shard_hours or 1.0, description)
    if plan is None:
        plan = Plan(job.folder)
        plan.check_codec(description)
        if inputs is not None:
            plan.check_same(inputs, shard_hours or plan.fingerprint.shard_hours)
    return plan


def tokenize(
    job: Job,
    plan: Plan,
    codec: "Codec",
    engine: Engine,
    engine_name: str = "local",
    part: tuple[int, int] = (0, 1),
    retry_failed: bool = False,
    on_status: Callable[[RunStatus], object] = lambda _: None,
) -> RunStatus:
    """Do the shards that are missing.

    Args:
        job: how.
        plan: as `prepare` returns it.
        codec: the plan's.
        engine: who does the shards.
        engine_name: what the status file calls it.
        part: (i, n): only each n-th shard from the i-th on, for several machines without Ray.
        retry_failed: do those shards again that have failures.
        on_status: called as the run goes on.

    Returns:
        How the run ended.

    Raises:
        IncompleteError: where shards were given up.
        InputError: where another run does this part, or among the codes are files that are not of the plan.
    """
    name = f"{part[0]}-of-{part[1]}"
    with Lock(plan.folder / f".run-{name}.lock") as lock:
        if not lock.take(wait=False):
            raise InputError(f"{lock.holder} works on it", subject=plan.folder, remedy="wait for it to end")
        lock.holder = f"another run (process {os.getpid()} on {socket.gethostname()})"
        remove_parts(plan.folder, name)
        survey = plan.survey(part)
        survey.check()
        done = set(survey.done)
        if retry_failed:
            for number in [number for number, header in survey.done.items() if header.failures]:
                plan.output(number).unlink()
                done.remove(number)
        shards = [number for number in plan.shards(part) if number not in done]
        try:
            with Meter(plan, part, engine_name, on_status) as meter:
                given_up = engine(job, plan, codec, shards, meter) if shards else []
                if given_up:
                    raise IncompleteError(
                        f"{len(given_up)} of {len(shards)} shards were given up; run again to try them anew. "
                        f"The first: {given_up[0]}"
                    )
                meter.recount()
        except BaseException:
            with suppress(OSError):  # what stopped the run is to be told, not that this cannot be written
                write_failures(plan)
            raise
        write_failures(plan)
    return meter.status("finished")


def remove_parts(folder: Path, own: str) -> None:
    """Remove what killed runs left half-written, but not what another run may be writing now.

    Args:
        folder: of the output.
        own: the name of the run's own lock, which it holds.
    """
    alone = all(others_are_gone(path) for path in folder.glob(".run-*.lock") if path.name != f".run-{own}.lock")
    for path in (*folder.glob(_PART), *(folder / "codes").glob(_PART)):
        with suppress(OSError):
            if alone or time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def others_are_gone(path: Path) -> bool:
    """Whether nobody holds a lock, as far as locks are known here."""
    with Lock(path) as lock:
        return lock.take(wait=False) and lock.is_kept
