"""One thread steps all open streams, those alike as one batch, the most urgent first."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from xcodec.audio import Audio
from xcodec.serving.faults import Fault
from xcodec.serving.limits import Limits
from xcodec.serving.metrics import Metrics

__all__ = ["OpenStream", "Scheduler", "Stream"]

log = logging.getLogger("xcodec.serving")


class Stream(Protocol):
    """What is stepped: a `StreamDecoder` or a `StreamEncoder`."""

    def take(self, data: Any, /) -> None:
        """Take input, and do nothing yet."""

    def end(self) -> None:
        """Say that no more comes."""

    @property
    def kind(self) -> Hashable | None:
        """What streams have in common that can be a batch; None where there is nothing to do."""

    @staticmethod
    def step(streams: Sequence[Any], /) -> Sequence[Any]:
        """Do the next piece of each of some streams of one kind."""


class OpenStream:
    """A client's stream, between the event loop, which feeds and reads it, and the thread that steps it.

    What the loop and the thread tell each other are single values that one of them alone writes.

    Args:
        stream: whose state the scheduler's thread alone touches.
        scheduler: that steps it.
        rate: units of input in a second, such as the codec's frame rate.

    Attributes:
        seconds_given: audio that has been decoded, or encoded.
    """

    def __init__(self, stream: Stream, scheduler: "Scheduler", rate: float) -> None:
        self.stream = stream
        self.opened = time.monotonic()
        self.seconds_given = 0.0
        self._scheduler, self._rate = scheduler, rate
        self._limits = scheduler.limits
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[np.ndarray | BaseException | None] = deque()  # None and errors end it
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()  # pieces, an exception, or None at the end
        self._has_room = asyncio.Event()
        self._put_seconds = self._done_seconds = 0.0
        self._given = self._taken = 0
        self._started: float | None = None
        self._ended = self._closed = False
        self.finished = False

    # In the event loop

    async def put(self, data: np.ndarray) -> None:
        """Give input, of which the last axis is time; waits while there is much that is not done yet.

        Raises:
            Fault: for more than a stream may have.
        """
        self._put_seconds += data.shape[-1] / self._rate
        if self._put_seconds > self._limits.seconds:
            raise Fault(
                413, f"a stream may have {self._limits.seconds:g} s of audio; begin another one", "too_many_seconds"
            )
        self._inbox.append(data)
        self._scheduler.wake()
        while self._put_seconds - self._done_seconds > self._limits.pending_seconds and not self.finished:
            self._has_room.clear()
            await self._has_room.wait()
        if self._closed:
            raise Fault(499, "the client has left", "client_left")

    def put_from_thread(self, data: np.ndarray) -> None:
        """`put`, called from a thread that is not the event loop's."""
        asyncio.run_coroutine_threadsafe(self.put(data), self._loop).result()

    def end(self) -> None:
        """Say that no more input comes."""
        self._inbox.append(None)
        self._scheduler.wake()

    def fail(self, error: BaseException) -> None:
        """Say that no more input comes, and why; from any thread."""
        self._inbox.append(error)
        self._scheduler.wake()

    async def pieces(self) -> AsyncIterator[Any]:
        """Give what becomes of the input, piece by piece, until the end.

        Raises:
            Exception: what has gone wrong with it.
        """
        while (piece := await self._outbox.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            self._taken += 1
            if self._given - self._taken == self._limits.unread_pieces - 1:  # it was full
                self._scheduler.wake()
            yield piece

    def close(self) -> None:
        """Leave, at the end or before it: what is not done is not done any more.

        Who waits to give more input gets a `Fault`. Until it is closed a stream counts as open.
        """
        self.finished = self._closed = True
        self._has_room.set()
        self._scheduler.remove(self)

    def _deliver(self, piece: Any, seconds: float) -> None:
        self._outbox.put_nowait(piece)
        self._done_seconds += seconds
        self._has_room.set()

    # In the scheduler's thread

    @property
    def due(self) -> float:
        """When its listener has heard all that was made; of one that has heard nothing, when it came."""
        return self.opened if self._started is None else self._started + self.seconds_given

    @property
    def is_ready(self) -> bool:
        """Whether there is something to do, and somebody to take it."""
        return self._given - self._taken < self._limits.unread_pieces and self.stream.kind is not None

    def absorb(self) -> None:
        """Give the stream what has come."""
        try:
            while self._inbox:
                data = self._inbox.popleft()
                if isinstance(data, BaseException):
                    self.finish(data)
                    return
                if data is None:
                    self.stream.end()
                    self._ended = True
                else:
                    self.stream.take(data)
            if self._ended and self.stream.kind is None:
                self.finish(None)
        except Exception as error:  # whatever it is, it belongs to this client
            self.finish(error)

    def give(self, piece: Any) -> None:
        """Send a piece on its way."""
        now = time.monotonic()
        seconds = piece.duration if isinstance(piece, Audio) else piece.shape[-1] / self._scheduler.frame_rate
        if self._started is None:
            self._started = now
            self._scheduler.metrics.first_audio.observe(now - self.opened)
        self.seconds_given += seconds
        self._given += 1
        self._send(piece, seconds)
        if self._ended and self.stream.kind is None:
            self.finish(None)

    def finish(self, error: BaseException | None) -> None:
        """Send the end, or what has gone wrong."""
        if not self.finished:
            self.finished = True
            self._send(error, 0.0)

    def _send(self, piece: Any, seconds: float) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, piece, seconds)
        except RuntimeError:  # the loop is closed, and with it the client
            self._scheduler.remove(self)


