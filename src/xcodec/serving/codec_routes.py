"""Whole recordings: /v1/codec/encode and /v1/codec/decode."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from xcodec.audio import Audio
from xcodec.errors import about
from xcodec.serving.faults import Fault
from xcodec.serving.jobs import OnProgress, while_connected
from xcodec.serving.service import Service
from xcodec.serving.sound import SoundFormat, sound_bytes, sound_format
from xcodec.serving.stored_codes import MEDIA_TYPES, codes_as, codes_format, codes_from
from xcodec.serving.uploads import Upload, read_upload

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """Make the routes."""
    routes, codec, limits = APIRouter(prefix="/v1/codec", tags=["codec"]), service.codec, service.limits

    def encode(upload: Upload, form: str, on_progress: OnProgress) -> bytes:
        bandwidth, segment_seconds = upload.number("bandwidth"), upload.number("segment_seconds")
        with about("the upload"):
            audio = Audio.read(upload.body, longest=limits.seconds)
        codes = codec.encode(audio, bandwidth=bandwidth, segment_seconds=segment_seconds, on_progress=on_progress)
        service.metrics.audio_seconds.labels("encode").inc(codes.duration)
        return codes_as(codes, form)

    def decode(upload: Upload, form: SoundFormat, on_progress: OnProgress) -> bytes:
        with about("the upload"):
            codes = codec.checked_codes(codes_from(upload.body, codec), check_identity=True)
        if codes.duration > limits.seconds:
            raise Fault(413, f"{codes.duration:.1f} s of codes: {limits.seconds:g} are taken", "too_many_seconds")
        audio = codec.decode(codes, on_progress=on_progress)
        service.metrics.audio_seconds.labels("decode").inc(audio.duration)
        return sound_bytes(form, audio)

    @routes.post("/encode")
    async def encode_recording(request: Request) -> Response:
        """Encode a recording of any format: the body, or `file` of a form.

        Parameters, in the query or the form: `response_format` (json, npy, safetensors), `bandwidth` in kbit/s,
        `segment_seconds`.
        """
        service.check_open()
        async with service.jobs.admitted():
            upload = await read_upload(request, limits.idle_seconds)
            form = codes_format(upload.text("response_format", "json"))
            written = await while_connected(request, service.jobs.run(lambda told: encode(upload, form, told)))
        return Response(written, media_type=MEDIA_TYPES[form])

    @routes.post("/decode")
    async def decode_codes(request: Request) -> Response:
        """Decode codes, as `encode` gives them: the body, or `file` of a form.

        Bare ids in JSON or npy are taken for whole frames of this model. Parameter, in the query or the form:
        `response_format` (wav, flac, mp3, opus, pcm, f32).
        """
        service.check_open()
        async with service.jobs.admitted():
            upload = await read_upload(request, limits.idle_seconds)
            form = sound_format(upload.text("response_format", "wav"))
            written = await while_connected(request, service.jobs.run(lambda told: decode(upload, form, told)))
        rate = form.rate_for(codec.output_sampling_rate)
        return Response(written, media_type=form.media_type, headers={"x-sampling-rate": str(rate)})

    return routes
