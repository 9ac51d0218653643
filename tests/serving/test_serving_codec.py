"""Whole recordings over HTTP, and what is refused."""

import io
import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import soundfile

import builders
from serving_builders import Running, serving
from xcodec import Audio, Codec, Codes
from xcodec.serving.limits import Limits

RECORDING = builders.RECORDINGS[0]


@pytest.fixture(scope="module")
def codes(codec: Codec) -> Codes:
    return codec.encode(RECORDING)


@pytest.fixture(scope="module")
def server(codec: Codec) -> Iterator[Running]:
    with serving(codec, Limits(upload_bytes=1_000_000, seconds=20.0)) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def error_of(answer: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


# Codes of recordings


def test_a_recording_becomes_the_codes_that_the_package_makes(client: httpx.Client, codes: Codes) -> None:
    told = client.post("/v1/codec/encode", content=RECORDING.read_bytes()).json()
    assert told["codes"] == codes.ids.tolist()
    assert told["num_samples"] == codes.num_samples
    stored = client.post("/v1/codec/encode?response_format=safetensors", content=RECORDING.read_bytes()).content
    assert Codes.from_bytes(stored) == codes
    array = client.post("/v1/codec/encode?response_format=npy", content=RECORDING.read_bytes()).content
    assert np.array_equal(np.load(io.BytesIO(array)), codes.ids)


def test_a_form_brings_the_same_as_a_body(client: httpx.Client, codes: Codes) -> None:
    answer = client.post(
        "/v1/codec/encode", files={"file": RECORDING.read_bytes()}, data={"response_format": "safetensors"}
    )
    assert Codes.from_bytes(answer.content) == codes


def test_codes_in_any_form_become_the_audio_that_the_package_makes(
    client: httpx.Client, codec: Codec, codes: Codes
) -> None:
    expected = codec.decode(codes)
    stored, array = codes.to_bytes(), io.BytesIO()
    np.save(array, codes.ids.astype(np.uint16))
    told = client.post("/v1/codec/encode", content=RECORDING.read_bytes()).content
    for body in (stored, told):
        found = client.post("/v1/codec/decode?response_format=f32", content=body).content
        assert np.array_equal(np.frombuffer(found, "<f4"), expected.samples[0])
    bare = codec.decode(codes.ids).samples[0]
    for body in (
        array.getvalue(),
        json.dumps(codes.ids[0].tolist()).encode(),
        json.dumps({"codes": codes.ids.tolist()}).encode(),
    ):
        found = client.post("/v1/codec/decode?response_format=f32", content=body).content
        assert np.array_equal(np.frombuffer(found, "<f4"), bare)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("wav", "audio/wav"), ("flac", "audio/flac"), ("opus", "audio/ogg"), ("mp3", "audio/mpeg"), ("pcm", "audio/pcm")],
)
def test_audio_comes_in_every_format(
    client: httpx.Client, codec: Codec, codes: Codes, name: str, media_type: str
) -> None:
    answer = client.post(f"/v1/codec/decode?response_format={name}", content=codes.to_bytes())
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-sampling-rate"] == "16000"
    expected = codec.decode(codes)
    if name == "pcm":
        samples = np.frombuffer(answer.content, "<i2") / 32768
    else:
        samples = Audio.read(answer.content).resample(16000).samples[0]
    assert len(samples) == expected.num_samples if name in ("wav", "flac", "pcm") else len(samples) > 0
    if name in ("wav", "flac", "pcm"):
        assert np.abs(samples - expected.samples[0].clip(-1, 1)).max() < 1e-4


# What is refused, and how


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        ("encode", b"", "no_file", "the request is empty"),
        ("encode", b"no audio at all", "audio_error", "is not audio in a format that can be read"),
        (
            "encode?response_format=zip",
            RECORDING.read_bytes(),
            "invalid_value",
            "expected one of json, npy, safetensors",
        ),
        ("encode?bandwidth=3", RECORDING.read_bytes(), "input_error", "has 0.8 kbit/s"),
        ("encode?bandwidth=much", RECORDING.read_bytes(), "invalid_value", "bandwidth='much': expected a number"),
        ("decode?response_format=aac", b"[1]", "invalid_value", "expected one of wav, pcm, f32, flac, opus, mp3"),
        ("decode", b"[65536]", "codes_error", "65536"),
        ("decode", b"[-1]", "codes_error", "-1"),
        ("decode", b"[1.5]", "codes_error", "whole numbers"),
        ("decode", b"{}", "codes_error", "whole numbers"),
        ("decode", b"{", "codes_error", "is not JSON"),
        ("decode", b"[" * 100_000, "codes_error", "is not JSON"),
        ("decode", b'{"codes": [1], "num_samples": "many"}', "codes_error", "incomplete or malformed"),
        ("decode", b"\x93NUMPY\x01\x00\x10\x00garbage", "codes_error", "is damaged"),
        ("decode", b"\xff" * 100, "codes_error", "is no file of codes"),
        ("decode", json.dumps([0] * 2000).encode(), "too_many_seconds", "40.0 s of codes: 20 are taken"),
    ],
)
def test_what_cannot_be_done_is_told_in_the_shape_of_openai(
    client: httpx.Client, path: str, body: bytes, code: str, message: str
) -> None:
    answer = client.post(f"/v1/codec/{path}", content=body)
    assert answer.status_code in (400, 413)
    error = error_of(answer)
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert message in error["message"]


