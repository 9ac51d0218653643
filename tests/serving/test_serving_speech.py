# ruff: noqa: RUF001  (phones are letters of their own)
"""Speech as OpenAI's clients ask for it, from language models in the process and on another server."""

import asyncio
import base64
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

import builders
import llasa_builders
from serving_builders import Running, same_sound, serving
from xcodec import Audio, Codec, Codes, InputError
from xcodec.llasa import NEUTTS, Llasa, Prompts, Sampling, SpeechTokens, read_convention
from xcodec.llasa.phones import EspeakPhones
from xcodec.llasa.prompt import Voice
from xcodec.serving.faults import Fault
from xcodec.serving.language_model import load_speaker
from xcodec.serving.limits import Limits
from xcodec.serving.server import listen
from xcodec.serving.service import windows_of
from xcodec.serving.speaker import Speaker
from xcodec.serving.tempo import Tempo
from xcodec.serving.upstream import Upstream
from xcodec.serving.voices import BuiltInVoice
from xcodec.streaming import StreamDecoder

TEXT = "Hello there."
SAID = "he was not an ill disposed young man"
HOW: dict[str, Any] = {"seed": 3, "max_seconds": 0.8}


@pytest.fixture(scope="module")
def llasa(codec: Codec) -> Llasa:
    """Random weights: it never says that it has come to an end, or only by chance."""
    return llasa_builders.small_llasa(codec)


@pytest.fixture(scope="module")
def server(codec: Codec, llasa: Llasa, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("voices")
    shutil.copy(builders.RECORDINGS[1], folder / "ann.wav")
    (folder / "ann.txt").write_text(SAID)
    with serving(
        codec,
        Limits(text=100, seconds=5.0),
        service={"speaker": Speaker(llasa, "tiny"), "voices_folder": folder},
        api_key="secret",
    ) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0) as client:
        yield client


def decoded(codec: Codec, codes: np.ndarray) -> np.ndarray:
    """What a stream of codes sounds like, as 16-bit numbers."""
    decoder = StreamDecoder(codec, *windows_of(codec.model))
    pieces = [piece for piece in (decoder.push(codes), decoder.flush()) if piece is not None]
    samples = np.concatenate([piece.samples[0] for piece in pieces])
    return (samples.clip(-1, 1) * 32767).round()


def expected(llasa: Llasa, text: str, **how: Any) -> np.ndarray:
    """What a language model's own codes sound like."""
    with closing(llasa.codes(text, lambda _: None, **how)) as codes:
        return decoded(llasa.codec, np.concatenate(list(codes)))


def pcm_of_wav(data: bytes) -> np.ndarray:
    assert data[:4] == b"RIFF"
    return np.frombuffer(data[44:], "<i2").astype(float)


# What is said


