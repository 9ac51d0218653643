"""Language models that speak: small ones of random weights, one that has learned two sentences, and a server."""

import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import builders
import llasa_builders
import xcodec
from waiting import wait_until
from xcodec import Audio, Codec, Codes, XcodecFeatureExtractor
from xcodec.cli.app import app
from xcodec.errors import AudioError, CheckpointError, CodesError, InputError
from xcodec.llasa import (
    Engine,
    Llasa,
    Sampling,
    SpeechCutWarning,
    SpeechTokens,
    stream_answer,
)
from xcodec_builders import tiny_xcodec

TEXTS = ["Hello there.", "he was not an ill disposed young man", "And why?"]
LONG = "He might even have been made amiable himself. " * 8
LEARNED = {
    "austen-0880": "he was not an ill disposed young man",
    "austen-0930": "he might even have been made amiable himself",
}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.from_pretrained()


@pytest.fixture(scope="module")
def llasa(codec: Codec) -> Llasa:
    """Random weights: it never says that it has come to an end, or only by chance."""
    return llasa_builders.small_llasa(codec)


@pytest.fixture(scope="module")
def random_llm(llasa: Llasa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("random") / "llm"
    llasa.engine.model.save_pretrained(folder)  # type: ignore[attr-defined]
    llasa.prompts.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def cut_is_no_news() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpeechCutWarning)
        yield


def heard(pieces: Iterator[Audio]) -> np.ndarray:
    """All pieces of a stream, end to end."""
    return np.concatenate([piece.samples for piece in pieces], axis=1)


class Parrot(Engine):
    """An engine that answers what it was told to, and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[int], Sampling]] = []
        self.closed = 0

    def stream(self, prompt: Any, sampling: Sampling) -> Any:
        self.asked.append((list(prompt), sampling))
        try:
            yield from self.answers[(len(self.asked) - 1) % len(self.answers)]
        finally:
            self.closed += 1


# What is said


@pytest.mark.usefixtures("cut_is_no_news")
def test_a_batch_says_what_each_alone_would(llasa: Llasa) -> None:
    for how in ({"temperature": 0.0}, {"seed": 7, "top_p": 0.9, "top_k": 0, "repetition_penalty": 1.2}):
        together = llasa.say(TEXTS, max_seconds=0.5, **how)
        for text, audio in zip(TEXTS, together, strict=True):
            np.testing.assert_allclose(llasa.say(text, max_seconds=0.5, **how).samples, audio.samples, atol=1e-5)
        in_twos = llasa.say(TEXTS, max_seconds=0.5, batch_size=2, **how)
        for audio, other in zip(together, in_twos, strict=True):
            np.testing.assert_allclose(audio.samples, other.samples, atol=1e-5)
    assert [audio.duration for audio in together] == [0.5, 0.5, 0.5]


@pytest.mark.usefixtures("cut_is_no_news")
def test_a_seed_says_it_again_and_the_global_source_of_chance_is_left_alone(llasa: Llasa) -> None:
    state = torch.random.get_rng_state()
    first, again, other, unseeded, unseeded_again = (
        llasa.say(TEXTS[0], max_seconds=0.5, seed=seed) for seed in (1, 1, 2, None, None)
    )
    assert first == again
    assert first != other
    assert unseeded != unseeded_again
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.usefixtures("cut_is_no_news")
def test_only_speech_can_be_sampled(llasa: Llasa) -> None:
    prompt = llasa.prompts.ids(TEXTS[0])
    for sampling in (Sampling(temperature=100.0, top_k=0, max_codes=40, seed=0), Sampling(temperature=0, max_codes=40)):
        for id_ in llasa.engine.stream(prompt, sampling):
            assert id_ == llasa.tokens.end_id or llasa.tokens.codes[id_] >= 0


def test_the_end_marker_ends_it_but_never_comes_first(codec: Codec) -> None:
    llasa = llasa_builders.small_llasa(codec)
    with torch.inference_mode():  # a model that wants to end at once: every state leads to the end marker
        head = torch.nn.Linear(64, len(llasa.prompts.tokenizer))
        head.weight.zero_()
        head.bias.zero_()[llasa.tokens.end_id] = 50.0
    llasa.engine.model.lm_head = head  # type: ignore[attr-defined]
    assert llasa.say(["a", "b"], seed=0)[1].num_samples == 320


@pytest.mark.usefixtures("cut_is_no_news")
def test_draws_follow_the_probabilities(llasa: Llasa) -> None:
    """Against torch's own multinomial: as many of each of four tokens as they are likely."""
    from xcodec.llasa.drawing import draw, source_of

    scores = torch.tensor([0.1, 0.2, 0.0, 0.7]).log()
    source = source_of(3)
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[draw(scores[None], [source])] += 1
    torch.testing.assert_close(counts / 4000, scores.exp(), atol=0.02, rtol=0)
    assert counts[2] == 0


