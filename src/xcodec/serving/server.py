"""The server: uvicorn, which on SIGTERM lets those finish who have begun."""

import asyncio
import gc
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from xcodec.errors import InputError, first_line
from xcodec.serving.service import Service

__all__ = ["DrainingServer", "listen", "server_for"]

POLL_SECONDS = 0.05


class DrainingServer(uvicorn.Server):
    """A server that, asked to end, refuses what is new and goes on with what it has, for so long.

    Asked a second time, it ends at once.

    Args:
        config: of uvicorn.
        service: what is served.
        drain_seconds: after which it ends in any case.
        on_started: called when requests are taken.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, drain_seconds: float, on_started: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._service, self._drain_seconds, self._on_started = service, drain_seconds, on_started
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what was loaded stays: looking for what can go takes no longer for it, and so comes sooner
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests."""
        await super().shutdown(sockets)
        gc.unfreeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._service.is_draining:
            super().handle_exit(sig, frame)
        self._service.is_draining = True

    async def on_tick(self, counter: int) -> bool:
        """See, ten times a second, whether it is time to end."""
        if self._service.is_draining and self._draining is None:
            self._draining = asyncio.ensure_future(self._drain())
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        """End once nobody waits for anything, or when the time is up."""
        end = asyncio.get_running_loop().time() + self._drain_seconds
        while not self._service.is_idle and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(POLL_SECONDS)
        self._service.scheduler.stop()  # who still listens is told why no more comes
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Take a port, so that it is known before anything is loaded whether it is free.

    Args:
        host: a name or an address.
        port: 0 takes any that is free.

    Raises:
        InputError: where it cannot be had.
    """
    listening = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise InputError(f"cannot listen on {host} port {port}: {first_line(error)}", argument="port") from None
    return listening


def server_for(
    app: FastAPI, service: Service, drain_seconds: float, on_started: Callable[[], object] = lambda: None
) -> DrainingServer:
    """Make a server of an application; `run(sockets=[listen(...)])` serves until it is asked to end."""
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=1 << 20,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    return DrainingServer(config, service, drain_seconds, on_started)