def test_the_client_of_openai_streams_what_the_language_model_says(client: openai.OpenAI, llasa: Llasa) -> None:
    asked: dict[str, Any] = {"model": "tiny", "voice": "default", "input": TEXT, "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked, extra_body=HOW) as answer:
        pieces = list(answer.iter_bytes())
    assert len(pieces) > 1
    assert same_sound(pcm_of_wav(b"".join(pieces)), expected(llasa, TEXT, **HOW))


def test_a_voice_of_the_folder_is_gone_on_with(client: openai.OpenAI, llasa: Llasa, codec: Codec) -> None:
    answer = client.audio.speech.create(model="tiny", voice="ann", input=TEXT, response_format="wav", extra_body=HOW)
    codes = codec.encode(builders.RECORDINGS[1])
    assert same_sound(pcm_of_wav(answer.content), expected(llasa, TEXT, voice=codes, voice_text=SAID, **HOW))


@pytest.mark.parametrize("form", ["mp3", "opus", "flac"])
def test_speech_comes_in_every_format(client: openai.OpenAI, form: Any) -> None:
    answer = client.audio.speech.create(model="tiny", voice="default", input=TEXT, response_format=form, extra_body=HOW)
    assert Audio.read(answer.content).duration == pytest.approx(0.8, abs=0.15)


def test_plain_samples_are_at_the_rate_that_clients_of_openai_take_them_for(client: openai.OpenAI) -> None:
    answer = client.audio.speech.create(
        model="tiny", voice="default", input=TEXT, response_format="pcm", extra_body=HOW
    )
    assert len(answer.content) == 2 * 24_000 * 0.8


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.5, 4.0])
def test_speech_is_as_much_shorter_as_it_is_faster(client: openai.OpenAI, speed: float) -> None:
    pytest.importorskip("av", reason="pip install 'xcodec[formats]'")
    asked: dict[str, Any] = {"model": "tiny", "voice": "default", "input": TEXT, "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked, speed=speed, extra_body=HOW) as answer:
        samples = pcm_of_wav(b"".join(answer.iter_bytes()))
    assert len(samples) == round(0.8 * 16000 / speed)
    assert samples.any()


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.5, 4.0])
def test_another_speed_keeps_the_pitch(speed: float) -> None:
    pytest.importorskip("av", reason="pip install 'xcodec[formats]'")
    tone = np.sin(2 * np.pi * 200 * np.arange(48000) / 16000).astype(np.float32)
    tempo = Tempo(speed, 16000)
    pieces = [tempo.push(tone[start : start + 1700]) for start in range(0, len(tone), 1700)]
    samples = np.concatenate([*pieces, tempo.finish()])
    assert len(samples) == round(48000 / speed)
    assert sum(map(len, pieces)) > len(samples) - 16000  # it streams
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * 16000 / len(samples) == pytest.approx(200, abs=1)


def test_events_hold_the_same_audio(client: openai.OpenAI, llasa: Llasa) -> None:
    asked: dict[str, Any] = {"model": "tiny", "voice": "default", "input": TEXT, "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked, stream_format="sse", extra_body=HOW) as answer:
        told = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert told[-1]["type"] == "speech.audio.done"
    assert told[-1]["usage"]["output_tokens"] == 40
    data = b"".join(base64.b64decode(each["audio"]) for each in told[:-1])
    assert same_sound(pcm_of_wav(data), expected(llasa, TEXT, **HOW))


def test_several_are_said_at_once_each_as_alone(server: Running, llasa: Llasa) -> None:
    texts = ["One.", "Two and three.", "Four."]

    async def all_of_them() -> list[bytes]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="secret") as client:
            asked: dict[str, Any] = {"model": "tiny", "voice": "default", "response_format": "wav", "extra_body": HOW}
            answers = await asyncio.gather(*(client.audio.speech.create(input=text, **asked) for text in texts))
            return [answer.content for answer in answers]

    for text, data in zip(texts, asyncio.run(all_of_them()), strict=True):
        assert same_sound(pcm_of_wav(data), expected(llasa, text, **HOW))


def test_one_who_leaves_ends_the_work(server: Running) -> None:
    headers = {"authorization": "Bearer secret"}
    asked = {"input": TEXT, "response_format": "pcm", "max_seconds": 5.0, "seed": 0}
    with httpx.stream("POST", f"{server.url}/v1/audio/speech", json=asked, headers=headers, timeout=60) as answer:
        next(answer.iter_bytes())
    waiting = threading.Event()
    for _ in range(200):
        if not server.service.scheduler.num_open and not server.service.speeches._num_running:
            return
        waiting.wait(0.05)
    raise AssertionError("the work goes on")


