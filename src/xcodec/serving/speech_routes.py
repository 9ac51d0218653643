"""Speech as OpenAI's service has it: /v1/audio/speech and /v1/audio/voices."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from xcodec.audio import Audio
from xcodec.serving.faults import Fault, fault_of
from xcodec.serving.jobs import while_connected
from xcodec.serving.scheduler import OpenStream
from xcodec.serving.service import Service
from xcodec.serving.sound import SoundFormat, SoundWriter, sound_format
from xcodec.serving.tempo import SPEEDS, Tempo
from xcodec.serving.uploads import read_upload
from xcodec.serving.voices import DEFAULT

__all__ = ["router"]

PCM_RATE = 24_000
"""In Hz: what OpenAI's clients take plain PCM for."""


class VoiceReference(BaseModel):
    """A voice by its id, as newer clients of OpenAI write it."""

    id: str


class SpeechRequest(BaseModel):
    """What is to be said, and how. What OpenAI's service does not have comes by `extra_body` of its client."""

    model_config = ConfigDict(extra="forbid")

    input: str
    model: str | None = None
    voice: str | VoiceReference = DEFAULT
    response_format: str = "mp3"
    speed: float = Field(1.0, ge=SPEEDS[0], le=SPEEDS[1])
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = Field(None, ge=0)
    max_seconds: float | None = None

    def how(self) -> dict[str, Any]:
        """Give what a client has said of sampling, as keyword arguments of `Llasa.codes`."""
        names = ("temperature", "top_p", "top_k", "repetition_penalty", "seed", "max_seconds")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def router(service: Service) -> APIRouter:
    """Make the routes."""
    routes, limits = APIRouter(prefix="/v1/audio", tags=["speech"]), service.limits

    def begin(asked: SpeechRequest) -> OpenStream:
        """Begin to say what is asked for."""
        speaker = service.speaker
        if speaker is None:
            raise Fault(
                501, "this server has no language model; start it with --llm or --upstream", "no_language_model"
            )
        check(asked, speaker.name)
        voice = service.voices.find(asked.voice if isinstance(asked.voice, str) else asked.voice.id)
        how = {"max_seconds": limits.seconds} | asked.how()
        how["max_seconds"] = min(how["max_seconds"], limits.seconds)
        if voice is not None:
            how |= {"voice": voice.codes, "voice_text": voice.text}
        stream = service.open_decoder()
        try:
            service.speeches.begin(speaker, asked.input, how, stream)
        except Fault:
            stream.close()
            raise
        return stream

    def check(asked: SpeechRequest, name: str) -> None:
        """Refuse what cannot be said so."""
        for wrong, param, message in (
            (not asked.input.strip(), "input", "the text is empty; there is nothing to say"),
            (len(asked.input) > limits.text, "input", f"{len(asked.input)} characters: {limits.text} are taken"),
            (asked.model not in (None, name), "model", f"there is no model {asked.model!r} here; there is {name}"),
            (bool(asked.instructions), "instructions", "this server's model takes none"),
            (asked.response_format == "f32", "response_format", "expected mp3, opus, flac, wav or pcm"),
        ):
            if wrong:
                raise Fault(400, message, "invalid_value", param=param)

    @routes.post("/speech")
    async def speech(asked: SpeechRequest, request: Request) -> Response:
        """Say a text; the audio leaves while it is made."""
        service.check_open()
        form, rate = sound_format(asked.response_format), service.codec.output_sampling_rate
        tempo = None if asked.speed == 1 else Tempo(asked.speed, rate)
        stream = begin(asked)
        pieces = stream.pieces()
        try:
            # So that what goes wrong before there is audio is an answer of its own.
            first = await while_connected(request, anext(pieces, None))
        except BaseException:
            stream.close()
            raise
        writer = SoundWriter(form, rate, live=True, sent_rate=PCM_RATE if form.name == "pcm" else None)
        heard = sent(stream, first, pieces, writer, tempo)
        if asked.stream_format == "sse":
            return StreamingResponse(events(heard, stream, service.codec.frame_rate), media_type="text/event-stream")
        return StreamingResponse(heard, media_type=form.media_type, headers=rate_header(writer, form))

    @routes.get("/voices")
    def voices() -> dict[str, Any]:
        """List the voices."""
        names = [DEFAULT, *service.voices.names]
        return {"object": "list", "data": [{"object": "audio.voice", "id": name, "name": name} for name in names]}

    @routes.post("/voices")
    async def add_voice(request: Request) -> dict[str, Any]:
        """Make a voice of a recording and what is said in it: `file`, `name` and `text` of a form."""
        service.check_open()
        async with service.jobs.admitted():
            upload = await read_upload(request, limits.idle_seconds)
            name, text = upload.text("name", ""), upload.text("text", "")
            add = service.jobs.run(lambda _: service.voices.add(name, upload.body, text))
            await while_connected(request, add)
        return {"object": "audio.voice", "id": name, "name": name}

    return routes


def rate_header(writer: SoundWriter, form: SoundFormat) -> dict[str, str]:
    """Tell the rate of audio that does not tell it itself."""
    return {"x-sampling-rate": str(writer.sampling_rate)} if form.name == "pcm" else {}


async def sent(
    stream: OpenStream, first: Audio | None, pieces: AsyncIterator[Audio], writer: SoundWriter, tempo: Tempo | None
) -> AsyncIterator[bytes]:
    """Give the bytes of a file while its audio is made; whoever stops reading ends the work."""

    def written(piece: Audio) -> bytes:
        return writer.push(piece.samples[0] if tempo is None else tempo.push(piece.samples[0]))

    try:
        if first is not None:
            if data := written(first):
                yield data
            async for piece in pieces:
                if data := written(piece):
                    yield data
        rest = b"" if tempo is None else writer.push(tempo.finish())
        if data := rest + writer.finish():
            yield data
    finally:
        stream.close()


async def events(heard: AsyncIterator[bytes], stream: OpenStream, frame_rate: float) -> AsyncIterator[str]:
    """Give the same as events, as OpenAI's service sends them."""
    try:
        async for data in heard:
            yield event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
    except asyncio.CancelledError:
        raise
    except Exception as error:
        yield event({"type": "error", **fault_of(error).body})
        return
    tokens = round(stream.seconds_given * frame_rate)
    usage = {"input_tokens": 0, "output_tokens": tokens, "total_tokens": tokens}
    yield event({"type": "speech.audio.done", "usage": usage})


def event(told: dict[str, Any]) -> str:
    """Write one event."""
    return f"data: {json.dumps(told)}\n\n"
