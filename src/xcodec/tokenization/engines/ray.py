"""The Ray engine: actors that hold the model and do shards, on a cluster that is there or on this machine.

Shards are scheduled, not rows, and everything is bounded: how often a shard is tried, how long an actor may be silent,
and how long the cluster may take to give one.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xcodec.errors import XcodecError, first_line, require
from xcodec.tokenization.headers import ShardHeader
from xcodec.tokenization.job import Job
from xcodec.tokenization.meter import Meter
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.shard import BatchReport, ShardWorker

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["ClusterError", "RayEngine"]

logger = logging.getLogger(__name__)

_POLL = 1.0  # seconds between two looks at the actors


class ClusterError(XcodecError, RuntimeError):
    """The Ray cluster does not give what is needed."""


class ShardActor:
    """One model, in a process of its own. Ray runs `tokenize` and `pulse` side by side."""

    def __init__(self, job: Job, cpus: int) -> None:
        self.beats = 0
        self.batches: list[BatchReport] = []
        import torch

        torch.set_num_threads(max(1, cpus))
        codec = job.model.load()
        plan = Plan(job.folder)
        self.worker = ShardWorker(plan, codec, job, self._beat)
        plan.check_codec(plan.fingerprint.codec | vars(codec.codes_identity))

    def tokenize(self, number: int, following: int | None) -> tuple[ShardHeader, list[BatchReport]]:
        """Do a shard; the batches are those since the last time."""
        header = self.worker.tokenize(number, following)
        batches, self.batches = self.batches, []
        return header, batches

    def pulse(self) -> int:
        """A number that grows while something gets done."""
        return self.beats + self.worker.pool.num_read

    def _beat(self, report: BatchReport) -> None:
        self.beats += 1
        self.batches.append(report)


@dataclass(eq=False)
class Seat:
    """A place for an actor, and what the actor on it does."""

    name: str
    actor: Any
    started: float
    ready: bool = False
    shard: int | None = None
    task: Any = None
    pulse: Any = None
    beats: int = -1
    heard: float = field(default_factory=time.monotonic)


class RayEngine:
    """Schedules shards on actors.

    Args:
        actors: how many; None is one for each GPU of the cluster, or one for each four processors without GPUs.
        attempts: how often a shard may be begun before it is given up.
        stall_seconds: without a sign of progress, after which an actor is killed and its shard taken over.
        start_seconds: for the cluster to give the first actor.
        address: of a cluster; None finds one by Ray's own rules (RAY_ADDRESS), and else starts one on this machine.
    """

    def __init__(
        self,
        actors: int | None = None,
        attempts: int = 3,
        stall_seconds: float = 1800.0,
        start_seconds: float = 900.0,
        address: str | None = None,
    ) -> None:
        self.actors, self.attempts = actors, attempts
        self.stall_seconds, self.start_seconds, self.address = stall_seconds, start_seconds, address

    def __call__(self, job: Job, plan: Plan, codec: "Codec", shards: Iterable[int], meter: Meter) -> list[str]:
        """Do shards.

        Returns:
            The shards that were given up, each with the reason.

        Raises:
            ClusterError: where the cluster gives no actor.
            MissingExtraError: where Ray is not installed.
        """
        del plan, codec  # each actor has its own
        ray = import_ray()
        started_here = not ray.is_initialized()
        if started_here:
            ray.init(address=self.address, log_to_driver=False, include_dashboard=False, logging_level="error")
        try:
            return _Schedule(ray, self, job, list(shards), meter).run()
        finally:
            if started_here:
                ray.shutdown()


def import_ray() -> Any:
    """Ray, or how to get it."""
    return require("ray", "ray", "Ray")


class _Schedule:
    """One run of the engine: seats with actors, and shards that wait."""

    def __init__(self, ray: Any, engine: RayEngine, job: Job, shards: Sequence[int], meter: Meter) -> None:
        self.ray, self.engine, self.job, self.meter = ray, engine, job, meter
        self.waiting = deque(shards)
        self.attempts = dict.fromkeys(shards, 0)
        self.given_up: list[str] = []
        self.started = time.monotonic()
        resources = ray.cluster_resources()
        self.cpus, self.gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        self.most_cpus = max(1, int(max(nodes, default=1)))  # that an actor can have, since it is on one node
        self.count = min(engine.actors or self.gpus or max(1, self.cpus // 4), len(shards))
        self.failures_to_start = 0
        meter.models = self.count
        self.seats: list[Seat] = []

    def run(self) -> list[str]:
        """Work until nothing waits and nobody works."""
        self.seats = [self._seat(f"actor {i + 1}/{self.count}") for i in range(self.count)]
        try:
            while self.waiting or any(seat.task is not None for seat in self.seats):
                for seat in list(self.seats):
                    if (reason := self._look(seat)) is not None:
                        self._replace(seat, reason)
                tasks = [seat.task for seat in self.seats if seat.task is not None]
                if tasks:
                    self.ray.wait(tasks, timeout=_POLL)
                elif self.waiting:
                    self._check_start()
                    time.sleep(_POLL / 4)
        finally:
            for seat in self.seats:
                self.ray.kill(seat.actor)
        return self.given_up

    def _seat(self, name: str) -> Seat:
        per_actor = (
            {"num_gpus": 1, "num_cpus": 1}
            if self.gpus
            else {"num_cpus": min(self.most_cpus, max(1, self.cpus // self.count))}
        )
        remote = self.ray.remote(max_concurrency=2, max_restarts=0, **per_actor)(ShardActor)
        return Seat(name, remote.remote(self.job, per_actor["num_cpus"]), time.monotonic())

    def _look(self, seat: Seat) -> str | None:
        """See what an actor did, and give it the next shard; returns why it is of no more use, if so."""
        try:
            if seat.task is not None and self.ray.wait([seat.task], timeout=0)[0]:
                number, task, seat.task, seat.shard = seat.shard, seat.task, None, None
                try:
                    header, batches = self.ray.get(task)
                except self.ray.exceptions.RayActorError:
                    seat.shard = number  # it died with the shard in hand
                    raise
                except self.ray.exceptions.RayTaskError as error:
                    seat.shard = number
                    return f"{type(error.cause).__name__}: {error.cause}"
                for batch in batches:
                    self.meter.on_batch(batch, seat.name)
                self.meter.on_shard(header)
            self._listen(seat)
        except self.ray.exceptions.RayActorError as error:
            return f"its process died ({first_line(error)})"
        if seat.ready and seat.task is None and self.waiting:
            seat.shard = self.waiting.popleft()
            self.attempts[seat.shard] += 1
            following = self.waiting[0] if len(self.seats) == 1 and self.waiting else None
            seat.task = seat.actor.tokenize.remote(seat.shard, following)
            seat.heard = time.monotonic()
        if seat.task is not None and time.monotonic() - seat.heard > self.engine.stall_seconds:
            return f"nothing got done for {self.engine.stall_seconds:g} s"
        return None

    def _listen(self, seat: Seat) -> None:
        """Ask for a sign of progress, without waiting for it."""
        if seat.pulse is None:
            seat.pulse = seat.actor.pulse.remote()
        elif self.ray.wait([seat.pulse], timeout=0)[0]:
            beats = self.ray.get(seat.pulse)
            seat.pulse, seat.ready = None, True
            if beats != seat.beats:
                seat.beats, seat.heard = beats, time.monotonic()

    def _replace(self, seat: Seat, reason: str) -> None:
        """Put another actor, where a shard waits, in the place of one that is of no use.

        The shard that it had in hand waits again, or is given up.
        """
        self.ray.kill(seat.actor)
        if not seat.ready:
            self.failures_to_start += 1
            if self.failures_to_start > self.engine.attempts:
                raise ClusterError(f"actors do not start: {reason}")
        if seat.shard is not None:
            if self.attempts[seat.shard] < self.engine.attempts:
                self.waiting.append(seat.shard)
            else:
                self.given_up.append(f"shard {seat.shard}, tried {self.attempts[seat.shard]} times: {reason}")
        place = self.seats.index(seat)
        if not self.waiting:
            del self.seats[place]
            return
        self.meter.restarts += 1
        logger.warning("%s was replaced: %s", seat.name, reason, extra={"fields": {"shard": seat.shard}})
        self.seats[place] = self._seat(seat.name)

    def _check_start(self) -> None:
        """Raise where the cluster gives nobody to work.

        An actor that waits for its processor or GPU says nothing, for ever if there is none for it.
        """
        nobody = not any(seat.ready for seat in self.seats)
        if nobody and time.monotonic() - min(seat.started for seat in self.seats) > self.engine.start_seconds:
            raise ClusterError(
                f"the Ray cluster gave no actor within {self.engine.start_seconds:g} s: it has {self.cpus} processors "
                f"and {self.gpus} GPUs; are they taken by others? See `ray status`"
            )