# What is refused


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"input": " "}, "input", "the text is empty"),
        ({"input": "a" * 101}, "input", "101 characters: 100 are taken"),
        ({"voice": "alloy"}, "voice", "there is no such voice; there are default, ann"),
        ({"voice": "../ann"}, "voice", "there is no such voice"),
        ({"model": "tts-1"}, "model", "there is no model 'tts-1' here; there is tiny"),
        ({"response_format": "aac"}, "response_format", "expected one of"),
        ({"speed": 4.5}, "speed", "less than or equal to 4"),
        ({"speed": 0.2}, "speed", "greater than or equal to 0.25"),
        ({"extra_body": {"temperature": -1.0}}, "temperature", "0 or above"),
        ({"extra_body": {"loudness": 1}}, "loudness", "Extra inputs"),
        ({"input": "<|s_1|>"}, None, "a token with a meaning of its own"),
    ],
)
def test_what_cannot_be_said_is_told_as_the_client_of_openai_reads_it(
    client: openai.OpenAI, asked: dict[str, Any], param: str | None, message: str
) -> None:
    whole: dict[str, Any] = {"model": "tiny", "voice": "default", "input": TEXT} | asked
    with pytest.raises(openai.BadRequestError) as raised:
        client.audio.speech.create(**whole)
    assert message in raised.value.message
    assert raised.value.param == param


def test_without_a_language_model_nothing_is_said(codec: Codec) -> None:
    with serving(codec) as running:
        answer = httpx.post(f"{running.url}/v1/audio/speech", json={"input": TEXT})
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "no_language_model")


# Voices


def test_a_recording_and_its_text_become_a_voice(client: openai.OpenAI, server: Running, codec: Codec) -> None:
    recording = builders.RECORDINGS[0].read_bytes()
    headers = {"authorization": "Bearer secret"}
    url = f"{server.url}/v1/audio/voices"
    made = httpx.post(url, files={"file": recording}, data={"name": "ben", "text": "Hm."}, headers=headers, timeout=60)
    assert made.json() == {"object": "audio.voice", "id": "ben", "name": "ben"}
    names = [voice["id"] for voice in httpx.get(url, headers=headers).json()["data"]]
    assert names == ["default", "ann", "ben"]
    folder = server.service.voices_folder
    assert folder is not None
    assert Codes.load(folder / "ben.codes") == codec.encode(recording)
    assert client.audio.speech.create(model="tiny", voice="ben", input=TEXT, extra_body=HOW).content


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("../ben", "Hm.", "expected letters, digits"),
        ("", "Hm.", "expected letters, digits"),
        ("default", "Hm.", "not the word default"),
        ("ann", "Hm.", "there is a voice of that name"),
        ("carl", " ", "expected what is said in the recording"),
    ],
)
def test_a_voice_cannot_leave_its_folder_nor_replace_another(
    server: Running, name: str, text: str, message: str
) -> None:
    folder = server.service.voices_folder
    assert folder is not None
    before = sorted(folder.parent.rglob("*"))
    answer = httpx.post(
        f"{server.url}/v1/audio/voices",
        files={"file": builders.RECORDINGS[0].read_bytes()},
        data={"name": name, "text": text},
        headers={"authorization": "Bearer secret"},
        timeout=60,
    )
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert sorted(folder.parent.rglob("*")) == before


# Other servers, other conventions


def completions(llasa: Llasa, asked: list[dict[str, Any]]) -> FastAPI:
    """A server of completions around a language model, as vLLM is one."""
    app = FastAPI()

    @app.post("/v1/completions")
    async def complete(request: Request) -> StreamingResponse:
        question = await request.json()
        asked.append(question)
        sampling = Sampling(
            temperature=question["temperature"],
            top_k=question["top_k"],
            seed=question.get("seed"),
            max_codes=question["max_tokens"] - 1,
        )

        async def answer() -> AsyncIterator[str]:
            with closing(llasa.engine.stream(question["prompt"], sampling)) as ids:
                for id_ in ids:
                    ended = id_ == llasa.tokens.end_id
                    text = "" if ended else llasa.tokens.to_text([int(llasa.tokens.codes[id_])])
                    told = {"choices": [{"text": text, "finish_reason": "stop" if ended else None}]}
                    yield f"data: {json.dumps(told)}\n\n"
                    await asyncio.sleep(0)
            yield "data: [DONE]\n\n"

        return StreamingResponse(answer(), media_type="text/event-stream")

    return app


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve any application while the block runs, and give its URL."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()


