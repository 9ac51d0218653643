"""What a server gives to many streams at once, through WebSockets.

    python benchmarks/serving.py [--streams 1 4 16 50 75] [--ways shared alone windows] [--seconds 6] [--cap 15]
                                 [--pace 1.0] [--model FOLDER_OR_ID | --model released] [--threads 2] [--device cpu]
                                 [--json FILE]

Three servers, each in a process of its own, are asked the same by clients in another:

  shared    as `xcodec serve` is: streams that are alike share a step
  alone     one stream after the other: each step is one stream's
  windows   steps are shared, but each window shows the decoder the past again, as servers without `StreamDecoder` do

A client opens a stream, sends random codes, five at a time, at `--pace` times real time (0 sends all at once), and
reads audio. Clients begin one after the other within the first second. After `--cap` seconds all leave, and the figures
are of what has come until then; a way that cannot keep up with so many is not asked for more.

  speed     seconds of audio that all get in a second; at real-time pace no more than there are streams
  first     from opening a stream to its first audio. At real-time pace some time passes before the codes are there
  after     the same from sending the last code that the first audio needs
  wait      from sending the last code that a piece of audio needs to the piece: how late the server is
  starved   streams that got a piece more than a second late, or did not get it
  cpu       seconds of a processor that the server takes for a second of audio; what is below a thread's share keeps up
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import re
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from websockets.asyncio.client import connect

from xcodec import Audio, Codec, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.serving.app import create_app
from xcodec.serving.limits import Limits
from xcodec.serving.scheduler import OpenStream
from xcodec.serving.server import listen, server_for
from xcodec.serving.service import CHUNKS, LOOKAHEAD, Service

WAYS = ("shared", "alone", "windows")
FRAMES = 5  # in a message
CONTEXT = 100  # frames of the past that windows show
LATE = 1.0  # seconds


class WindowStream:
    """A stream whose windows show the past again."""

    def __init__(self, codec: Codec) -> None:
        self.codec, self.ids, self.done, self.pieces, self.ended = codec, np.zeros((1, 0), np.int64), 0, 0, False

    def take(self, ids: np.ndarray) -> None:
        """Take codes."""
        self.ids = np.concatenate([self.ids, ids], 1)

    def end(self) -> None:
        """Say that no more come."""
        self.ended = True

    def window(self) -> tuple[int, int, int] | None:
        """The first frame that is shown, and the frames after the last that is final and that is shown."""
        stop = self.done + CHUNKS[min(self.pieces, len(CHUNKS) - 1)]
        last, there = stop + LOOKAHEAD, self.ids.shape[1]
        first = max(0, self.done - CONTEXT)
        if last <= there:
            return first, stop, last
        return (first, there, there) if self.ended and there > self.done else None

    @property
    def kind(self) -> Hashable | None:
        """Windows of one length are a batch."""
        window = self.window()
        return None if window is None else window[2] - window[0]

    @staticmethod
    def step(streams: list["WindowStream"]) -> list[Audio]:
        """Decode a window of each."""
        windows = [stream.window() for stream in streams]
        shown = [stream.ids[:, w[0] : w[2]] for stream, w in zip(streams, windows, strict=True) if w]
        return [
            stream.cut(samples, window)
            for stream, samples, window in zip(streams, streams[0].codec.decode_ids(shown), windows, strict=True)
            if window
        ]

    def cut(self, samples: np.ndarray, window: tuple[int, int, int]) -> Audio:
        """The final frames of a window."""
        first, stop, last = window
        hop = len(samples) // (last - first)
        piece = samples[(self.done - first) * hop : (stop - first) * hop]
        self.done, self.pieces = stop, self.pieces + 1
        return Audio(piece, round(hop * self.codec.frame_rate))


class WindowService(Service):
    """A service whose streams show the past again."""

    def open_decoder(self, *_: Any) -> OpenStream:
        """Begin a stream."""
        return self.scheduler.open(WindowStream(self.codec), self.codec.frame_rate)


def codec_of(name: str | None, device: str) -> Codec:
    """A model by its name; "released" is X-Codec2's decoder at its released size, with random weights."""
    if name != "released":
        return Codec.from_pretrained(name, device=device)
    torch.manual_seed(0)
    model = Xcodec2Model(Xcodec2Config(), decoder_only=True).eval().to(device)
    model.pack_weights()  # as Codec.from_pretrained does
    return Codec(model, Xcodec2FeatureExtractor())


def serve(way: str, model: str | None, device: str, threads: int, told: Connection) -> None:
    """Serve until the process is ended."""
    torch.set_num_threads(threads)
    codec = codec_of(model, device)
    kind = WindowService if way == "windows" else Service
    service = kind(codec, Limits(streams=1000, batch=1 if way == "alone" else Limits.batch))
    listening = listen("127.0.0.1", 0)
    about = {"port": listening.getsockname()[1], "model": repr(codec), "size": codec.codebook_sizes[0]}
    lookahead = LOOKAHEAD if kind is WindowService else service.windows.lookahead
    about |= {"frame_rate": codec.frame_rate, "rate": codec.output_sampling_rate, "lookahead": lookahead}
    server_for(create_app(service), service, 1.0, lambda: told.send(about)).run(sockets=[listening])


@dataclass
class Heard:
    """What a client has seen: when it opened, sent each frame, and got each piece, in seconds; and its samples."""

    opened: float = 0.0
    sent: list[float] = field(default_factory=list)
    got: list[tuple[float, int]] = field(default_factory=list)