def test_what_is_cut_is_told(llasa: Llasa) -> None:
    with pytest.warns(SpeechCutWarning, match=r"the speech of 'Hello there.' was cut before its end"):
        assert llasa.say("Hello there.", temperature=0, max_seconds=0.5).num_samples == 8000
    with pytest.warns(SpeechCutWarning, match="the speech of 'Hello there.' was cut"):
        assert heard(llasa.stream("Hello there.", temperature=0, max_seconds=0.5)).shape == (1, 8000)


@pytest.mark.usefixtures("cut_is_no_news")
def test_progress_is_told_in_seconds_of_speech(llasa: Llasa) -> None:
    told: list[float] = []
    llasa.say(TEXTS[:2], temperature=0, max_seconds=0.5, on_progress=told.append)
    assert sum(told) == pytest.approx(1.0)
    assert len(told) == 50


# Streams


@pytest.mark.usefixtures("cut_is_no_news")
def test_a_stream_is_the_same_speech_as_it_comes(llasa: Llasa, codec: Codec) -> None:
    whole = llasa.say(TEXTS[1], seed=3, max_seconds=4)
    pieces = list(llasa.stream(TEXTS[1], seed=3, max_seconds=4))
    assert len(pieces) > 2
    streamed = np.concatenate([piece.samples for piece in pieces], axis=1)
    assert streamed.shape == whole.samples.shape
    assert builders.spectral_snr(whole.samples[0], streamed[0]) > 6  # of codes by chance, whose pitch jumps about


@pytest.mark.usefixtures("cut_is_no_news")
def test_the_first_audio_comes_before_the_last_code(llasa: Llasa) -> None:
    made: list[int] = []
    forward = llasa.engine.model.forward  # type: ignore[attr-defined]

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(1)
        return forward(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llasa.engine.model, "forward", counted)  # type: ignore[attr-defined]
        with closing(llasa.stream(LONG[:100], temperature=0)) as stream:
            next(stream)
        assert len(made) < 1000  # of 1500 that it would go on for
    wait_until(lambda: not any(thread.name == "generate" for thread in threading.enumerate()))


def test_closing_a_stream_ends_the_engine(codec: Codec, llasa: Llasa) -> None:
    engine = Parrot(llasa.tokens.to_ids(np.arange(1000)).tolist())
    stream = Llasa(engine, llasa.prompts, codec).stream("Hello.")
    next(stream)
    assert engine.closed == 0
    stream.close()
    assert engine.closed == 1