def test_a_language_model_on_another_server_says_the_same(codec: Codec, llasa: Llasa) -> None:
    asked: list[dict[str, Any]] = []
    with running(completions(llasa, asked)) as url:
        speaker = Speaker(Llasa(Upstream(url, "tiny", llasa.tokens), llasa.prompts, codec), "tiny")
        with serving(codec, service={"speaker": speaker}) as front:
            body = {"input": TEXT, "response_format": "wav", **HOW}
            answer = httpx.post(f"{front.url}/v1/audio/speech", json=body, timeout=60)
    assert same_sound(pcm_of_wav(answer.content), expected(llasa, TEXT, **HOW))
    assert asked[0]["prompt"] == llasa.prompts.ids(TEXT)


def test_a_server_that_does_not_answer_is_an_error_that_says_so(codec: Codec, llasa: Llasa) -> None:
    with closing(listen("127.0.0.1", 0)) as silent:  # nobody accepts
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        speaker = Speaker(Llasa(Upstream(url, "tiny", llasa.tokens), llasa.prompts, codec), "tiny")
        with serving(codec, service={"speaker": speaker}) as front:
            answer = httpx.post(f"{front.url}/v1/audio/speech", json={"input": TEXT}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")


def test_a_server_that_does_not_spell_its_tokens_is_told_of(codec: Codec, llasa: Llasa) -> None:
    """As llama.cpp's server does with tokens that are marked as control tokens."""
    app = FastAPI()

    @app.post("/v1/completions")
    async def complete() -> StreamingResponse:
        told = [{"choices": [{"text": "", "finish_reason": reason}]} for reason in (None, None, "length")]
        return StreamingResponse((f"data: {json.dumps(each)}\n\n" for each in told), media_type="text/event-stream")

    with running(app) as url, pytest.raises(Fault, match=r"answers with no text.*--special"):
        list(Upstream(url, "tiny", llasa.tokens).stream([1], Sampling()))


def test_a_language_model_that_a_file_describes_is_served_here_and_from_another_server(
    codec: Codec, tmp_path: Path
) -> None:
    told = {
        "code": "[audio {}]",
        "speech_end": "<|end|>",
        "prompt": "Say this: {text}\n<|audio|>",
        "voice_prompt": "{voice_codes}{text}<|audio|>",
        "sampling": {"temperature": 0.9, "top_k": 5, "least_codes": 4},
    }
    (tmp_path / "other.json").write_text(json.dumps(told))
    convention = read_convention(tmp_path / "other.json")
    tokenizer = llasa_builders.text_tokenizer()
    SpeechTokens.add(tokenizer, codec.codebook_sizes[0], convention)
    llasa_builders.small_llama(len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    here = load_speaker(str(tmp_path), codec, convention=convention)
    asked: list[dict[str, Any]] = []
    with running(completions(here.llasa, asked)) as url:
        there = load_speaker(str(tmp_path), codec, convention=convention, upstream=url)
        for speaker in (here, there):
            with serving(codec, service={"speaker": speaker}) as front:
                body = {"input": TEXT, "response_format": "wav", **HOW}
                answer = httpx.post(f"{front.url}/v1/audio/speech", json=body, timeout=60)
            assert same_sound(pcm_of_wav(answer.content), expected(here.llasa, TEXT, **HOW))
    assert tokenizer.decode(asked[0]["prompt"]) == f"Say this: {TEXT}\n<|audio|>"
    assert (asked[0]["stop"], asked[0]["temperature"], asked[0]["top_k"]) == (["<|end|>"], 0.9, 5)
    assert asked[0]["min_tokens"] == 4


@pytest.mark.parametrize("upstream", [None, "http://localhost:1/v1"])
def test_a_language_model_that_speaks_another_codecs_codes_is_refused(
    codec: Codec, llasa: Llasa, tmp_path: Path, upstream: str | None
) -> None:
    config: Any = llasa.engine.model.config  # type: ignore[attr-defined]
    identity = asdict(codec.identity)
    llasa.prompts.tokenizer.save_pretrained(tmp_path)
    for weights, refused in ((identity["weights_hash"], False), ("0" * 64, True)):
        spoken = {"codec_identity": identity | {"name": "another", "weights_hash": weights}}
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict() | spoken))
        if refused:
            with pytest.raises(InputError, match=r"speaks the codes of another .*, and the codec is mini"):
                load_speaker(str(tmp_path), codec, upstream=upstream)
        elif upstream is not None:
            assert load_speaker(str(tmp_path), codec, upstream=upstream).llasa.codec is codec


