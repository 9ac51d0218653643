"""The local engine with several models: a process for each, on a GPU of its own where there are GPUs."""

import base64
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xcodec
from xcodec.tokenization.headers import read_header
from xcodec.tokenization.job import Job, num_processors
from xcodec.tokenization.lock import ScratchFolder
from xcodec.tokenization.meter import Meter
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.status import RunStatus, read_runs

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["Processes", "visible_gpus"]

logger = logging.getLogger(__name__)

_POLL = 0.5  # seconds between two looks at the processes
_LONGEST = 400  # characters of what a process said that are repeated


def visible_gpus() -> list[str]:
    """Return the GPUs that CUDA shows to this process, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(number) for number in range(count)]


@dataclass
class Place:
    """One of the workers: its number, its process, and how often that was started anew."""

    number: int
    process: subprocess.Popen[bytes]
    said: Path
    restarts: int = 0
    is_over: bool = False


class Processes:
    """Starts workers that take shards until none is left, and starts those anew that die.

    Args:
        count: of processes.
        restarts: how often each may be started anew.
    """

    def __init__(self, count: int, restarts: int = 3) -> None:
        self.count, self.restarts = count, restarts

    def __call__(self, job: Job, plan: Plan, codec: "Codec", shards: Iterable[int], meter: Meter) -> list[str]:
        """Do shards. Whatever ends this, ends the processes.

        Returns:
            Those processes that were given up, each with the reason, where something is left.
        """
        del codec  # each process has its own
        missing = set(shards)
        gpus = visible_gpus() if job.model.device in ("auto", "cuda") else []
        meter.models = self.count
        for name in plan.store.names():
            if name.startswith("status-worker-"):
                plan.store.remove(name)  # of an earlier run
        given_up: list[str] = []
        with ExitStack() as stack:
            scratch = stack.enter_context(ScratchFolder()).path
            places: list[Place] = []
            for number in range(self.count):
                said = scratch / str(number)
                places.append(Place(number, self._start(job, number, gpus, said), said))
                stack.callback(_end, places[-1])
            counted = Workers(plan, meter, missing)
            while not all(place.is_over for place in places):
                time.sleep(_POLL)
                for place in places:
                    if not place.is_over and (code := place.process.poll()) is not None:
                        if code:
                            counted.look(now=True)
                        place.is_over = code == 0 or not missing
                        if place.is_over:
                            continue
                        if place.restarts < self.restarts:
                            self._restart(place, job, gpus, meter, code)
                        else:
                            place.is_over = True
                            given_up.append(f"worker {place.number + 1}, started {place.restarts + 1} times: "
                                            f"{_why(place, code)}")  # fmt: skip
                counted.look()
            counted.look(now=True)
        return given_up if missing else []

    def _restart(self, place: Place, job: Job, gpus: list[str], meter: Meter, code: int) -> None:
        """Start a process anew, and tell it."""
        place.restarts += 1
        meter.restarts += 1
        reason = _why(place, code)
        fields = {"worker": place.number + 1, "reason": reason, "restarts": place.restarts}
        logger.warning(
            "worker %d of %d was started again: %s", place.number + 1, self.count, reason, extra={"fields": fields}
        )
        _end(place)
        place.process = self._start(job, place.number, gpus, place.said)

    def _start(self, job: Job, number: int, gpus: list[str], said: Path) -> subprocess.Popen[bytes]:
        threads = str(max(1, num_processors() // self.count))
        source = os.pathsep.join(filter(None, (str(Path(xcodec.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": threads}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        with said.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "xcodec.tokenization.engines.worker_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the process that was started by hand
            )
        assert process.stdin is not None
        work = base64.b64encode(pickle.dumps((job, (number, self.count))))
        with suppress(BrokenPipeError):  # it is gone already, which is seen at the next look
            process.stdin.write(work + b"\n")
            process.stdin.flush()
        return process


class Workers:
    """What workers have done, as their files tell it.

    Args:
        plan: of the output.
        meter: that counts it.
        missing: numbers of the shards that are not done; those that come are taken out.
    """

    def __init__(self, plan: Plan, meter: Meter, missing: set[int]) -> None:
        self.plan, self.meter, self.missing = plan, meter, missing
        self._told: dict[tuple[str, int], RunStatus] = {}
        self._next = time.monotonic()

    def look(self, *, now: bool = False) -> None:
        """See what is new, as often as a status may be old, or now."""
        if time.monotonic() < self._next and not now:
            return
        self._next = time.monotonic() + self.plan.store.status_seconds
        store = self.plan.store
        there = set(store.names("codes"))
        for number in sorted(number for number in self.missing if self.plan.output(number) in there):
            self.missing.remove(number)
            name = self.plan.output(number)
            self.meter.on_shard(read_header(store.footer(name), store.called(name)))
        self._told |= {(run.place, run.pid): run for run in read_runs(store) if run.worker is not None}
        self.meter.on_runs(self._told.values())


def _why(place: Place, code: int) -> str:
    """Why a process ended: the signal, or the last that it said."""
    if code < 0:
        return f"it was ended by signal {-code}"
    lines = place.said.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_LONGEST] if lines else f"exit code {code}"


def _end(place: Place) -> None:
    """End a process, whatever it is doing: its locks and its readers end with it."""
    process = place.process
    process.kill()
    process.wait()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
