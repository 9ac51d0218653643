"""Work on whole recordings, one after the other in a thread beside the streams'."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import Request

from xcodec.serving.faults import Fault
from xcodec.serving.limits import Limits
from xcodec.serving.metrics import Metrics

__all__ = ["Jobs", "while_connected"]

Result = TypeVar("Result")
OnProgress = Callable[[float], object]


class ClientLeft(Exception):  # noqa: N818
    """Nobody waits for the answer any more."""


class Jobs:
    """A queue of bounded length before one thread.

    Args:
        limits: how many may wait.
        metrics: to be told.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self.num_admitted = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Take a place, before an upload is read, and hold it until all is done.

        Raises:
            Fault: where there is none.
        """
        if self.num_admitted >= self._limits.jobs:
            raise Fault.busy(f"{self._limits.jobs} recordings are waiting, and no more are taken; try again")
        self.num_admitted += 1
        self._metrics.jobs.set(self.num_admitted)
        try:
            yield
        finally:
            self.num_admitted -= 1
            self._metrics.jobs.set(self.num_admitted)

    async def run(self, work: Callable[[OnProgress], Result]) -> Result:
        """Do some work in the thread.

        Args:
            work: takes what it has to call as it goes on, which ends it where nobody waits any more.
        """
        left = threading.Event()

        def check(_: float) -> None:
            if left.is_set():
                raise ClientLeft

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, check)
        except asyncio.CancelledError:
            left.set()
            raise

    def stop(self) -> None:
        """End the thread after what it does now."""
        self._pool.shutdown(cancel_futures=True)


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """Wait for work, and cancel it where the client leaves; the request's body has been read.

    Raises:
        ClientLeft: where it has.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Fault(499, "the client has left", "client_left")
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


async def disconnected(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
