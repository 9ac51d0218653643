"""Streams over WebSockets: what each gets, whoever else there is and whatever they do."""

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import builders
from serving_builders import Running, said_by, serving, streamed
from xcodec import Audio, Codec, Xcodec2FeatureExtractor
from xcodec.serving.limits import Limits
from xcodec.serving.service import ENCODED_CHUNK, LOOKAHEAD, windows_of
from xcodec.streaming import StreamDecoder, StreamEncoder

SPEECH = Audio.read(builders.RECORDINGS[1])


@pytest.fixture(scope="module")
def server(codec: Codec) -> Iterator[Running]:
    with serving(codec, Limits(streams=24, idle_seconds=20.0, pending_seconds=4.0)) as running:
        yield running


def random_ids(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(65536, size=(1, count))


def alone(codec: Codec, ids: np.ndarray) -> np.ndarray:
    """What a decoder of one's own makes of codes."""
    decoder = StreamDecoder(codec, *windows_of(codec.model))
    pieces = [piece for piece in (decoder.push(ids), decoder.flush()) if piece is not None]
    return np.concatenate([piece.samples[0] for piece in pieces])


def test_many_at_once_get_what_each_gets_alone_and_bit_for_bit_where_windows_are_always_the_same() -> None:
    model = builders.tiny_model()
    model.pack_weights()  # as those of a checkpoint are
    codec = Codec(model, Xcodec2FeatureExtractor())
    lengths = [3, 9, 10, 16, 40, 75]
    clips = [random_ids(count, seed) for seed, count in enumerate(lengths)]

    async def all_of_them(url: str) -> list[np.ndarray]:
        sizes = [1, 2, 3, 5, 7, 50]
        return await asyncio.gather(
            *(streamed(url, ids, size=size, pause=0.002) for ids, size in zip(clips, sizes, strict=True))
        )

    with serving(codec, Limits(streams=24)) as running:
        together = asyncio.run(all_of_them(running.socket_url))
    for ids, found in zip(clips, together, strict=True):
        assert np.array_equal(found, alone(codec, ids))


def test_with_a_causal_decoder_the_first_audio_comes_after_five_codes_and_all_is_the_whole() -> None:
    codec = Codec(builders.tiny_causal(), Xcodec2FeatureExtractor())
    ids = random_ids(60, 0)

    async def first_and_all(url: str) -> tuple[bytes, np.ndarray]:
        async with connect(f"{url}?response_format=f32") as socket:
            await socket.recv()
            await socket.send(ids[0, :5].astype("<u2").tobytes())
            first = await asyncio.wait_for(socket.recv(), 60)
        assert isinstance(first, bytes)
        return first, await streamed(url, ids, size=3)

    with serving(codec) as running:
        first, found = asyncio.run(first_and_all(running.socket_url))
    whole = codec.decode_ids([ids])[0]
    assert np.allclose(np.frombuffer(first, "<f4"), whole[:320], atol=1e-5)
    assert np.allclose(found, whole, atol=1e-5)


def test_audio_becomes_the_codes_of_a_stream_of_its_own(codec: Codec, server: Running) -> None:
    samples = SPEECH.samples[0]
    encoder = StreamEncoder(codec, lookahead=LOOKAHEAD, chunk=ENCODED_CHUNK)
    expected = np.concatenate([encoder.push(samples), encoder.flush()], 1)

    async def spoken() -> list[tuple[list[dict[str, object]], bytes]]:
        async def one() -> tuple[list[dict[str, object]], bytes]:
            async with connect(f"{server.socket_url}?direction=encode&input_format=f32") as socket:
                hearing = asyncio.ensure_future(said_by(socket))
                for start in range(0, len(samples), 1600):
                    await socket.send(samples[start : start + 1600].astype("<f4").tobytes())
                await socket.send('{"type": "end"}')
                return await hearing

        return await asyncio.gather(one(), one())

    for told, data in asyncio.run(spoken()):
        assert [each["type"] for each in told] == ["open", "end"]
        assert np.array_equal(np.frombuffer(data, "<u2"), expected[0])


def test_audio_of_another_rate_becomes_as_many_codes(server: Running, codec: Codec) -> None:
    pcm = (SPEECH.resample(48000).samples[0] * 32767).astype("<i2").tobytes()

    async def spoken() -> bytes:
        async with connect(f"{server.socket_url}?direction=encode&sampling_rate=48000") as socket:
            hearing = asyncio.ensure_future(said_by(socket))
            for start in range(0, len(pcm), 9600):
                await socket.send(pcm[start : start + 9600])
            await socket.send('{"type": "end"}')
            return (await hearing)[1]

    assert len(asyncio.run(spoken())) == 2 * codec.encode(SPEECH).ids.shape[1]


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_a_stream_comes_as_a_file_too(server: Running, form: str) -> None:
    async def heard() -> bytes:
        async with connect(f"{server.socket_url}?response_format={form}") as socket:
            hearing = asyncio.ensure_future(said_by(socket))
            await socket.send(json.dumps({"type": "codes", "codes": random_ids(60, 0)[0].tolist()}))
            await socket.send('{"type": "end"}')
            return (await hearing)[1]

    data = asyncio.run(heard())
    if form == "wav":
        assert len(data) == 44 + 2 * 60 * 320
    else:
        assert Audio.read(data).duration == pytest.approx(1.2, abs=0.15)  # MP3 begins with silence


@pytest.mark.parametrize(
    ("query", "message", "told"),
    [
        ("", b"\x00", "a message of 1 bytes"),
        ("", "rubbish", 'expected {"type": "end"}'),
        ("", '{"type": "codes", "codes": [65536]}', "65536"),
        ("", '{"type": "codes", "codes": "all"}', "whole numbers"),
        ("direction=sideways", b"", "expected decode or encode"),
        ("chunk=0", b"", "at least 1"),
        ("chunk=9999", b"", "a window of"),
        ("lookahead=few", b"", "expected a whole number"),
        ("codebooks=2", b"", "this codec has 1 codebooks"),
        ("response_format=aac", b"", "expected one of"),
        ("direction=encode&bandwidth=9", b"", "kbit/s"),
        ("direction=encode&input_format=f32", np.array([np.nan], "<f4").tobytes(), "NaN"),
        ("direction=encode", '{"type": "codes", "codes": [1]}', "expected binary messages"),
    ],
)
def test_rubbish_ends_its_own_stream_with_an_error(
    server: Running, query: str, message: bytes | str, told: str
) -> None:
    async def answer() -> list[dict[str, object]]:
        async with connect(f"{server.socket_url}?{query}") as socket:
            hearing = asyncio.ensure_future(said_by(socket))
            with suppress(ConnectionClosed):
                await socket.send(message)
            try:
                return (await hearing)[0]
            except ConnectionClosed:
                return []

    last = asyncio.run(answer())[-1]
    assert last["type"] == "error"
    assert told in last["error"]["message"]  # type: ignore[index]
    assert server.service.scheduler.num_open == 0


def test_clients_that_vanish_stall_and_send_rubbish_disturb_nobody(codec: Codec, server: Running) -> None:
    clips = [random_ids(50, seed) for seed in range(4)]

    async def vanish(seed: int) -> None:
        socket = await connect(server.socket_url)
        await socket.send(random_ids(30, seed).astype("<u2").tobytes())
        socket.transport.abort()

    async def rubbish() -> None:
        async with connect(server.socket_url) as socket:
            await socket.send(b"\x00\x00\x00")
            await socket.wait_closed()

    async def all_of_them() -> list[np.ndarray]:
        stalled = await connect(server.socket_url)  # says nothing, and reads nothing
        honest = asyncio.gather(*(streamed(server.socket_url, ids, size=4, pause=0.005) for ids in clips))
        await asyncio.gather(*(vanish(seed) for seed in range(4)), *(rubbish() for _ in range(4)))
        found = await honest
        await stalled.close()
        return list(found)

    for ids, found in zip(clips, asyncio.run(all_of_them()), strict=True):
        assert np.allclose(found, alone(codec, ids), atol=1e-5)


def test_nothing_is_kept_of_those_who_have_left(codec: Codec) -> None:
    """Neither streams nor tensors, though the collector of circles, which comes when it likes, is told not to come."""
    codes = random_ids(60, 0).astype("<u2").tobytes()

    async def honest(socket: ClientConnection) -> None:
        await socket.send(codes)
        await socket.send('{"type": "end"}')
        await said_by(socket)

    async def vanishing(socket: ClientConnection) -> None:
        await socket.send(codes)
        for _ in range(2):  # what is open, and a piece: the model carries something on
            await socket.recv()
        socket.transport.abort()

    async def rubbish(socket: ClientConnection) -> None:
        await socket.send(codes)
        await socket.send(b"\x00")
        await socket.wait_closed()

    async def idle(socket: ClientConnection) -> None:
        await socket.send(codes)
        await said_by(socket)

    async def come_and_leave(url: str, kind: Callable[[ClientConnection], Awaitable[None]]) -> None:
        async with connect(url) as socket:
            await kind(socket)

    async def encoded(url: str) -> None:
        async with connect(f"{url}?direction=encode&input_format=f32") as socket:
            await socket.send(SPEECH.samples[0].tobytes())
            for _ in range(2):
                await socket.recv()
            socket.transport.abort()

    with serving(codec, Limits(idle_seconds=2.0)) as running, circles_kept():
        before = held()
        for kind in (honest, vanishing, rubbish, idle):
            asyncio.run(come_and_leave(running.socket_url, kind))
        asyncio.run(encoded(running.socket_url))
        for _ in range(200):  # the thread lets go of a stream after its step
            if not running.service.scheduler.num_open and held() == before:
                break
            time.sleep(0.05)
        assert running.service.scheduler.num_open == 0
        assert held() == before


@contextmanager
def circles_kept() -> Iterator[None]:
    """Keep, while the block runs, what nobody knows but itself."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held() -> tuple[int, int]:
    """How many streams there are, and how many bytes of tensors, beside those that were there when a server began."""
    known = gc.get_objects()
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in known if is_tensor(each)}
    return sum(type(each) in (StreamDecoder, StreamEncoder) for each in known), sum(storages.values())


def is_tensor(each: object) -> bool:
    return type(each) is torch.Tensor  # isinstance() would ask a proxy of what has gone


def test_one_who_reads_nothing_is_not_read_from_for_ever(server: Running, codec: Codec) -> None:
    """A client that sends without end and does not read: what the server keeps for it stays bounded."""
    limits = server.service.limits

    async def flood() -> int:
        async with connect(server.socket_url, max_queue=1, write_limit=1024, close_timeout=0.1) as socket:
            sent = 0

            async def send_on() -> None:
                nonlocal sent
                while True:
                    await socket.send(random_ids(50, sent).astype("<u2").tobytes())
                    sent += 50
                    await asyncio.sleep(0)  # or the clock would not be looked at before the connection is full

            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(send_on(), 1.5)
            [stream] = server.service.scheduler._streams
            kept = stream._put / stream._rate - stream._done_seconds
            assert kept <= limits.pending_seconds + 2
            socket.transport.abort()
            return sent

    assert asyncio.run(flood()) > 0


def test_streams_beyond_the_limit_are_asked_to_come_again(codec: Codec) -> None:
    with serving(codec, Limits(streams=1)) as running:

        async def two() -> dict[str, object]:
            async with connect(running.socket_url) as first:
                await first.recv()
                async with connect(running.socket_url) as second:
                    told = json.loads(await second.recv())
                    await second.wait_closed()
                    assert second.close_code == 1013
                    return told

        assert asyncio.run(two())["error"]["code"] == "server_busy"  # type: ignore[index]


def test_one_who_does_nothing_is_asked_to_leave(codec: Codec) -> None:
    with serving(codec, Limits(idle_seconds=0.3)) as running:

        async def wait() -> list[dict[str, object]]:
            async with connect(running.socket_url) as socket:
                try:
                    return (await said_by(socket))[0]
                except ConnectionClosed:
                    return []

        assert asyncio.run(wait())[-1]["error"]["code"] == "idle"  # type: ignore[index]


def test_a_stream_has_an_end(codec: Codec) -> None:
    with serving(codec, Limits(seconds=1.0)) as running:

        async def longer() -> list[dict[str, object]]:
            async with connect(running.socket_url) as socket:
                hearing = asyncio.ensure_future(said_by(socket))
                await socket.send(random_ids(51, 0).astype("<u2").tobytes())
                return (await hearing)[0]

        assert asyncio.run(longer())[-1]["error"]["code"] == "too_many_seconds"  # type: ignore[index]
        as_long = random_ids(50, 0)
        assert np.allclose(asyncio.run(streamed(running.socket_url, as_long, size=1)), alone(codec, as_long), atol=1e-5)


def test_a_socket_needs_the_key_which_a_browser_gives_as_a_protocol(codec: Codec) -> None:
    with serving(codec, api_key="secret") as running:

        async def open_all() -> None:
            with pytest.raises(InvalidStatus):
                await connect(running.socket_url)
            async with connect(running.socket_url, subprotocols=["xcodec", "xcodec-api-key.secret"]) as socket:  # type: ignore[list-item]
                assert socket.subprotocol == "xcodec"
            async with connect(running.socket_url, additional_headers={"Authorization": "Bearer secret"}) as socket:
                assert json.loads(await socket.recv())["type"] == "open"

        asyncio.run(open_all())
