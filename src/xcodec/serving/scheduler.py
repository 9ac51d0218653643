"""One thread steps all open streams, those alike as one batch, the most urgent first."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
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
        stream: whose state the scheduler's thread alone touches, and lets go of when the client has left.
        scheduler: that steps it.
        rate: units of input in a second, such as the codec's frame rate.

    Attributes:
        seconds_given: audio that has been decoded, or encoded.
        kind: as of the stream, when it was last looked at.
        finished: whether nothing more is done.
    """

    def __init__(self, stream: Stream, scheduler: "Scheduler", rate: float) -> None:
        self.stream: Stream | None = stream
        self.opened = time.monotonic()
        self.seconds_given = 0.0
        self._scheduler, self._rate = scheduler, rate
        self._limits = scheduler.limits
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[np.ndarray | BaseException | None] = deque()  # None and errors end it
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()  # pieces, an exception, or None at the end
        self._has_room = asyncio.Event()
        self._put, self._done_seconds = 0, 0.0  # whole units of input: sums of seconds would be off by rounding
        self._given = self._taken = 0
        self._started: float | None = None
        self._ended = self._closed = False
        self.finished = False
        self.kind: Hashable | None = None

    # In the event loop

    async def put(self, data: np.ndarray) -> None:
        """Give input, of which the last axis is time; waits while there is much that is not done yet.

        Raises:
            Fault: for more than a stream may have.
        """
        self._put += data.shape[-1]
        seconds = self._put / self._rate
        if seconds > self._limits.seconds:
            raise Fault(
                413, f"a stream may have {self._limits.seconds:g} s of audio; begin another one", "too_many_seconds"
            )
        self._tell(data)
        while seconds - self._done_seconds > self._limits.pending_seconds and not self.finished:
            self._has_room.clear()
            await self._has_room.wait()
        if self._closed:
            raise Fault(499, "the client has left", "client_left")

    def put_from_thread(self, data: np.ndarray) -> None:
        """`put`, called from a thread that is not the event loop's."""
        asyncio.run_coroutine_threadsafe(self.put(data), self._loop).result()

    def end(self) -> None:
        """Say that no more input comes."""
        self._tell(None)

    def fail(self, error: BaseException) -> None:
        """Say that no more input comes, and why; from any thread."""
        self._tell(error)

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
                self._scheduler.notice(self)
            yield piece

    def close(self) -> None:
        """Leave, at the end or before it: what is not done is not done any more.

        Who waits to give more input gets a `Fault`. Until it is closed a stream counts as open. After that nothing is
        kept of it, whoever may still know this object.
        """
        self.finished = self._closed = True
        self._outbox = asyncio.Queue()
        self._has_room.set()
        self._scheduler.remove(self)

    def deliver(self, piece: Any, seconds: float) -> None:
        """Take what the thread has sent: a piece of so many seconds, what has gone wrong, or None at the end."""
        if self._closed:
            return
        self._outbox.put_nowait(piece)
        self._done_seconds += seconds
        self._has_room.set()

    def _tell(self, told: np.ndarray | BaseException | None) -> None:
        self._inbox.append(told)
        self._scheduler.notice(self)

    # In the scheduler's thread

    @property
    def urgency(self) -> tuple[bool, float]:
        """What is least of the stream that is served next: of those who have heard nothing, of who came first.

        Of the others it is when the listener will have heard all that was made.
        """
        return (False, self.opened) if self._started is None else (True, self._started + self.seconds_given)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to do, and somebody to take it."""
        return not self.finished and self.kind is not None and self._given - self._taken < self._limits.unread_pieces

    def absorb(self) -> None:
        """Give the stream what has come, or let go of it where the client has left."""
        if self._closed:
            self.stream = None
            self._inbox.clear()
        if self.finished or self.stream is None:
            return
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
            self._look_ahead()
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
        self._scheduler.send(self, piece, seconds)
        self._look_ahead()

    def finish(self, error: BaseException | None) -> None:
        """Send the end, or what has gone wrong."""
        if not self.finished:
            self.finished = True
            self._scheduler.send(self, error, 0.0)

    def _look_ahead(self) -> None:
        """See what is to be done next."""
        self.kind = None if self.stream is None else self.stream.kind
        if self._ended and self.kind is None:
            self.finish(None)


class Scheduler:
    """Steps open streams in a thread of its own, which alone runs their model.

    A step takes the most urgent stream that is ready and, up to `Limits.batch`, others that can share its batch. Urgent
    is who has heard nothing yet, and then whose listener will first have heard all: so one who has just come is served
    next, nobody starves, and one who sends everything at once gets ahead only while nobody else needs anything. The
    more streams wait, the more share a step, of which each then takes less.

    Args:
        limits: how many streams, and how much of each.
        metrics: to be told.
        frame_rate: of the codec.
    """

    def __init__(self, limits: Limits, metrics: Metrics, frame_rate: float) -> None:
        self.limits, self.metrics, self.frame_rate = limits, metrics, frame_rate
        self._streams: dict[OpenStream, None] = {}
        self._news: SimpleQueue[OpenStream | None] = SimpleQueue()  # streams to look at; None is the end
        self._ready: dict[OpenStream, None] = {}
        self._letters: list[tuple[OpenStream, Any, float]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
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
        self._loop = asyncio.get_running_loop()
        opened = OpenStream(stream, self, rate)
        self._streams[opened] = None
        self.metrics.open_streams.set(len(self._streams))
        return opened

    def remove(self, stream: OpenStream) -> None:
        """Forget a stream; called in the event loop."""
        self._streams.pop(stream, None)
        self.metrics.open_streams.set(len(self._streams))
        self.notice(stream)

    def notice(self, stream: OpenStream) -> None:
        """Tell the thread that something has changed about a stream."""
        self._news.put(stream)

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
        self._news.put(None)
        self._thread.join()
        for stream in list(self._streams):
            stream.finish(Fault(503, "the server is shutting down", "shutting_down"))
        self._post()

    # In the thread

    def send(self, stream: OpenStream, piece: Any, seconds: float) -> None:
        """Put something on its way to a stream's reader, with all else of this round."""
        self._letters.append((stream, piece, seconds))

    def _run(self) -> None:
        while True:
            news = self._gathered()
            if None in news:
                return
            for stream in news:
                assert stream is not None
                stream.absorb()
            self._note(stream for stream in news if stream is not None)
            self._post()
            self.metrics.ready_streams.set(len(self._ready))
            if self._ready:
                batch = next_batch(self._ready, self.limits.batch)
                self._step(batch)
                self._note(batch)
                self._post()

    def _gathered(self) -> dict[OpenStream | None, None]:
        """Give whom there is news of; waits where there is nothing else to do."""
        news: dict[OpenStream | None, None] = {}
        with suppress(Empty):
            if not self._ready:
                news[self._news.get()] = None
            while True:
                news[self._news.get_nowait()] = None
        return news

    def _note(self, streams: Iterable[OpenStream]) -> None:
        """See which streams are ready now."""
        for stream in streams:
            if stream.is_ready:
                self._ready[stream] = None
            else:
                self._ready.pop(stream, None)

    def _post(self) -> None:
        """Wake the event loop once, for all that is to be delivered."""
        letters, self._letters = self._letters, []
        if letters and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and with it all clients
                self._loop.call_soon_threadsafe(deliver, letters)

    def _step(self, batch: list[OpenStream]) -> None:
        started = time.perf_counter()
        alike = [stream.stream for stream in batch if stream.stream is not None]  # all: who has let go is not ready
        name = type(alike[0]).__name__
        try:
            pieces = type(alike[0]).step(alike)
        except Exception as error:  # inputs were checked as they came, so that it is nobody's in particular
            log.exception("a step of %d streams failed", len(batch))
            for stream in batch:
                stream.finish(error)
            return
        self.metrics.step(name, len(batch), time.perf_counter() - started)
        before = sum(stream.seconds_given for stream in batch)
        for stream, piece in zip(batch, pieces, strict=True):
            stream.give(piece)
        self.metrics.audio_seconds.labels("stream").inc(sum(stream.seconds_given for stream in batch) - before)


def next_batch(ready: Iterable[OpenStream], most: int) -> list[OpenStream]:
    """Choose the most urgent stream, and of those that can share its batch the most urgent."""
    by_urgency = sorted(ready, key=lambda stream: stream.urgency)
    first = by_urgency[0]
    alike = [each for each in by_urgency if type(each.stream) is type(first.stream) and each.kind == first.kind]
    return alike[:most]


def deliver(letters: Sequence[tuple[OpenStream, Any, float]]) -> None:
    """Give streams what the thread has sent them."""
    for stream, piece, seconds in letters:
        stream.deliver(piece, seconds)
