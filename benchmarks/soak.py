"""Clients of every kind at once, for a minute: whether the honest get what is theirs, and what the server keeps.

    python benchmarks/soak.py [--streams 50] [--seconds 60] [--threads 2] [--pace 1.0] [--model FOLDER_OR_ID]

Of the streams three in five are honest: they send random codes at `--pace` times real time, and compare what comes with
what a `StreamDecoder` of their own makes of these codes. The others vanish in the middle, or neither read nor say
anything, or send rubbish, and come again. The memory after ten seconds is that of a server that is warm. Exit code 1:
audio was lost or changed, a stream or a job stayed open, or memory grew by more than a fifth.
"""

import argparse
import asyncio
import multiprocessing
import re
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from serving import codec_of, figures, serve
from xcodec.serving.service import windows_of
from xcodec.streaming import StreamDecoder

FRAMES = 150  # of an honest stream
CLIPS = 4
WARM_SECONDS = 10.0


def clip(size: int, number: int) -> np.ndarray:
    """The codes of a clip."""
    return np.random.default_rng(number).integers(size, size=FRAMES).astype("<u2")


def alone(model: str | None, size: int) -> list[bytes]:
    """What each clip is to become."""
    codec = codec_of(model, "cpu")
    whole = []
    for number in range(CLIPS):
        decoder = StreamDecoder(codec, *windows_of(codec.model))
        parts = [decoder.push(clip(size, number).astype(np.int64)), decoder.flush()]
        whole.append(b"".join(part.samples[0].astype("<f4").tobytes() for part in parts if part is not None))
    return whole


def same_sound(heard: bytes, expected: bytes) -> bool:
    """Whether samples are the same within rounding, to which it matters how many codes were there at a time."""
    if len(heard) != len(expected):
        return False
    return np.allclose(np.frombuffer(heard, "<f4"), np.frombuffer(expected, "<f4"), atol=1e-5)


class Clients:
    """All clients of one server.

    Args:
        about: the server.
        expected: what each clip is to become.
        seconds: after which nobody comes again.
        pace: times real time.

    Attributes:
        served: streams of honest clients that came to their end.
        wrong: those that did not get what was theirs.
    """

    def __init__(self, about: dict[str, Any], expected: list[bytes], seconds: float, pace: float) -> None:
        self.url = f"ws://127.0.0.1:{about['port']}/v1/codec/stream?response_format=f32"
        self.about, self.expected, self.pace = about, expected, pace
        self.end = time.monotonic() + seconds
        self.served = self.wrong = 0

    async def come_again(self, number: int) -> None:
        """Be one client after the other."""
        kinds = (self.honest, self.honest, self.honest, self.vanish, self.stall if number % 2 else self.rubbish)
        while time.monotonic() < self.end:
            await kinds[number % len(kinds)](number)

    async def honest(self, number: int) -> None:
        """Send a clip, and compare."""
        which = number % CLIPS
        heard = bytearray()
        with suppress(WebSocketException, OSError):
            async with connect(self.url, compression=None) as socket:

                async def speak() -> None:
                    codes = clip(self.about["size"], which)
                    for start in range(0, FRAMES, 5):
                        await socket.send(codes[start : start + 5].tobytes())
                        await asyncio.sleep(5 / self.about["frame_rate"] / self.pace)
                    await socket.send('{"type": "end"}')

                speaking = asyncio.ensure_future(speak())
                async for message in socket:
                    if isinstance(message, bytes):
                        heard += message
                await speaking
        self.served += 1
        self.wrong += not same_sound(bytes(heard), self.expected[which])

    async def vanish(self, number: int) -> None:
        """Leave without a word."""
        with suppress(WebSocketException, OSError):
            socket = await connect(self.url, compression=None)
            await socket.send(clip(self.about["size"], number % CLIPS)[:40].tobytes())
            await asyncio.sleep(0.3)
            socket.transport.abort()

    async def stall(self, number: int) -> None:
        """Send, and read nothing."""
        with suppress(WebSocketException, OSError):
            socket = await connect(self.url, compression=None, max_queue=1)
            for _ in range(4):
                await socket.send(clip(self.about["size"], number % CLIPS).tobytes())
            await asyncio.sleep(5.0)
            socket.transport.abort()

    async def rubbish(self, number: int) -> None:
        """Send what is no code."""
        for message in (b"\x00", "rubbish", '{"type": "codes", "codes": [-1]}', '{"type": "codes"'):
            with suppress(WebSocketException, OSError):
                async with connect(self.url, compression=None) as socket:
                    await socket.send(message)
                    await socket.wait_closed()
        await asyncio.sleep(0.1 * (number % 3))


def figure(told: str, name: str) -> float:
    """One of a server's figures."""
    return float(re.findall(rf"^{name} (.*)", told, re.MULTILINE)[0])


async def soak(about: dict[str, Any], expected: list[bytes], arguments: argparse.Namespace) -> bool:
    """Let all come, and tell whether all was well."""
    clients = Clients(about, expected, arguments.seconds, arguments.pace)
    coming = [asyncio.ensure_future(clients.come_again(number)) for number in range(arguments.streams)]
    await asyncio.sleep(min(WARM_SECONDS, arguments.seconds / 2))
    warm = figure(await asyncio.to_thread(figures, about), "process_resident_memory_bytes")
    await asyncio.gather(*coming)
    for _ in range(100):
        told = await asyncio.to_thread(figures, about)
        left = figure(told, "xcodec_open_streams"), figure(told, "xcodec_jobs")
        if not any(left):
            break
        await asyncio.sleep(0.1)
    now = figure(told, "process_resident_memory_bytes")
    print(f"{clients.served} honest streams, {clients.wrong} of them without what was theirs")
    print(f"memory: {warm / 1e6:.0f} MB when warm, {now / 1e6:.0f} MB at the end")
    print(f"left open: {left[0]:.0f} streams, {left[1]:.0f} jobs")
    return bool(clients.served) and not clients.wrong and not any(left) and now < 1.2 * warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pace", type=float, default=1.0, help="times real time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", help="a folder or a hub id; mini if not given")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=("shared", arguments.model, "cpu", arguments.threads, there))
    server.daemon = True
    server.start()
    about = here.recv()
    is_well = asyncio.run(soak(about, alone(arguments.model, about["size"]), arguments))
    server.terminate()
    server.join()
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
