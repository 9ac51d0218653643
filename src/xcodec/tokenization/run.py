"""A run: plan or go on, do what is missing, and say what became of it."""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xcodec.errors import InputError, XcodecError
from xcodec.tokenization.claims import Claims
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.job import Job
from xcodec.tokenization.meter import Meter
from xcodec.tokenization.model import describe
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.repeated_audio import settle
from xcodec.tokenization.status import RunStatus, write_excluded, write_failures
from xcodec.tokenization.stores import store_of
from xcodec.tokenization.treatment import UNTREATED, Treatment

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["Engine", "IncompleteError", "prepare", "tokenize", "write_lists"]


class Engine(Protocol):
    """What does shards."""

    def __call__(self, job: Job, plan: Plan, codec: "Codec", shards: Iterable[int], meter: Meter) -> list[str]:
        """Do shards, and return what had to be given up, with reasons."""


class IncompleteError(XcodecError, RuntimeError):
    """Shards were given up; what is done is kept, and running again does the rest."""


def prepare(
    job: Job,
    codec: "Codec",
    inputs: Inputs | None,
    shard_hours: float | None = None,
    treatment: Treatment = UNTREATED,
) -> Plan:
    """Write the plan of a new output, or check that the plan that is there is still meant.

    Args:
        job: names the output.
        codec: that will be used.
        inputs: what is tokenized; None goes on with what was planned.
        shard_hours: expected audio in a shard; None lets the shards of a new output grow with the input, and is else
            what was planned.
        treatment: of `inputs`, besides encoding; without these it is what was planned.

    Raises:
        InputError: where the input, the codec, `shard_hours` or `treatment` differ from what was planned; it says
            what changed.
    """
    description = describe(codec, job.model.bandwidth)
    plan = None
    store = store_of(job.folder)
    if not Plan.exists(store):
        if inputs is None:
            raise InputError("nothing is planned here yet", subject=store, remedy="give the input")
        store.make()
        plan = Plan.write(store, inputs, shard_hours, description, treatment)
    if plan is None:
        plan = Plan(store)
        plan.check_codec(description)
        if inputs is not None:
            hours = plan.fingerprint.shard_hours if shard_hours is None else shard_hours
            plan.check_same(inputs, hours, treatment)
    return plan


def tokenize(
    job: Job,
    plan: Plan,
    codec: "Codec",
    engine: Engine,
    engine_name: str = "local",
    part: tuple[int, int] = (0, 1),
    worker: tuple[int, int] | None = None,
    retry_failed: bool = False,
    on_status: Callable[[RunStatus], object] = lambda _: None,
    metrics_file: Path | None = None,
) -> RunStatus:
    """Do the shards that are missing.

    Args:
        job: how.
        plan: as `prepare` returns it.
        codec: the plan's.
        engine: who does the shards.
        engine_name: what the status file calls it.
        part: (i, n): only each n-th shard from the i-th on, for several machines without Ray.
        worker: (i, n): the run is one of n that take shards until none is left, begins with each n-th, and waits for
            none of the others; it has to be sure that all shards are its part.
        retry_failed: do those shards again that have failures; of workers each does so with each n-th.
        on_status: called as the run goes on.
        metrics_file: where to tell how the run is doing as Prometheus reads it; written anew with the status file.

    Returns:
        How the run ended.

    Raises:
        IncompleteError: where shards were given up.
        InputError: where another run does this part, or among the codes are files that are not of the plan.
    """
    name = f".run-{'worker-' if worker else ''}{(worker or part)[0]}-of-{(worker or part)[1]}.lock"
    with plan.store.lock(name) as lock, ExitStack() as claimed:
        if not lock.take(wait=False):
            raise InputError(f"{lock.holder} works on it", subject=plan.store, remedy="wait for it to end")
        lock.holder = f"another run (process {os.getpid()} on {socket.gethostname()})"
        plan.store.clean()
        survey = plan.survey(part)
        survey.check()
        done = set(survey.done)
        if retry_failed:
            place, count = worker or (0, 1)
            failed = [number for number, header in survey.done.items() if header.failures and number % count == place]
            for number in failed:
                plan.store.remove(plan.output(number))
                done.remove(number)
        left = [number for number in plan.shards(part) if number not in done]
        shards = left if worker is None else claimed.enter_context(Claims(plan, left, worker))
        try:
            with Meter(plan, part, engine_name, on_status, worker=worker, metrics_file=metrics_file) as meter:
                given_up = engine(job, plan, codec, shards, meter) if shards else []
                if given_up:
                    raise IncompleteError(
                        f"{len(given_up)} shards were given up; run again to try them anew. The first: {given_up[0]}"
                    )
                if lost := settle(plan):
                    raise IncompleteError(
                        f"{len(lost)} shards have to be done again: in each a recording was left out as a duplicate of "
                        "one that has no codes any more. Run again, all parts if there are several"
                    )
                meter.recount()
            plan.store.clean()  # of processes of this run that were killed, too
        except BaseException:
            with suppress(OSError):  # what stopped the run is to be told, not that this cannot be written
                write_lists(plan)
            raise
        write_lists(plan)
    return meter.status("finished")


def write_lists(plan: Plan) -> None:
    """List what has no codes, of all shards that are done."""
    write_failures(plan)
    write_excluded(plan)
