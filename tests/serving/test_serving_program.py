"""`xcodec serve` as a program: it begins, it lets those finish who have begun, it ends."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

import builders
import llasa_builders
from serving_builders import said_by, same_sound
from xcodec import Codec
from xcodec.cli.app import app
from xcodec.serving.service import windows_of
from xcodec.streaming import StreamDecoder

CODES = np.random.default_rng(0).integers(65536, size=60)


@contextmanager
def program(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The program on a free port, once it takes requests."""
    command = [sys.executable, "-m", "xcodec", "serve", "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stderr is not None
            line = next((line for line in running.stderr if "serving" in line), "")
            found = re.search(r"serving mini at http://127\.0\.0\.1:(\d+)", line)
            assert found, line
            yield running, int(found[1])
        finally:
            running.kill()


def test_asked_to_end_it_refuses_what_is_new_and_finishes_what_has_begun() -> None:
    with program("--threads", "1") as (running, port):

        async def talk() -> bytes:
            async with connect(f"ws://127.0.0.1:{port}/v1/codec/stream") as stream:
                await stream.recv()
                running.send_signal(signal.SIGTERM)
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    while (health := await client.get("/health")).status_code == 200:
                        await asyncio.sleep(0.02)
                    assert health.json()["status"] == "draining"
                    refused = await client.post("/v1/codec/decode", content=b"[1]")
                    assert refused.json()["error"]["code"] == "shutting_down"
                hearing = asyncio.ensure_future(said_by(stream))
                await stream.send(CODES.astype("<u2").tobytes())
                await stream.send('{"type": "end"}')
                return (await hearing)[1]

        assert len(asyncio.run(talk())) == 2 * 320 * len(CODES)
        assert running.wait(30) == 0


def test_a_port_that_is_taken_is_an_error_before_anything_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "cannot listen on 127.0.0.1" in result.stderr


@pytest.mark.gradients
def test_a_sentence_that_a_language_model_has_learned_is_streamed_to_the_client_of_openai(
    codec: Codec, tmp_path: Path
) -> None:
    text = "he was not an ill disposed young man"
    codes = codec.encode(builders.RECORDINGS[1])
    llasa_builders.write_learned(tmp_path / "learned", codec, {text: builders.RECORDINGS[1]}, loss_below=0.02)
    with (
        program("--threads", "1", "--llm", str(tmp_path / "learned")) as (running, port),
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(
            model="learned", voice="default", input=text, response_format="wav", extra_body={"temperature": 0}
        ) as answer,
    ):
        pieces = list(answer.iter_bytes())
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    assert len(pieces) > 1
    decoder = StreamDecoder(codec, *windows_of(codec.model))
    parts = [part for part in (decoder.push(codes.ids), decoder.flush()) if part is not None]
    expected = np.concatenate([part.samples[0] for part in parts])
    assert same_sound(np.frombuffer(b"".join(pieces)[44:], "<i2"), (expected.clip(-1, 1) * 32767).round())