def test_an_error_in_the_thread_reaches_who_listens(llasa: Llasa, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room for the cache")

    monkeypatch.setattr(llasa.engine.model, "forward", broken)  # type: ignore[attr-defined]
    for speak in (lambda: llasa.say("Hello."), lambda: list(llasa.stream("Hello."))):
        with pytest.raises(MemoryError, match="no room for the cache"):
            speak()
    wait_until(lambda: not any(thread.name == "generate" for thread in threading.enumerate()))


# Voices and long texts


def test_a_voice_opens_the_answer_and_is_cut_from_the_result(codec: Codec, llasa: Llasa) -> None:
    voice = codec.encode(builders.RECORDINGS[1])
    engine = Parrot([*llasa.tokens.to_ids(voice.ids[0, :50]).tolist(), llasa.tokens.end_id])
    parrot = Llasa(engine, llasa.prompts, codec)
    audio = parrot.say("Hello.", voice=builders.RECORDINGS[1], voice_text="Good day.")
    assert engine.asked[0][0] == llasa.prompts.ids("Good day. Hello.") + llasa.tokens.to_ids(voice).tolist()
    assert audio == codec.decode(Codes(voice.ids[:, :50], 50, 16000, 16000, 16000, (65536,)))
    list(parrot.stream("Hello.", voice=voice, voice_text="Good day."))
    parrot.say("Hello.", voice=Audio.read(builders.RECORDINGS[1]), voice_text="Good day.")
    assert engine.asked[1][0] == engine.asked[2][0] == engine.asked[0][0]


def test_a_long_text_is_one_stream_of_codes_in_one_voice(codec: Codec, llasa: Llasa) -> None:
    end = llasa.tokens.end_id
    spoken = [codec.encode(path).ids[0, :100] for path in builders.RECORDINGS[:2]]
    engine = Parrot(*([*llasa.tokens.to_ids(codes), end] for codes in spoken))
    audio = Llasa(engine, llasa.prompts, codec).say(LONG, seed=5)
    together = Codes(np.concatenate(spoken)[None], 50, 64000, 16000, 16000, (65536,))
    assert audio == codec.decode(together)  # one decode of all: there is no join
    part = " ".join(LONG.split()[:32])
    first, second = engine.asked[0][0], engine.asked[1][0]
    assert first == llasa.prompts.ids(part)
    assert second == llasa.prompts.ids(f"{part} {part}") + llasa.tokens.to_ids(spoken[0]).tolist()
    assert [sampling.seed for _, sampling in engine.asked] == [5, 6]


@pytest.mark.usefixtures("cut_is_no_news")
def test_a_long_text_is_the_same_when_it_is_streamed(llasa: Llasa, codec: Codec) -> None:
    end = llasa.tokens.end_id
    answers = [[*llasa.tokens.to_ids(codec.encode(path).ids[0, :60]), end] for path in builders.RECORDINGS[:2]]
    said, streamed = Parrot(*answers), Parrot(*answers)
    whole = Llasa(said, llasa.prompts, codec).say(LONG, max_seconds=2)
    pieces = heard(Llasa(streamed, llasa.prompts, codec).stream(LONG, max_seconds=2))
    assert whole.samples.shape == pieces.shape == (1, 32000)
    assert streamed.asked == said.asked[: len(streamed.asked)]


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "the text is empty; there is nothing to say"),
        ({"text": ["Hello.", "<|eot_id|>"]}, r"texts\[1\]: the text holds '<\|eot_id\|>'"),
        ({"text": 3}, "expected a text, or a list of texts, got int"),
        ({"text": "a", "voice": "x.wav"}, "give both voice and voice_text, or neither"),
        ({"text": "a", "voice_text": "Hello."}, "give both voice and voice_text, or neither"),
        ({"text": "a", "temperature": -1}, "temperature=-1: expected a number 0 or above"),
        ({"text": "a", "top_p": 0}, "top_p=0: expected a number above 0, and 1 at most"),
        ({"text": "a", "top_k": -1}, "top_k=-1: expected"),
        ({"text": "a", "repetition_penalty": 0}, "repetition_penalty=0: expected a number above 0"),
        ({"text": "a", "seed": -1}, r"seed=-1: expected a number 0 to 2\^63 - 1, or None"),
        ({"text": "a", "max_seconds": 0}, r"max_seconds=0: expected 0.02, one code, or more"),
        ({"text": "a", "batch_size": 0}, "batch_size=0: expected 1 or above"),
        ({"text": "a", "pitch": 2}, "no argument pitch; there are voice, voice_text, temperature"),
    ],
)
def test_what_cannot_be_said_is_refused(llasa: Llasa, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        llasa.say(**arguments)
    if isinstance(arguments["text"], str) and "batch_size" not in arguments:
        with pytest.raises(InputError, match=message):
            llasa.stream(**arguments)  # at once, before anything is asked of it


def test_sampling_is_checked() -> None:
    with pytest.raises(InputError, match="max_codes=0: expected a number above 0"):
        Sampling(max_codes=0)


def test_a_voice_is_checked(llasa: Llasa, codec: Codec, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"voice: .*is empty, 0 bytes"):
        llasa.say("Hello.", voice=tmp_path / "empty.wav", voice_text="Good day.")
    other = Codec(builders.tiny_model(), codec.feature_extractor).encode(builders.RECORDINGS[1])
    with pytest.raises(CodesError, match=r"voice: the codes were made by .*; encode the recording again"):
        llasa.say("Hello.", voice=other, voice_text="Good day.")


def test_a_prompt_that_fills_the_context_is_refused(codec: Codec) -> None:
    llasa = llasa_builders.small_llasa(codec, max_position_embeddings=200)
    with pytest.raises(InputError, match=r"the prompt of \d+ tokens fills the model's context of 200; give a shorter"):
        llasa.say("Hello.", voice=builders.RECORDINGS[1], voice_text="Good day.")
    with pytest.warns(SpeechCutWarning):
        audio = llasa.say("Hello.", temperature=0)
    assert audio.num_samples == 320 * (200 - len(llasa.prompts.ids("Hello.")))


def test_an_engine_that_does_not_speak_is_an_error(llasa: Llasa, codec: Codec) -> None:
    silent = Llasa(Parrot([llasa.tokens.end_id]), llasa.prompts, codec)
    for speak in (lambda: silent.say("Hello."), lambda: list(silent.stream("Hello."))):
        with pytest.raises(CodesError, match=r"the language model said nothing for 'Hello.'; is it trained to speak"):
            speak()
    chatty = Parrot(["<|s_1|>hello<|s_2|><|SPEECH_GENERATION_END|>"])
    with pytest.raises(CodesError, match="'hello' in the answer, after 1 codes: no speech token"):
        Llasa(chatty, llasa.prompts, codec).say("Hello.")
    chatty.skip_others = True
    assert Llasa(chatty, llasa.prompts, codec).say("Hello.").num_samples == 640


def test_a_codec_of_several_codebooks_is_refused(llasa: Llasa) -> None:
    several = Codec(tiny_xcodec(), XcodecFeatureExtractor())
    with pytest.raises(InputError, match=r"makes 8 codes at a time; a language model speaks one token after the other"):
        Llasa(llasa.engine, llasa.prompts, several)
    with pytest.raises(InputError, match="makes 8 codes at a time"):
        stream_answer([], llasa.tokens, several)


def test_a_vocabulary_of_another_codec_is_refused(llasa: Llasa, codec: Codec) -> None:
    tokens = SpeechTokens.of(llasa.prompts.tokenizer, 1024)
    with pytest.raises(InputError, match="the codec has 65536 codes and the vocabulary 1024 speech tokens"):
        stream_answer([], tokens, codec)


def test_a_model_without_room_for_the_tokens_is_refused(llasa: Llasa, codec: Codec) -> None:
    small = llasa_builders.small_llama(1000)
    with pytest.raises(InputError, match="the model knows 1000 tokens, its speech tokens go up to id 65803; give the"):
        Llasa.of(small, llasa.prompts.tokenizer, codec)


# Any engine


def test_an_answer_in_pieces_becomes_audio(llasa: Llasa, codec: Codec) -> None:
    codes = codec.encode(builders.RECORDINGS[1])
    ids = [*llasa.tokens.to_ids(codes).tolist(), llasa.tokens.end_id]
    text = llasa.tokens.to_text(codes) + "<|SPEECH_GENERATION_END|>"
    from_ids = heard(stream_answer(iter(ids), llasa.tokens, codec))
    from_text = heard(stream_answer((text[i : i + 7] for i in range(0, len(text), 7)), llasa.tokens, codec))
    np.testing.assert_array_equal(from_ids, from_text)
    assert from_ids.shape == (1, 150 * 320)
    with pytest.raises(CodesError, match="the answer holds no speech"):
        list(stream_answer(["<|SPEECH_GENERATION_END|>"], llasa.tokens, codec))


class Completions(BaseHTTPRequestHandler):
    """The completions of an OpenAI-compatible server: streamed text of a local engine, in small pieces."""

    llasa: Llasa

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert (self.path, asked["stream"]) == ("/v1/completions", True)
        sampling = Sampling(asked["temperature"], max_codes=asked["max_tokens"] - 1)
        self.send_response(200)
        self.end_headers()
        for id_ in self.llasa.engine.stream(asked["prompt"], sampling):
            stop = id_ in asked["stop_token_ids"]
            text = "" if stop else self.llasa.prompts.tokenizer.decode([id_])
            for piece in (text[:4], text[4:]):
                event = {"choices": [{"text": piece, "finish_reason": "stop" if stop else None}]}
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(speaker: Llasa) -> Iterator[str]:
    """The address of such a server."""
    handler = type("Handler", (Completions,), {"llasa": speaker})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        httpd.shutdown()


@pytest.mark.gradients
@pytest.mark.usefixtures("cut_is_no_news")
def test_every_example_of_the_manual_runs(
    learned: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are written, one after the other; only the names of models and of the server are others."""
    shutil.copy(builders.RECORDINGS[1], tmp_path / "ann.wav")
    shutil.copy(builders.RECORDINGS[4], tmp_path / "ben.wav")
    manual = (Path(__file__).parents[2] / "docs/llasa.md").read_text(encoding="utf-8")
    for published, ours in {
        "HKUSTAudio/Llasa-1B": str(learned),
        "HKUSTAudio/xcodec2-hf": str(Path(xcodec.__file__).parent / "mini"),
        "http://localhost:8000/v1": server,
    }.items():
        manual = manual.replace(published, ours)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    assert len(blocks) >= 9
    for block in blocks:
        exec(block, names)
    afar, here = Audio.read("hello-from-afar.wav"), names["llasa"].say("Hello there.", temperature=0, max_seconds=5)
    np.testing.assert_allclose(afar.samples, here.samples.clip(-1, 1), atol=1e-4)
    assert all(Audio.read(name).num_samples for name in ("hello.wav", "chapter.wav"))
    assert len(names["seconds"]) == 2
    assert all(names["seconds"])
    assert names["rows"].report.train == 2
    assert names["batch"]["input_ids"].shape == names["batch"]["labels"].shape


# The whole way


@pytest.fixture(scope="module")
def learned(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a language model that was trained, from rows on the disk, to say two sentences."""
    folder = tmp_path_factory.mktemp("learned")
    recordings = {text: builders.RECORDINGS[0].with_name(f"{name}.wav") for name, text in LEARNED.items()}
    llasa_builders.write_learned(folder / "llm", codec, recordings)
    return folder / "llm"


@pytest.fixture(scope="module")
def speaker(learned: Path, codec: Codec) -> Llasa:
    return Llasa.from_pretrained(learned, codec)


def original(codec: Codec, name: str) -> Audio:
    """What is left of a recording after the codec."""
    return codec.reconstruct(builders.RECORDINGS[0].with_name(f"{name}.wav"))


@pytest.mark.gradients
def test_two_sentences_are_learned_and_said(speaker: Llasa, codec: Codec) -> None:
    together = speaker.say(list(LEARNED.values()), temperature=0)
    for name, audio in zip(LEARNED, together, strict=True):
        expected = original(codec, name)
        assert abs(audio.duration - expected.duration) < 0.05
        shared = min(audio.num_samples, expected.num_samples)
        assert builders.spectral_snr(expected.samples[0, :shared], audio.samples[0, :shared]) > 20
    streamed = heard(speaker.stream(LEARNED["austen-0880"], temperature=0))
    assert streamed.shape == together[0].samples.shape
    assert builders.spectral_snr(together[0].samples[0], streamed[0]) > 10


# Checkpoints


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "holds no tokenizer that transformers reads"),
        (lambda folder: (folder / "config.json").unlink(), r"is a folder without config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "is no language model that transformers reads"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "is no language model that transformers"),
        (lambda folder: change(folder, model_type="xcodec2"), "is no language model that transformers reads"),
        (lambda folder: change(folder, num_hidden_layers=3), "is incomplete: it lacks model.layers.2"),
        (lambda folder: change(folder, intermediate_size=8), "is (incomplete|no language model)"),
    ],
)
def test_a_broken_language_model_is_told(
    codec: Codec, llasa: Llasa, tmp_path: Path, break_it: Callable[[Path], object], message: str
) -> None:
    llasa.engine.model.save_pretrained(tmp_path / "llm")  # type: ignore[attr-defined]
    llasa.prompts.tokenizer.save_pretrained(tmp_path / "llm")
    break_it(tmp_path / "llm")
    with pytest.raises(CheckpointError, match=message):
        Llasa.from_pretrained(tmp_path / "llm", codec)


