"""A run: plan or go on, do what is missing, and say what became of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xcodec.errors import InputError, XcodecError
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.job import Job
from xcodec.tokenization.model import describe
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.sinks import read_header
from xcodec.tokenization.status import Meter, RunStatus, write_failures

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["Engine", "IncompleteError", "prepare", "tokenize"]

_STALE = 3600.0  # seconds after which a half-written file belongs to no living run


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
    if Plan.exists(job.folder):
        plan = Plan(job.folder)
        plan.check_codec(description)
        if inputs is not None:
            plan.check_same(inputs, shard_hours or plan.fingerprint.shard_hours)
    elif inputs is None:
        raise InputError(f"{job.folder}: nothing is planned here yet; give the input")
    else:
        (job.folder / "codes").mkdir(parents=True, exist_ok=True)
        plan = Plan.write(job.folder, inputs, shard_hours or 1.0, description)
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
    """
    remove_stale_parts(plan.folder / "codes")
    if retry_failed:
        for number in plan.done(part):
            if read_header(plan.output(number)).failures:
                plan.output(number).unlink()
    done = set(plan.done(part))
    shards = [number for number in plan.shards(part) if number not in done]
    try:
        with Meter(plan, part, engine_name, on_status) as meter:
            given_up = engine(job, plan, codec, shards, meter) if shards else []
            if given_up:
                raise IncompleteError(
                    f"{len(given_up)} of {len(shards)} shards were given up; run again to try them anew. "
                    f"The first: {given_up[0]}"
                )
    finally:
        write_failures(plan)
    return meter.status("finished")


def remove_stale_parts(folder: Path) -> None:
    """Remove what killed runs left half-written, but not what another run is writing now."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
