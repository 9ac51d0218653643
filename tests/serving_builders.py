"""Servers that tests talk to: real ones, on ports of this machine."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from xcodec import Codec
from xcodec.serving.app import create_app
from xcodec.serving.limits import Limits
from xcodec.serving.server import listen, server_for
from xcodec.serving.service import Service


class Running:
    """A server that runs in a thread."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.url = f"http://127.0.0.1:{port}"
        self.socket_url = f"ws://127.0.0.1:{port}/v1/codec/stream"


@contextmanager
def serving(codec: Codec, limits: Limits | None = None, **how: Any) -> Iterator[Running]:
    """Serve a codec while the block runs."""
    service = Service(codec, limits or Limits(), **how.pop("service", {}))
    listening, started = listen("127.0.0.1", 0), threading.Event()
    server = server_for(create_app(service, **how), service, drain_seconds=5.0, on_started=started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert started.wait(60)
        yield Running(service, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


async def said_by(socket: ClientConnection) -> tuple[list[dict[str, Any]], bytes]:
    """All that a server says on a socket: what it tells, and its binary messages end to end."""
    told, data = [], bytearray()
    with suppress(ConnectionClosedError):  # what has gone wrong was told before
        async for message in socket:
            if isinstance(message, str):
                told.append(json.loads(message))
            else:
                data += message
    return told, bytes(data)


async def streamed(
    url: str, ids: np.ndarray, query: str = "response_format=f32", size: int = 7, pause: float = 0.0
) -> np.ndarray:
    """The samples that become of codes (codebooks, frames), sent so many frames at a time."""
    async with connect(f"{url}?{query}") as socket:
        hearing = asyncio.ensure_future(said_by(socket))
        for start in range(0, ids.shape[1], size):
            await socket.send(ids[:, start : start + size].T.astype("<u2").tobytes())
            await asyncio.sleep(pause)
        await socket.send('{"type": "end"}')
        told, data = await hearing
    assert [each["type"] for each in told] == ["open", "end"], told
    return np.frombuffer(data, "<f4")


def same_sound(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether 16-bit samples are the same but for rounding, to which it matters how many codes were there at a time."""
    return found.shape == expected.shape and bool(np.abs(found.astype(float) - expected).max() <= 1)