def test_an_array_that_says_it_is_vast_takes_no_memory(client: httpx.Client) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    assert "does not hold as many numbers" in error_of(client.post("/v1/codec/decode", content=body))["message"]


def test_arrays_of_objects_are_not_unpickled(client: httpx.Client) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    assert "expected integers" in error_of(client.post("/v1/codec/decode", content=file.getvalue()))["message"]


def test_an_upload_is_refused_before_it_is_read_whole(client: httpx.Client) -> None:
    answer = client.post("/v1/codec/encode", content=b"0" * 1_000_001)
    assert (answer.status_code, error_of(answer)["code"]) == (413, "upload_too_large")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10**9:
            sent += 100_000
            yield b"0" * 100_000

    try:
        answer = client.post("/v1/codec/encode", content=endless())
        assert (answer.status_code, error_of(answer)["code"]) == (413, "upload_too_large")
    except httpx.WriteError:
        pass  # the server closed the connection while it was being written to
    assert sent < 10**9


def test_a_recording_that_is_too_long_is_refused_while_it_is_read(client: httpx.Client) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000 * 30, np.int16), 8000, format="FLAC")
    answer = client.post("/v1/codec/encode", content=file.getvalue())
    assert error_of(answer)["code"] == "audio_error"


def test_what_is_not_there_is_told_likewise(client: httpx.Client) -> None:
    assert error_of(client.get("/v1/nothing"))["code"] == "not_found"
    assert error_of(client.get("/v1/codec/encode"))["code"] == "method_not_allowed"
    assert error_of(client.get("/v1/models/other"))["code"] == "model_not_found"


def test_jobs_beyond_the_limit_are_asked_to_come_again(codec: Codec) -> None:
    with serving(codec, Limits(jobs=1)) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        running.service.jobs.num_admitted = 1  # as if one were at work
        answer = client.post("/v1/codec/decode", content=b"[1]")
        assert (answer.status_code, error_of(answer)["code"]) == (503, "server_busy")
        assert answer.headers["retry-after"] == "1"
        running.service.jobs.num_admitted = 0
        assert client.post("/v1/codec/decode", content=b"[1]").status_code == 200


# Who may ask


def test_without_the_key_there_is_no_answer_but_health(codec: Codec) -> None:
    with serving(codec, api_key="secret") as running, httpx.Client(base_url=running.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            answer = client.get("/v1/models", headers=headers)
            assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
        assert client.get("/v1/models", headers={"authorization": "Bearer secret"}).status_code == 200


def test_pages_of_other_origins_are_refused(client: httpx.Client, server: Running) -> None:
    assert client.get("/v1/models", headers={"origin": server.url}).status_code == 200
    answer = client.get("/v1/models", headers={"origin": "http://elsewhere.example"})
    assert (answer.status_code, error_of(answer)["code"]) == (403, "other_origin")


# What it says of itself


def test_it_tells_its_models_its_health_and_its_figures(client: httpx.Client, codec: Codec) -> None:
    [model] = client.get("/v1/models").json()["data"]
    assert (model["id"], model["object"], model["frame_rate"]) == ("mini", "model", 50.0)
    assert client.get("/v1/models/mini").json() == model
    assert client.get("/health").json()["status"] == "ok"
    assert "xcodec" in client.get("/").text
    client.post("/v1/codec/decode", content=json.dumps([0] * 100))
    figures = client.get("/metrics").text
    assert 'xcodec_requests_total{path="/v1/codec/decode",status="200"}' in figures
    assert 'xcodec_audio_seconds_total{way="decode"}' in figures
