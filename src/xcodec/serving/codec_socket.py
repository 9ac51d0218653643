"""WebSocket /v1/codec/stream: codes come and audio leaves, or audio comes and codes leave.

The client says in the query which way it goes, and then sends binary messages of any length, while it reads what comes
back. `{"type": "end"}` as text ends its input; the rest leaves, then `{"type": "end", ...}`, and the server closes.
What goes wrong is told as `{"type": "error", "error": {...}}` before the server closes.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from xcodec.audio import Audio
from xcodec.audio.resampling import Resampler
from xcodec.serving.access import KEY_PROTOCOL
from xcodec.serving.faults import Fault, fault_of
from xcodec.serving.service import ENCODED_CHUNK, LOOKAHEAD, Service
from xcodec.serving.sound import SoundWriter, sound_format
from xcodec.serving.stored_codes import integers
from xcodec.serving.uploads import number

__all__ = ["router"]

PROTOCOL = "xcodec"
CLOSE_CODES = {400: 1008, 401: 1008, 403: 1008, 408: 1008, 413: 1009, 503: 1013}
"""What a WebSocket is closed with, by the status that a request would have."""


def router(service: Service) -> APIRouter:
    """Make the route."""
    routes = APIRouter(tags=["codec"])

    @routes.websocket("/v1/codec/stream")
    async def stream(socket: WebSocket) -> None:
        offered = [name for name in socket.scope["subprotocols"] if not name.startswith(KEY_PROTOCOL)]
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        try:
            way = way_of(socket, service)
        except Exception as error:
            await fail(socket, error)
            return
        try:
            await converse(socket, way, service.limits.idle_seconds)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            await fail(socket, error)
        finally:
            way.stream.close()

    return routes


class Way(ABC):
    """One direction of a stream: how messages become input, and pieces messages."""

    def __init__(self, service: Service) -> None:
        self.codec = service.codec
        self.stream = service.open_decoder()

    @abstractmethod
    def opening(self) -> dict[str, Any]:
        """Tell the client what it will get, and how it is to give what it gives."""

    @abstractmethod
    def taken(self, message: bytes) -> np.ndarray:
        """Read a binary message.

        Raises:
            Fault: where it has not a whole number of values.
        """

    def last_taken(self) -> np.ndarray | None:
        """Give what is still to be given when the input has ended."""
        return None

    @abstractmethod
    def given(self, piece: Any) -> bytes:
        """Write a piece."""

    def last_given(self) -> bytes:
        """Write what comes after the last piece."""
        return b""


class Decoding(Way):
    """Codes come and audio leaves."""

    def __init__(self, service: Service, query: dict[str, str]) -> None:
        self.codec = service.codec
        form = sound_format(query.get("response_format", "pcm"))
        self._writer = SoundWriter(form, self.codec.output_sampling_rate, live=True)
        self._format = form.name
        depth = whole_number(query, "codebooks", len(self.codec.codebook_sizes))
        if not 1 <= depth <= len(self.codec.codebook_sizes):
            raise Fault(
                400, f"this codec has {len(self.codec.codebook_sizes)} codebooks", "invalid_value", param="codebooks"
            )
        self._depth = depth
        self._dtype = code_type(self.codec.codebook_sizes)
        chunks = None if "chunk" not in query else (whole_number(query, "chunk", 0),)
        self.stream = service.open_decoder(whole_number(query, "lookahead", service.windows.lookahead), chunks)

    def opening(self) -> dict[str, Any]:
        """`Way.opening`."""
        return {
            "input": self._dtype.name,
            "codebooks": self._depth,
            "frame_rate": self.codec.frame_rate,
            "response_format": self._format,
            "sampling_rate": self._writer.sampling_rate,
        }

    def taken(self, message: bytes) -> np.ndarray:
        """`Way.taken`: frame by frame, the codes of each."""
        return values(message, self._dtype, self._depth).reshape(-1, self._depth).T.astype(np.int64)

    def given(self, piece: Audio) -> bytes:
        """`Way.given`."""
        return self._writer.push(piece.samples[0])

    def last_given(self) -> bytes:
        """`Way.last_given`."""
        return self._writer.finish()


class Encoding(Way):
    """Audio comes and codes leave."""

    def __init__(self, service: Service, query: dict[str, str]) -> None:
        self.codec = service.codec
        self._input = query.get("input_format", "pcm")
        if self._input not in ("pcm", "f32"):
            raise Fault(400, "input_format: expected pcm or f32", "invalid_value", param="input_format")
        rate = whole_number(query, "sampling_rate", self.codec.sampling_rate)
        if not 1000 <= rate <= 768_000:
            raise Fault(
                400, f"sampling_rate={rate}: expected 1000 to 768000 Hz", "invalid_value", param="sampling_rate"
            )
        self._resampler = None if rate == self.codec.sampling_rate else Resampler(rate, self.codec.sampling_rate, 1)
        self._rate, self._dtype = rate, code_type(self.codec.codebook_sizes)
        self.stream = service.open_encoder(
            whole_number(query, "lookahead", LOOKAHEAD),
            whole_number(query, "chunk", ENCODED_CHUNK),
            number("bandwidth", query["bandwidth"]) if "bandwidth" in query else None,
        )

    def opening(self) -> dict[str, Any]:
        """`Way.opening`."""
        return {
            "input": {"pcm": "int16", "f32": "float32"}[self._input],
            "sampling_rate": self._rate,
            "output": self._dtype.name,
            "frame_rate": self.codec.frame_rate,
        }

    def taken(self, message: bytes) -> np.ndarray:
        """`Way.taken`: mono samples."""
        if self._input == "pcm":
            samples = values(message, np.dtype("<i2"), 1).astype(np.float32) / 32768
        else:
            samples = values(message, np.dtype("<f4"), 1)
            if not np.isfinite(samples).all() or (samples.size and np.abs(samples).max() > 1000):
                raise Fault(400, "samples are NaN, infinite, or beyond 1000 times full scale", "bad_samples")
        return samples if self._resampler is None else self._resampler.push(samples[:, None])[:, 0]

    def last_taken(self) -> np.ndarray | None:
        """`Way.last_taken`."""
        return None if self._resampler is None else self._resampler.finish()[:, 0]

    def given(self, piece: np.ndarray) -> bytes:
        """`Way.given`: frame by frame, the codes of each."""
        return piece.T.astype(self._dtype).tobytes()


def way_of(socket: WebSocket, service: Service) -> Way:
    """Open what the query asks for.

    Raises:
        Fault: where it asks for nothing that there is.
        InputError: likewise.
    """
    query = dict(socket.query_params)
    direction = query.get("direction", "decode")
    if direction not in ("decode", "encode"):
        raise Fault(400, f"direction={direction[:40]!r}: expected decode or encode", "invalid_value", param="direction")
    return Decoding(service, query) if direction == "decode" else Encoding(service, query)


async def converse(socket: WebSocket, way: Way, idle_seconds: float) -> None:
    """Take and give messages until all is said.

    Raises:
        WebSocketDisconnect: where the client has left.
        Fault: where it does what it may not.
    """
    await socket.send_json({"type": "open", **way.opening()})
    idle = Idle(idle_seconds)
    tasks = [
        asyncio.ensure_future(work) for work in (take_all(socket, way, idle), give_all(socket, way, idle), idle.watch())
    ]
    talk = asyncio.gather(*tasks[:2])
    either: tuple[asyncio.Future[Any], ...] = (talk, tasks[2])
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(talk, *tasks, return_exceptions=True)
        del talk, either, task  # their errors know this frame: a circle, which would stay until it is looked for
        tasks.clear()
    await socket.send_json({"type": "end", "seconds": way.stream.seconds_given})
    await socket.close()


class Idle:
    """Sees that a client does something, with one clock for all of its messages.

    Args:
        seconds: that a client may neither send nor read what is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is waited for meanwhile."""
        self._since[what] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            del self._since[what]

    async def watch(self) -> None:
        """Look now and then.

        Raises:
            Fault: where something has been waited for too long.
        """
        while True:
            await asyncio.sleep(self._seconds / 4)
            now = asyncio.get_running_loop().time()
            for what, since in self._since.items():
                if now - since > self._seconds:
                    raise Fault(408, f"nothing has {what} for {self._seconds:g} s", "idle")


async def take_all(socket: WebSocket, way: Way, idle: Idle) -> None:
    """Read messages into the stream, up to the end of its input."""
    while True:
        with idle.waiting("come"):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if message.get("bytes") is not None:
            data = way.taken(message["bytes"])
        else:
            told = order(message["text"])
            if told["type"] == "end":
                break
            if not isinstance(way, Decoding):
                raise Fault(400, 'expected binary messages, or {"type": "end"}', "bad_message")
            data = np.atleast_2d(integers(told.get("codes")))
        await way.stream.put(data)
    if (rest := way.last_taken()) is not None:
        await way.stream.put(rest)
    way.stream.end()


async def give_all(socket: WebSocket, way: Way, idle: Idle) -> None:
    """Send what becomes of the input; waits while the client does not read."""
    async for piece in way.stream.pieces():
        if data := way.given(piece):
            with idle.waiting("been read"):
                await socket.send_bytes(data)
    if data := way.last_given():
        with idle.waiting("been read"):
            await socket.send_bytes(data)


async def fail(socket: WebSocket, error: Exception) -> None:
    """Tell what has gone wrong, as far as somebody listens, and close."""
    fault = fault_of(error)
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    try:
        await asyncio.wait_for(socket.send_json({"type": "error", **fault.body}), 1.0)
        await asyncio.wait_for(socket.close(CLOSE_CODES.get(fault.status, 1011), fault.code), 1.0)
    except (RuntimeError, OSError, WebSocketDisconnect, asyncio.TimeoutError):
        pass  # nobody does


def order(text: str) -> dict[str, Any]:
    """Read a message of text.

    Raises:
        Fault: where it is not understood.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("type") not in ("end", "codes"):
        raise Fault(400, 'expected {"type": "end"} or {"type": "codes", "codes": [...]}', "bad_message")
    return told


def values(message: bytes, dtype: np.dtype[Any], each: int) -> np.ndarray:
    """Read a binary message of little-endian values, so many a step.

    Raises:
        Fault: where it ends within a step.
    """
    if len(message) % (dtype.itemsize * each):
        raise Fault(400, f"a message of {len(message)} bytes: expected {each} x {dtype.name} a step", "bad_message")
    return np.frombuffer(message, dtype)


def code_type(codebook_sizes: tuple[int, ...]) -> np.dtype[Any]:
    """The type that codes are sent as: uint16, or uint32 where that is too small."""
    return np.dtype("<u2" if max(codebook_sizes) <= 1 << 16 else "<u4")


def whole_number(query: dict[str, str], name: str, default: int) -> int:
    """Read a whole number from a query.

    Raises:
        Fault: where it is none.
    """
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Fault(400, f"{name}={text[:40]!r}: expected a whole number", "invalid_value", param=name)
    return int(text)
