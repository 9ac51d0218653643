"""What counts while a run works: its status file, its log, and the file of its metrics."""

import json
import logging
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from xcodec.files import written_whole
from xcodec.tokenization.headers import ShardHeader
from xcodec.tokenization.metrics import metrics_text
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.readers import SlowRead, slowest_of
from xcodec.tokenization.shard import BatchReport
from xcodec.tokenization.status import Part, RunStatus, Standing

__all__ = ["Meter"]

logger = logging.getLogger(__name__)

_LOG_SECONDS = 60.0  # between two lines of the log that say how far a run is


class Meter:
    """Counts what a run does, and writes its status file every few seconds.

    What happens is logged, with the numbers as `fields` of the record: the run's start and end, each shard, each
    recording that fails, and every minute how far the run is.

    Args:
        plan: of the output.
        part: of the shards that the run does.
        engine: its name.
        on_status: called whenever something was counted.
        worker: (i, n) where the run is one of n workers.
        metrics_file: where to write what Prometheus reads; None for nowhere.

    Attributes:
        models: how many work side by side.
        restarts: how often one of several was started anew.
    """

    def __init__(
        self,
        plan: Plan,
        part: Part,
        engine: str,
        on_status: Callable[[RunStatus], object] = lambda _: None,
        *,
        worker: Part | None = None,
        metrics_file: Path | None = None,
    ) -> None:
        self.plan, self.part, self.engine, self.on_status = plan, part, engine, on_status
        self.worker, self.metrics_file = worker, metrics_file
        self.models, self.restarts = 1, 0
        self.standing = Standing.of(plan, part)
        self.name = status_name(part, worker)
        self._started = time.time()
        self._logged = time.monotonic()
        self._padded = self._model = self._in_hand = 0.0
        self._seconds: defaultdict[str, float] = defaultdict(float)  # of audio, of each who works
        self._slowest: tuple[SlowRead, ...] = ()
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_regularly, daemon=True)

    def __enter__(self) -> "Meter":
        status = self.status("running")
        self._log("run started", status)
        self.write(status)
        self._writer.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._over.set()
        self._writer.join()
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        status = self.status("finished" if error is None else "interrupted" if interrupted else "failed")
        self._log(f"run {status.state}", status)
        if error is None:
            self.write(status)
            return
        with suppress(OSError):  # what stopped the run is to be told, not that this cannot be written
            self.write(status)

    def on_batch(self, report: BatchReport, worker: str = "") -> None:
        """Count a batch; `worker` names who did it, where there are several."""
        self._seconds[worker] += report.seconds
        self._in_hand += report.seconds
        self._padded += report.padded_seconds
        self._model += report.model_seconds
        self._slowest = slowest_of((*self._slowest, *report.slowest))
        self.on_status(self.status("running"))

    def on_shard(self, header: ShardHeader) -> None:
        """Count a shard that is written."""
        self._in_hand = max(0.0, self._in_hand - header.seconds)
        self.standing = self.standing.plus(header)
        counted = {"shard": header.shard, "recordings": header.rows, "failed": len(header.failures)}
        counted |= {"excluded": sum(header.excluded.values())} if header.excluded else {}
        logger.info("shard written", extra={"fields": {**counted, "audio_seconds": header.seconds}})
        for failure in header.failures:
            logger.info("recording failed", extra={"fields": {"shard": header.shard, **asdict(failure)}})
        self.on_status(self.status("running"))

    def on_runs(self, runs: Iterable[RunStatus]) -> None:
        """Take over what workers with status files of their own have told, in place of what they told before."""
        seconds: defaultdict[str, float] = defaultdict(float)
        padded = model = 0.0
        for run in runs:
            seconds[run.place] += run.seconds
            padded += run.seconds / (1 - run.padding_share)
            model += run.model_share * run.elapsed
            self._slowest = slowest_of((*self._slowest, *run.slowest))
        self._seconds, self._padded, self._model = seconds, padded, model
        self.on_status(self.status("running"))

    def recount(self) -> None:
        """Count anew what is there, whatever was reported."""
        self.standing, self._in_hand = Standing.of(self.plan, self.part), 0.0

    def status(self, state: str) -> RunStatus:
        """How the run is doing now."""
        now = time.time()
        elapsed = max(now - self._started, 1e-6)
        each = dict(self._seconds)
        seconds = sum(each.values())
        speed = seconds / elapsed
        left = max(0.0, self.standing.seconds_left - self._in_hand)
        return RunStatus(
            state=state,
            engine=self.engine,
            part=self.part,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            updated=now,
            standing=self.standing,
            seconds=seconds,
            seconds_per_second=speed,
            eta_seconds=left / speed if speed and self.worker is None else None,  # others do what is left, too
            model_share=min(1.0, self._model / elapsed / self.models),
            padding_share=1 - seconds / self._padded if self._padded else 0.0,
            worker=self.worker,
            speeds={name: of_one / elapsed for name, of_one in sorted(each.items()) if name},
            restarts=self.restarts,
            slowest=self._slowest,
        )

    def write(self, status: RunStatus) -> None:
        """Write the status file, and the metrics."""
        with self.plan.store.writing(self.name) as part:
            part.write_text(json.dumps(asdict(status), indent=1) + "\n")
        if self.metrics_file is not None:
            with written_whole(self.metrics_file) as part:
                part.write_text(metrics_text(status, str(self.plan.store)))

    def _write_regularly(self) -> None:
        while not self._over.wait(self.plan.store.status_seconds):
            status = self.status("running")
            if time.monotonic() - self._logged > _LOG_SECONDS:
                self._logged = time.monotonic()
                self._log("run goes on", status)
            with suppress(OSError):  # a full disk is noticed where codes are written
                self.write(status)

    def _log(self, event: str, status: RunStatus) -> None:
        standing = status.standing
        fields = {
            "output": str(self.plan.store),
            "run": status.place,
            "engine": status.engine,
            "recordings": standing.rows,
            "done": standing.done,
            "excluded": standing.excluded,
            "failed": standing.failed,
            "left": standing.left,
            "audio_seconds": status.seconds,
            "audio_seconds_per_second": status.seconds_per_second,
            "model_share": status.model_share,
            "eta_seconds": status.eta_seconds,
        }
        logger.info(event, extra={"fields": fields})


def status_name(part: Part, worker: Part | None = None) -> str:
    """What the status file of a run is called."""
    if worker is not None:
        return f"status-worker-{worker[0]}-of-{worker[1]}.json"
    return f"status-{part[0]}-of-{part[1]}.json" if part[1] > 1 else "status.json"
