"""Language models with spellings and prompts of their own, which a file tells."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

import builders
import llasa_builders
from xcodec import Audio, Codec
from xcodec.cli.app import app
from xcodec.errors import InputError
from xcodec.llasa import (
    CONVENTIONS,
    AnswerParser,
    Convention,
    Llasa,
    Prompts,
    Sampling,
    SpeechCutWarning,
    SpeechTokens,
    Voice,
    read_convention,
)
from xcodec.llasa.speech import codes_of_ids

OTHER: dict[str, Any] = {
    "code": "[audio {}]",
    "speech_end": "<|end of audio|>",
    "prompt": "Say this: {text}\n<|audio|>",
    "voice_prompt": "<|voice|>{voice_codes}<|said|>{voice_text}<|say|>{text}<|audio|>",
    "sampling": {"temperature": 0.9, "top_k": 5, "least_codes": 4},
}


@pytest.fixture(autouse=True)
def cut_is_no_news() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpeechCutWarning)
        yield


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.from_pretrained()


def written(folder: Path, told: Any) -> Path:
    path = folder / "other.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


@pytest.fixture
def other(tmp_path: Path) -> Convention:
    return read_convention(written(tmp_path, OTHER))


def tokenizer_of(convention: Convention, codebook_size: int) -> PreTrainedTokenizerFast:
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.chat_template = None
    SpeechTokens.add(tokenizer, codebook_size, convention)
    return tokenizer


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_file_can_tell_what_is_built_in(tmp_path: Path, name: str) -> None:
    told = asdict(CONVENTIONS[name])
    del told["sampling"]["seed"], told["sampling"]["max_codes"]
    for key in ("prompt", "voice_prompt"):
        if isinstance(told[key], tuple):
            told[key] = [message._asdict() for message in told[key]]
    told = {key: value for key, value in told.items() if value is not None}
    assert read_convention(written(tmp_path, told)) == read_convention(name) == CONVENTIONS[name]


def test_a_prompt_is_the_pattern_with_text_voice_and_codes_in_it(other: Convention, codec: Codec) -> None:
    size = codec.codebook_sizes[0]
    tokenizer = tokenizer_of(other, size)
    tokens = SpeechTokens.of(tokenizer, size, other)
    prompts = Prompts(tokenizer, tokens)
    assert tokenizer.decode(prompts.ids(" Hello  {text} {voice_codes}.")) == (
        "Say this: Hello {text} {voice_codes}.\n<|audio|>"
    )
    voice = Voice("Good day.", codes_of_ids(np.array([7, 0]), codec))
    ids = prompts.ids("Hello {voice_codes}.", voice)
    assert tokenizer.decode(ids) == ("<|voice|>[audio 7][audio 0]<|said|>Good day.<|say|>Hello {voice_codes}.<|audio|>")
    assert ids[1:3] == tokens.to_ids([7, 0]).tolist()
    for text in ("a <|say|> b", "[audio 3]"):
        with pytest.raises(InputError, match="a token with a meaning of its own"):
            prompts.ids(text)


@pytest.mark.parametrize(
    ("prompt", "end"),
    [
        ([("user", "Say {text}")], "\n\nSay Hm.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ([("system", "Ann"), ("user", "{text}"), ("assistant", "Ah:")], "assistant<|end_header_id|>\n\nAh:"),
    ],
)
def test_a_chat_ends_where_the_assistant_begins_or_goes_on(
    tmp_path: Path, prompt: list[tuple[str, str]], end: str
) -> None:
    messages = [{"role": role, "content": content} for role, content in prompt]
    told = {"code": "<s{}>", "speech_end": "<|eot_id|>", "prompt": messages}
    convention = read_convention(written(tmp_path, told))
    tokenizer = llasa_builders.text_tokenizer()
    tokens = SpeechTokens.add(tokenizer, 16, convention)
    asked = tokenizer.decode(Prompts(tokenizer, tokens).ids("Hm."))
    assert asked.endswith(end)
    assert asked.count("Hm.") == 1


def test_a_model_with_another_spelling_says_a_sentence(other: Convention, codec: Codec) -> None:
    tokenizer = tokenizer_of(other, codec.codebook_sizes[0])
    llasa = Llasa.of(llasa_builders.small_llama(len(tokenizer)), tokenizer, codec, other)
    drawn = list(
        llasa.engine.stream(llasa.prompts.ids("Hello."), Sampling(temperature=0.9, top_k=5, seed=1, max_codes=20))
    )
    said = llasa.say("Hello.", seed=1, max_seconds=0.4)
    expected = codec.decode(codes_of_ids(llasa.tokens.codes[drawn[:20]], codec))
    np.testing.assert_array_equal(said.samples, expected.samples)
    both = llasa.say(["Hello.", "And why?"], seed=1, max_seconds=0.4)
    np.testing.assert_array_equal(both[0].samples, said.samples)
    goes_on = llasa.say("Hello.", voice=builders.RECORDINGS[1], voice_text="Good day.", seed=1, max_seconds=0.4)
    assert goes_on.samples.any()
    assert not np.array_equal(goes_on.samples, said.samples)


def test_what_takes_no_voice_says_long_texts_without_and_refuses_one(tmp_path: Path, codec: Codec) -> None:
    convention = read_convention(written(tmp_path, {key: OTHER[key] for key in OTHER if key != "voice_prompt"}))
    tokenizer = tokenizer_of(convention, codec.codebook_sizes[0])
    llasa = Llasa.of(llasa_builders.small_llama(len(tokenizer)), tokenizer, codec, convention)
    parts = "He might even have been made amiable himself. " * 6
    assert llasa.say(parts, temperature=0, max_seconds=0.2).duration == pytest.approx(0.2)
    assert sum(piece.duration for piece in llasa.stream(parts, seed=1, max_seconds=0.2)) == pytest.approx(0.2)
    with pytest.raises(InputError, match="this language model takes no voice"):
        llasa.say("Hello.", voice=builders.RECORDINGS[1], voice_text="Good day.")


@pytest.mark.parametrize("code", ["[audio {}]", "|s_{}|", "a{}a", "<|s_{}|>"])
def test_an_answer_in_any_spelling_may_be_cut_anywhere(code: str) -> None:
    convention = Convention(code=code, speech_end="|end|", prompt="{text}")
    tokens = SpeechTokens(np.arange(300), None, 300, convention)
    text = tokens.to_text([7, 77, 0, 299, 7]) + "|end| and more"
    for size in (1, 2, 3, 5, 100):
        parser = AnswerParser(tokens)
        pieces = [parser.push(text[begin : begin + size]) for begin in range(0, len(text), size)]
        assert np.concatenate(pieces).tolist() == [7, 77, 0, 299, 7]
        assert parser.ended
    assert tokens.silent_id == 301


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "is not JSON"),
        ([], "holds a list; expected a JSON object"),
        ({"voice": "a"}, "the key voice: there is no such key; there are code, speech_end, prompt, voice_prompt"),
        ({"code": None}, "the key code: expected a text, got null"),
        ({"code": "<|s|>"}, "the key code: expected {} in place of the number, once"),
        ({"code": "{}{}"}, "the key code: expected {}"),
        ({"code": "s1{}|"}, "the key code: expected {}"),
        ({"speech_end": ""}, "the key speech_end: is empty"),
        ({"prompt": "Hello"}, "the key prompt: expected what is to be said, {text} or {phones}, once"),
        ({"prompt": "{text}{phones}"}, "the key prompt: expected what is to be said"),
        ({"prompt": "{text}{voice_codes}"}, "the key prompt: holds {voice_codes}; there are {text}, {phones}"),
        ({"prompt": []}, "the key prompt: expected a text, or a list of"),
        ({"prompt": [{"role": "bot", "content": "{text}"}]}, "the key prompt[0]: expected a role, which is system"),
        ({"prompt": [{"role": "user"}]}, "the key prompt[0]: expected a role"),
        ({"voice_prompt": "{text}"}, "the key voice_prompt: expected {voice_codes} once"),
        ({"voice_prompt": "{txt}"}, "the key voice_prompt: holds {txt}; there are {text}, {phones}, {voice_text}"),
        ({"sampling": {"seed": 1}}, "the key sampling.seed: there is no such key; there are temperature, top_p"),
        ({"sampling": {"top_k": 1.5}}, "the key sampling.top_k: expected a whole number"),
        ({"sampling": {"temperature": -1}}, "the key sampling.temperature: expected a number 0 or above"),
        ({"markers": ["a", 1]}, "the key markers: expected a list of tokens"),
    ],
)
def test_a_file_that_says_something_else_is_told_with_the_key(tmp_path: Path, told: Any, message: str) -> None:
    path = written(tmp_path, OTHER | told if isinstance(told, dict) else told)
    with pytest.raises(InputError) as raised:
        read_convention(path)
    assert str(raised.value).startswith(f"{path}: {message}")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"other.json: the key speech_end: is not there"):
        read_convention(written(tmp_path, {"code": "<s{}>"}))
    with pytest.raises(InputError, match=r"the key prompt: give it, or voice_prompt, or both"):
        read_convention(written(tmp_path, {"code": "<s{}>", "speech_end": "<e>"}))
    with pytest.raises(InputError, match=r"convention='other': expected llasa, neutts, or a file of JSON"):
        read_convention("other")
    other = read_convention(written(tmp_path, OTHER))
    with pytest.raises(InputError, match=r"lacks 20 of the 20 tokens of speech, the first <\|audio\|>"):
        SpeechTokens.of(llasa_builders.text_tokenizer(), 15, other)


def test_say_takes_the_file(tmp_path: Path, other: Convention, codec: Codec) -> None:
    tokenizer = tokenizer_of(other, codec.codebook_sizes[0])
    model = llasa_builders.small_llama(len(tokenizer))
    model.save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    common = ["say", "Hello.", "--llm", str(tmp_path / "llm"), "--model", "mini", "-o", str(tmp_path / "said.wav")]
    how = ["--convention", str(tmp_path / "other.json"), "--seed", "1", "--max-seconds", "0.4"]
    result = CliRunner().invoke(app, [*common, *how])
    assert result.exit_code == 0, result.stderr
    expected = Llasa.of(model, tokenizer, codec, other).say("Hello.", seed=1, max_seconds=0.4)
    np.testing.assert_allclose(Audio.read(tmp_path / "said.wav").samples, expected.samples.clip(-1, 1), atol=1e-4)
    for wrong, message in (
        (["--convention", "other"], "--convention 'other': expected llasa, neutts, or a file of JSON"),
        (
            ["--convention", str(tmp_path / "other.json"), "--language", "de"],
            ": the language model is asked in writing",
        ),
    ):
        result = CliRunner().invoke(app, [*common, "--overwrite", *wrong])
        assert result.exit_code == 1
        assert message in " ".join(result.stderr.split())