def change(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def test_arguments_of_loading_are_checked(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no argument revison; of the hub there are revision, cache_dir"):
        Llasa.from_pretrained(tmp_path, codec, revison="main")
    with pytest.raises(InputError, match="dtype='int8' is for running a codec; expected one of float32"):
        Llasa.from_pretrained(tmp_path, codec, dtype="int8")
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        Llasa.from_pretrained(tmp_path / "nothing", codec)


# The command


class Result:
    """What a run of the program left."""

    def __init__(self, *arguments: object, text: str | None = None) -> None:
        result = CliRunner().invoke(app, ["say", *map(str, arguments)], input=text)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        self.code, self.sent, self.err = result.exit_code, result.stdout_bytes, result.stderr
        self.out = self.sent.decode(errors="replace")
        assert "Traceback" not in self.out + self.err


@pytest.mark.gradients
def test_say_writes_a_file(learned: Path, speaker: Llasa, tmp_path: Path) -> None:
    text = LEARNED["austen-0880"]
    common = ["--llm", learned, "--model", "mini", "--temperature", "0"]
    result = Result(text, *common, "-o", tmp_path / "new/said.wav")
    assert result.code == 0, result.err
    assert result.out.startswith("Said 3.0 s in ")
    said = Audio.read(tmp_path / "new/said.wav")
    np.testing.assert_allclose(said.samples, speaker.say(text, temperature=0).samples.clip(-1, 1), atol=1e-4)
    assert Result("-", *common, "-o", tmp_path / "piped.flac", text=f"{text}\n").code == 0
    np.testing.assert_allclose(Audio.read(tmp_path / "piped.flac").samples, said.samples, atol=1e-4)
    again = Result(text, *common, "-o", tmp_path / "new/said.wav")
    assert (again.code, again.err.split("said.wav: ")[-1]) == (1, "exists already; give --overwrite to replace it\n")


@pytest.mark.usefixtures("cut_is_no_news")
def test_the_codec_is_the_one_that_the_language_model_names(random_llm: Path, tmp_path: Path) -> None:
    named = shutil.copytree(random_llm, tmp_path / "named")
    config = json.loads((named / "config.json").read_text())
    common = ["Hello.", "--llm", named, "--max-seconds", "0.2", "--seed", "1"]

    def say_with(codec: object, *options: object) -> Result:
        (named / "config.json").write_text(json.dumps(config | {"codec": codec}))
        return Result(*common, "-o", tmp_path / "said.wav", "--overwrite", *options)

    assert say_with("mini").code == 0
    assert "'no/such-codec' is neither in the hub" in say_with("no/such-codec").err
    assert say_with("no/such-codec", "--model", "mini").code == 0
    assert "names 7 as codec; expected a folder, a hub id or a built-in model" in say_with(7).err
    with pytest.raises(InputError, match="names 7 as codec"):
        Llasa.from_pretrained(named)
    assert say_with("mini").code == 0
    assert Llasa.from_pretrained(named).codec.identity == Codec.from_pretrained().identity


@pytest.mark.gradients
def test_say_in_a_voice(learned: Path, tmp_path: Path) -> None:
    voice = ["--voice", builders.RECORDINGS[4], "--voice-text", LEARNED["austen-0930"]]
    common = ["Hello.", "--llm", learned, "--model", "mini", "--temperature", "0", "-o", tmp_path / "said.wav"]
    result = Result(*common, *voice, "--max-seconds", "0.5")
    assert result.code == 0, result.err
    assert Audio.read(tmp_path / "said.wav").duration <= 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["Hello.", "-o", "x.wav"], 2, "Missing option '--llm'"),
        (["Hello.", "--llm", "nowhere", "--model", "mini"], 2, "give either a place to write to (-o) or --stream"),
        (["Hello.", "--llm", "a", "-o", "x.wav", "--stream"], 2, "give either a place to write to (-o) or --stream"),
        (["Hello.", "--llm", "a", "-o", "x.wav", "--raw"], 2, "--raw is for --stream"),
        (["", "--llm", "a", "-o", "x.wav"], 2, "a name is empty"),
        (["Hello.", "--llm", "a", "-o", "x.doc"], 2, "audio is written as .wav, .flac"),
        (["Hello.", "--llm", "./nowhere", "--model", "mini", "-o", "x.wav"], 1, "checkpoint not found"),
        (
            ["Hello.", "--llm", "LLM", "--model", "mini", "-o", "x.wav", "--top-p", "0"],
            1,
            "--top-p 0: expected a num",
        ),
        (["Hello.", "--llm", "a", "-o", "x.wav", "--voice", "a.wav"], 2, "give both --voice and --voice-text"),
        (
            ["Hello.", "--llm", "LLM", "--model", "mini", "-o", "x.wav", "--max-seconds", "0"],
            1,
            "--max-seconds 0: exp",
        ),
        ([" ", "--llm", "a", "-o", "x.wav"], 1, "the text is empty"),
    ],
)
def test_say_refuses_what_it_cannot_do(
    random_llm: Path, arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = Result(*(str(random_llm) if argument == "LLM" else argument for argument in arguments))
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())
    assert not any(tmp_path.iterdir())