class Scheduler:
    """Steps open streams in a thread of its own, which alone runs their model.

    A step takes the most urgent stream that is ready and, up to `Limits.batch`, others that can share its batch.
    Urgent is whose listener will first have heard all: so nobody starves, one who has just come is served next, and
    one who sends everything at once gets ahead only while nobody else needs anything.

    Args:
        limits: how many streams, and how much of each.
        metrics: to be told.
        frame_rate: of the codec.
    """

    def __init__(self, limits: Limits, metrics: Metrics, frame_rate: float) -> None:
        self.limits, self.metrics, self.frame_rate = limits, metrics, frame_rate
        self._streams: dict[OpenStream, None] = {}
        self._changed = threading.Condition()
        self._news = self._stopped = False
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def open(self, stream: Stream, rate: float) -> OpenStream:
        """Take in a stream; called in the event loop.

        Args:
            stream: new.
            rate: units of its input in a second.

        Raises:
            Fault: where there are as many as there may be.
        """
        if len(self._streams) >= self.limits.streams:
            raise Fault.busy(f"{self.limits.streams} streams are open, and no more are taken; try again")
        opened = OpenStream(stream, self, rate)
        with self._changed:
            self._streams[opened] = None
        self.metrics.open_streams.set(len(self._streams))
        return opened

    def remove(self, stream: OpenStream) -> None:
        """Forget a stream."""
        with self._changed:
            self._streams.pop(stream, None)
        self.metrics.open_streams.set(len(self._streams))

    def wake(self) -> None:
        """Tell the thread that something has changed."""
        with self._changed:
            self._news = True
            self._changed.notify()

    @property
    def num_open(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread after its step; streams that are open get an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()
        for stream in list(self._streams):
            stream.finish(Fault(503, "the server is shutting down", "shutting_down"))

    def _run(self) -> None:
        worked = False
        while True:
            with self._changed:
                if not worked:
                    self._changed.wait_for(lambda: self._news or self._stopped)
                if self._stopped:
                    return
                self._news = False
                streams = list(self._streams)
            for stream in streams:
                if not stream.finished:
                    stream.absorb()
            ready = [stream for stream in streams if not stream.finished and stream.is_ready]
            self.metrics.ready_streams.set(len(ready))
            worked = bool(ready)
            if ready:
                self._step(next_batch(ready, self.limits.batch))

    def _step(self, batch: list[OpenStream]) -> None:
        started = time.perf_counter()
        try:
            pieces = type(batch[0].stream).step([stream.stream for stream in batch])
        except Exception as error:  # inputs were checked as they came, so that it is nobody's in particular
            log.exception("a step of %d streams failed", len(batch))
            for stream in batch:
                stream.finish(error)
            return
        self.metrics.step(type(batch[0].stream).__name__, len(batch), time.perf_counter() - started)
        before = sum(stream.seconds_given for stream in batch)
        for stream, piece in zip(batch, pieces, strict=True):
            stream.give(piece)
        self.metrics.audio_seconds.labels("stream").inc(sum(stream.seconds_given for stream in batch) - before)


def next_batch(ready: Sequence[OpenStream], most: int) -> list[OpenStream]:
    """Choose the most urgent stream, and of those that can share its batch the most urgent."""
    by_urgency = sorted(ready, key=lambda stream: stream.due)
    first = by_urgency[0].stream
    alike = [each for each in by_urgency if type(each.stream) is type(first) and each.stream.kind == first.kind]
    return alike[:most]