def test_of_a_model_on_another_server_a_tokenizer_is_enough(codec: Codec, llasa: Llasa, tmp_path: Path) -> None:
    llasa.prompts.tokenizer.save_pretrained(tmp_path)
    speaker = load_speaker(str(tmp_path), codec, upstream="http://localhost:1/v1")
    assert speaker.llasa.prompts.ids(TEXT) == llasa.prompts.ids(TEXT)


needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng")


@needs_espeak
def test_phones_have_stress_and_keep_punctuation() -> None:
    assert EspeakPhones()("Hello,  world!") == "həlˈoʊ, wˈɜːld!"
    assert EspeakPhones("de")("Guten Tag.") == "ɡˈuːtən tˈɑːk."


@needs_espeak
def test_a_model_of_neutts_speaks_in_the_built_in_voice_where_a_client_names_none(codec: Codec, tmp_path: Path) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    SpeechTokens.add(tokenizer, codec.codebook_sizes[0], NEUTTS)
    llasa_builders.small_llama(len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    speaker = load_speaker(str(tmp_path), codec, convention=NEUTTS)
    with serving(codec, service={"speaker": speaker}) as running_server:
        body = {"input": "World.", "response_format": "wav", **HOW}
        answer = httpx.post(f"{running_server.url}/v1/audio/speech", json=body, timeout=60)
    voice = {"voice": codec.encode(builders.RECORDINGS[1]), "voice_text": SAID, "temperature": 1.0}
    assert same_sound(pcm_of_wav(answer.content), expected(speaker.llasa, "World.", **voice, **HOW))


@needs_espeak
def test_a_model_of_neutts_is_asked_for_phones_in_its_own_words(codec: Codec) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokens = SpeechTokens.add(tokenizer, codec.codebook_sizes[0], NEUTTS)
    model = llasa_builders.small_llama(len(tokenizer))
    neutts = Llasa.of(model, tokenizer, codec, NEUTTS)
    prompts = Prompts(tokenizer, tokens, EspeakPhones())
    codes = codec.encode(builders.RECORDINGS[0])
    prompt = tokenizer.decode(prompts.ids("World.", Voice("Hello.", codes)))
    assert prompt.startswith(
        "user: Convert the text to speech:<|TEXT_PROMPT_START|>həlˈoʊ. wˈɜːld.<|TEXT_PROMPT_END|>\n"
        f"assistant:<|SPEECH_GENERATION_START|><|speech_{codes.ids[0, 0]}|>"
    )
    speaker = Speaker(Llasa(neutts.engine, prompts, codec), "tiny", own_voice=BuiltInVoice(codec))
    with serving(codec, service={"speaker": speaker}) as running_server:
        body = {"input": "World.", "response_format": "wav", **HOW}
        answer = httpx.post(f"{running_server.url}/v1/audio/speech", json=body, timeout=60)
    assert len(pcm_of_wav(answer.content)) == 0.8 * 16000