def test_say_tells_that_speech_was_cut(random_llm: Path, tmp_path: Path) -> None:
    common = ["Hello.", "--llm", random_llm, "--model", "mini", "--seed", "1"]
    asked = Result(*common, "-o", tmp_path / "asked.wav", "--max-seconds", "0.5")
    assert (asked.code, Audio.read(tmp_path / "asked.wav").duration) == (0, 0.5)
    assert "the speech of 'Hello.' was cut before its end" in asked.err


@pytest.mark.gradients
def test_say_streams_into_a_pipe(learned: Path) -> None:
    say = [LEARNED["austen-0880"], "--llm", learned, "--model", "mini", "--temperature", "0"]
    wav, raw = Result(*say, "--stream"), Result(*say, "--stream", "--raw")
    assert wav.code == raw.code == 0, wav.err
    assert wav.err.startswith("Said 3.0 s in ")
    read, rate = soundfile.read(io.BytesIO(wav.sent), dtype="int16")
    assert rate == 16000
    assert abs(len(read) - 48000) < 640
    np.testing.assert_array_equal(np.frombuffer(raw.sent, "<i2"), read)


def test_a_terminal_is_no_place_for_audio(random_llm: Path) -> None:
    controller, terminal = pty.openpty()
    say = [sys.executable, "-m", "xcodec", "say", "Hello.", "--llm", random_llm, "--stream", "--raw"]
    with subprocess.Popen(say, stdout=terminal, stderr=subprocess.PIPE) as process:
        error = process.communicate()[1].decode()
    assert process.returncode == 2
    assert "standard output is a terminal" in " ".join(error.replace("│", " ").split())
    os.close(terminal)
    os.close(controller)