async def listener(about: dict[str, Any], number: int, begin: float, frames: int, pace: float, heard: Heard) -> None:
    """One client, which keeps in `heard` what it sees."""
    ids = np.random.default_rng(number).integers(about["size"], size=frames).astype("<u2")
    await asyncio.sleep(begin)
    heard.opened = time.perf_counter()
    async with connect(f"ws://127.0.0.1:{about['port']}/v1/codec/stream", compression=None) as socket:

        async def speak() -> None:
            started = time.perf_counter()
            for start in range(0, frames, FRAMES):
                due = started + (start + FRAMES) / about["frame_rate"] / pace if pace else started
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await socket.send(ids[start : start + FRAMES].tobytes())
                heard.sent += [time.perf_counter()] * len(ids[start : start + FRAMES])
            await socket.send('{"type": "end"}')

        speaking = asyncio.ensure_future(speak())
        async for message in socket:
            if isinstance(message, bytes):
                heard.got.append((time.perf_counter(), len(message) // 2))
        await speaking


def waits(heard: Heard, hop: int, lookahead: int) -> Iterator[float]:
    """How long each piece took since the last code that it needs was sent."""
    frames = 0
    for at, samples in heard.got:
        frames += samples // hop
        yield at - heard.sent[min(frames + lookahead, len(heard.sent)) - 1]


def figures(about: dict[str, Any]) -> str:
    """What the server tells of itself."""
    told: str = urlopen(f"http://127.0.0.1:{about['port']}/metrics").read().decode()
    return told


def processor_seconds(about: dict[str, Any]) -> float:
    """What the server has taken so far."""
    return float(re.findall(r"^process_cpu_seconds_total (.*)", figures(about), re.MULTILINE)[0])


async def measure(about: dict[str, Any], streams: int, seconds: float, pace: float, cap: float) -> dict[str, Any]:
    """What so many clients get."""
    frames, hop = round(seconds * about["frame_rate"]), round(about["rate"] / about["frame_rate"])
    heard = [Heard() for _ in range(streams)]
    clients = [
        asyncio.ensure_future(listener(about, number, number / streams, frames, pace, each))
        for number, each in enumerate(heard)
    ]
    before, started = processor_seconds(about), time.perf_counter()
    _, late_ones = await asyncio.wait(clients, timeout=cap)
    took, worked = time.perf_counter() - started, processor_seconds(about) - before
    for client in late_ones:
        client.cancel()
    for failed in await asyncio.gather(*clients, return_exceptions=True):
        if isinstance(failed, Exception):
            raise failed
    while re.search(r"^xcodec_open_streams [^0]", figures(about), re.MULTILINE):  # those who left are still known
        await asyncio.sleep(0.1)
    got = sum(samples for each in heard for _, samples in each.got) / about["rate"]
    assert late_ones or abs(got - streams * seconds) < 1e-6, "audio is lost"
    late = [list(waits(each, hop, about["lookahead"])) for each in heard]
    firsts = [each.got[0][0] - each.opened for each in heard if each.got] or [float("nan")]
    after = [each[0] for each in late if each] or [float("nan")]
    all_waits = np.concatenate(late) if any(late) else np.array([np.nan])
    found: dict[str, Any] = {"streams": streams, "speed": got / took, "cpu": worked / max(got, 1e-9)}
    for name, values in (("first", firsts), ("after", after), ("wait", all_waits)):
        found |= {f"{name}_p{share}": float(np.percentile(values, share)) for share in (50, 99)}
    starved = sum(client in late_ones or max(each) > LATE for client, each in zip(clients, late, strict=True))
    return {**found, "starved": starved}


HEADER = "| way | streams | speed | first p50, ms | p99 | after p50, ms | p99 | wait p50, ms | p99 | starved | cpu |"
LINE = "| {way} | {streams} | {speed:.1f} | {first_p50:.0f} | {first_p99:.0f} | {after_p50:.0f} | {after_p99:.0f} "
LINE += "| {wait_p50:.0f} | {wait_p99:.0f} | {starved} | {cpu:.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4, 16, 50, 75])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of audio of each stream")
    parser.add_argument("--cap", type=float, default=15.0, help="seconds that so many streams may take")
    parser.add_argument("--pace", type=float, default=1.0, help="times real time; 0 sends all at once")
    parser.add_argument("--model", help="a folder, a hub id, or released: its size; the built-in one if not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    versions = {name: version(name) for name in ("xcodec", "torch", "uvicorn", "websockets")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {arguments.threads} threads"
    print(f"{machine}; {versions}")
    rows: list[dict[str, Any]] = []
    record: dict[str, Any] = {"machine": machine, "versions": versions, "pace": arguments.pace, "rows": rows}
    print(f"\n{HEADER}\n{'|---' * (HEADER.count('|') - 1)}|")
    context = multiprocessing.get_context("spawn")
    for way in arguments.ways:
        here, there = context.Pipe()
        given = (way, arguments.model, arguments.device, arguments.threads, there)
        server = context.Process(target=serve, args=given, daemon=True)
        server.start()
        about = here.recv()
        record["model"] = about["model"]
        asyncio.run(measure(about, 2, 2.0, 0.0, 60.0))  # so that nothing is done for the first time
        for streams in arguments.streams:
            found = asyncio.run(measure(about, streams, arguments.seconds, arguments.pace, arguments.cap))
            rows.append({"way": way, **found})
            in_ms = {name: value * (1000 if "_p" in name else 1) for name, value in found.items()}
            print(LINE.format(way=way, **in_ms), flush=True)
            if 2 * found["starved"] > streams:
                break
        server.terminate()
        server.join()
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
