"""Pairs through metrics: here, or in processes beside the codecs, with the same scores."""

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from xcodec.errors import XcodecError
from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Score, UndefinedError

__all__ = ["Asked", "Measurement", "Measuring", "MeasuringError"]

POLL = 0.5  # seconds between two looks at whether somebody wants to stop
DYING = 10.0  # seconds that the end of a process whose pipe is closed may take


class MeasuringError(XcodecError, RuntimeError):
    """A process that measures has died."""


@dataclass(frozen=True)
class Measurement:
    """The scores of a pair by scale key, None where a metric is not defined for it, and the reasons."""

    scores: dict[str, Score | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A pair, and which metrics it is to go through, by number."""

    pair: Pair
    metrics: tuple[int, ...]


class Measuring:
    """Takes the pairs of clip after clip, and gives their measurements in the order in which they came.

    Metrics with a model of torch measure here, while the others measure in the processes. What is made of a recording
    is made once for all its pairs.

    Args:
        metrics: all that there are.
        processes: how many to start; 0 to measure here.
        on_wait: called every half second while something is waited for. What it raises ends the waiting.

    Raises:
        MeasuringError: from any method, where a process dies.
    """

    def __init__(self, metrics: Sequence[Metric], processes: int, on_wait: Callable[[], object]) -> None:
        self._metrics, self._on_wait = list(metrics), on_wait
        beside = {i: metric for i, metric in enumerate(metrics) if processes and not metric.on_device}
        self._here = [i for i in range(len(metrics)) if i not in beside]
        self._workers = [_Worker(beside) for _ in range(processes if beside else 0)]
        self._begun: deque[list[list[Measurement]]] = deque()

    def __enter__(self) -> "Measuring":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def begin(self, clip: Sequence[Asked]) -> None:
        """Take the pairs of a clip; where all processes are busy, wait for one."""
        parts: list[list[Measurement]] = []
        self._begun.append(parts)
        if self._workers:
            while all(worker.parts is not None for worker in self._workers):
                self._receive()
            idle = next(worker for worker in self._workers if worker.parts is None)
            idle.send(clip, parts)
        parts.append(measure_all(clip, {i: self._metrics[i] for i in self._here}))

    def finished(self) -> Iterator[list[Measurement]]:
        """Yield the measurements of the clips whose turn it is and which are done, one for each pair."""
        while self._begun and self._is_done(self._begun[0]):
            yield self._next()

    def rest(self) -> Iterator[list[Measurement]]:
        """Yield the measurements of all clips that are left, and wait for those that are not done."""
        while self._begun:
            while not self._is_done(self._begun[0]):
                self._receive()
            yield self._next()

    def _is_done(self, parts: Sequence[list[Measurement]]) -> bool:
        """Tell whether a clip has been measured here, and beside the codecs where there are processes."""
        return len(parts) == (2 if self._workers else 1)

    def _next(self) -> list[Measurement]:
        return [self._merged(each) for each in zip(*self._begun.popleft(), strict=True)]

    def _receive(self) -> None:
        """Wait until a process is done with a clip, or several are."""
        busy = {worker.connection: worker for worker in self._workers if worker.parts is not None}
        while not (ready := wait(list(busy), POLL)):
            self._on_wait()
        for connection in ready:
            busy[connection].receive()  # type: ignore[index]

    def _merged(self, parts: Sequence[Measurement]) -> Measurement:
        """Put the scores of one pair together, in the order of the metrics."""
        keys = [scale.key for metric in self._metrics for scale in metric.scales]
        scores = {key: score for part in parts for key, score in part.scores.items()}
        reasons = {key: reason for part in parts for key, reason in part.reasons.items()}
        return Measurement(
            {key: scores[key] for key in keys if key in scores}, {key: reasons[key] for key in keys if key in reasons}
        )


class _Worker:
    """A process that measures, one clip at a time.

    Attributes:
        parts: where the measurements of its clip belong; None while it has none.
    """

    def __init__(self, metrics: dict[int, Metric]) -> None:
        context = get_context("spawn")  # torch and onnxruntime have threads, which a fork would leave behind
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, metrics), daemon=True)
        self._process.start()
        theirs.close()
        self.parts: list[list[Measurement]] | None = None

    def send(self, clip: Sequence[Asked], parts: list[list[Measurement]]) -> None:
        with self._or_died():
            self.connection.send(list(clip))
        self.parts = parts

    def receive(self) -> None:
        assert self.parts is not None
        with self._or_died():
            answer = self.connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        self.parts.append(answer)
        self.parts = None

    def end(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()

    @contextmanager
    def _or_died(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            self._process.join(DYING)
            raise MeasuringError(
                f"a process that measures has died, with exit code {self._process.exitcode}",
                remedy="if memory was short, give --workers 0, which measures in one process",
            ) from None


def serve(connection: Connection, metrics: dict[int, Metric]) -> None:
    """Measure clips as they come, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; who started this process ends it
    with suppress(EOFError, OSError):
        while True:
            clip = connection.recv()
            try:
                answer: Any = measure_all(clip, metrics)
            except Exception as error:  # raised again by who asked
                answer = error
            connection.send(answer)


def measure_all(clip: Sequence[Asked], metrics: dict[int, Metric]) -> list[Measurement]:
    """Take each pair of a clip through those of its metrics that are given."""
    return [measured(asked.pair, [metrics[i] for i in asked.metrics if i in metrics]) for asked in clip]


def measured(pair: Pair, metrics: Sequence[Metric]) -> Measurement:
    """Give a pair's scores, and why it has none."""
    scores: dict[str, Score | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        try:
            with nullcontext() if metric.on_device else one_thread():
                found = metric.measure(pair)
            unusable = [score.value for score in found.values() if not -1e300 < score.value < 1e300]
            if unusable:
                raise UndefinedError(f"it came out as {unusable[0]}")
            scores |= found
        except UndefinedError as error:
            scores |= dict.fromkeys((scale.key for scale in metric.scales), None)
            reasons |= dict.fromkeys((scale.key for scale in metric.scales), str(error))
    return Measurement(scores, reasons)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, and numba where it is loaded, use one thread: sums come out the same wherever they are taken."""
    with ExitStack() as stack:
        for library in (torch, sys.modules.get("numba")):
            if library is not None:
                stack.callback(library.set_num_threads, library.get_num_threads())
                library.set_num_threads(1)
        yield
