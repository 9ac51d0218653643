"""Codes as tokens, answers in pieces, prompts, sentences, and the training format, on a small tokenizer."""

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast

import builders
import llasa_builders
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import CodesError, InputError
from xcodec.llasa import (
    LLASA,
    NEUTTS,
    AnswerParser,
    Prompts,
    SpeechTokens,
    TrainingRows,
    TrainingRowsWriter,
    Voice,
    parse,
    split_text,
)

TEXT = "he was not an ill disposed young man"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """With LLaSA's tokens for the 65,536 codes of X-Codec2."""
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    SpeechTokens.add(tokenizer)
    return tokenizer


@pytest.fixture(scope="module")
def tokens(tokenizer: PreTrainedTokenizerFast) -> SpeechTokens:
    return SpeechTokens.of(tokenizer)


@pytest.fixture(scope="module")
def prompts(tokenizer: PreTrainedTokenizerFast, tokens: SpeechTokens) -> Prompts:
    return Prompts(tokenizer, tokens)


@pytest.fixture(scope="module")
def codes() -> Codes:
    """Of `austen-0880.wav`: 150 codes, 16 bits each."""
    return Codec.from_pretrained().encode(builders.RECORDINGS[1])


# Tokens


def test_tokens_are_added_in_the_published_order(tokenizer: PreTrainedTokenizerFast, tokens: SpeechTokens) -> None:
    before = len(llasa_builders.text_tokenizer())
    added = ["<|TEXT_GENERATION_START|>", "<|TEXT_GENERATION_END|>", "<|TEXT_UNDERSTANDING_START|>"]
    added += ["<|TEXT_UNDERSTANDING_END|>", "<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>"]
    added += ["<|SPEECH_UNDERSTANDING_START|>", "<|SPEECH_UNDERSTANDING_END|>", "<|s_0|>", "<|s_1|>"]
    assert tokenizer.convert_ids_to_tokens(range(before, before + 10)) == added
    assert len(tokenizer) == before + 8 + 65536
    assert tokens.ids.tolist() == list(range(before + 8, before + 8 + 65536))
    assert (tokens.start_id, tokens.end_id) == (before + 4, before + 5)


def test_with_llama_3s_vocabulary_the_ids_are_the_published_ones() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.add_tokens([f"<|filler_{i}|>" for i in range(128_256 - len(tokenizer))])
    tokens = SpeechTokens.add(tokenizer)
    assert tokens.to_ids([0, 65535]).tolist() == [128_264, 193_799]
    assert (tokens.start_id, tokens.end_id) == (128_260, 128_261)
    assert len(tokenizer) == 193_800


def test_adding_twice_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    before = len(tokenizer)
    SpeechTokens.add(tokenizer)
    assert len(tokenizer) == before


def test_a_tokenizer_in_another_order_is_read_as_it_is() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.add_tokens(["<|s_2|>", "<|s_0|>", "between", "<|s_1|>"])
    tokens = SpeechTokens.add(tokenizer, 4)
    assert tokens.to_ids([0, 1, 2, 3]).tolist() == [261, 263, 260, 272]
    assert parse(tokens.to_ids([3, 1, 0, 2]), tokens).tolist() == [3, 1, 0, 2]


def test_codes_become_text_and_ids_and_come_back(
    tokenizer: PreTrainedTokenizerFast, tokens: SpeechTokens, codes: Codes
) -> None:
    text = tokens.to_text(codes)
    assert text.startswith("".join(f"<|s_{code}|>" for code in codes.ids[0, :3]))
    assert tokenizer(text, add_special_tokens=False).input_ids == tokens.to_ids(codes).tolist()
    for answer in (text, tokens.to_ids(codes), tokens.to_ids(codes).tolist(), torch.tensor(tokens.to_ids(codes))):
        np.testing.assert_array_equal(parse(answer, tokens), codes.ids[0])
    assert tokens.to_text(codes.ids[0]) == tokens.to_text(codes.ids) == text


def test_an_hour_of_codes_is_looked_up_at_once(tokens: SpeechTokens) -> None:
    hour = np.random.default_rng(0).integers(0, 65536, 180_000)
    tokens.to_text(hour[:1])
    started = time.process_time()
    np.testing.assert_array_equal(parse(tokens.to_ids(hour), tokens), hour)
    np.testing.assert_array_equal(parse(tokens.to_text(hour), tokens), hour)
    assert time.process_time() - started < 5


def test_codes_that_the_vocabulary_does_not_have_are_refused(tokens: SpeechTokens) -> None:
    for given, message in (
        ([0, 65536], "codes from 0 to 65536: expected 0 to 65535"),
        ([-1], "codes from -1 to -1"),
        ([0.5], r"type float64: expected integers of shape \(T,\) or \(1, T\)"),
        (np.zeros((2, 3), int), r"shape \(2, 3\)"),
        (Codes(np.zeros((2, 5), int), 50, 1600, 16000, 16000, (1024, 1024)), "of 2 codebook.s. of .1024, 1024.: these"),
    ):
        with pytest.raises(InputError, match=message):
            tokens.to_ids(given)


def test_a_tokenizer_without_speech_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match=r"lacks 65540 of the 65540 tokens of speech, the first <\|TEXT_UNDER"):
        SpeechTokens.of(llasa_builders.text_tokenizer())
    tokenizer = llasa_builders.text_tokenizer()
    SpeechTokens.add(tokenizer, 100)
    with pytest.raises(InputError, match=r"lacks 28 of the 132 tokens of speech, the first <\|s_100\|>"):
        SpeechTokens.of(tokenizer, 128)


@pytest.mark.gradients  # resizing changes weights in place
def test_a_model_grows_to_the_vocabulary_and_never_shrinks() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    model = llasa_builders.small_llama(len(tokenizer))
    old = model.get_input_embeddings().weight.detach().clone()
    tokens = SpeechTokens.add(tokenizer, 1000)
    tokens.fit(model)
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == len(tokenizer)
    torch.testing.assert_close(model.get_input_embeddings().weight[: len(old)], old)
    bigger = llasa_builders.small_llama(5000)
    tokens.fit(bigger)
    assert bigger.config.vocab_size == 5000


def test_other_conventions_are_parameters() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokens = SpeechTokens.add(tokenizer, 1024, NEUTTS)
    assert tokens.to_text([0, 1023]) == "<|speech_0|><|speech_1023|>"
    assert parse("<|speech_7|><|SPEECH_GENERATION_END|>", tokens).tolist() == [7]
    prompts = Prompts(tokenizer, tokens, spell=str)
    voice = Voice("həl", Codes(np.array([[3, 1]]), 50, 640, 16000, 16000, (1024,)))
    assert tokenizer.decode(prompts.ids("həloʊ", voice)) == (
        "user: Convert the text to speech:<|TEXT_PROMPT_START|>həl həloʊ<|TEXT_PROMPT_END|>\n"
        "assistant:<|SPEECH_GENERATION_START|><|speech_3|><|speech_1|>"
    )
    with pytest.raises(InputError, match="speaks in a given voice only; give a voice and its text"):
        prompts.ids("həloʊ")
    with pytest.raises(InputError, match="rows of training are for conventions whose prompt has the text between"):
        prompts.text_ids("həloʊ")


def test_codes_may_be_ids_at_an_offset_without_a_spelling() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.add_tokens(list(LLASA.markers))
    tokens = SpeechTokens.at_offset(len(tokenizer), start_id=264, end_id=265)
    assert tokens.to_ids([0, 65535]).tolist() == [268, 268 + 65535]
    assert parse([270, 268, 265, 1], tokens).tolist() == [2, 0]
    for use in (lambda: tokens.to_text([1]), lambda: parse("<|s_1|>", tokens)):
        with pytest.raises(InputError, match="ids without a spelling; give and take ids instead of text"):
            use()
    with pytest.raises(InputError, match="offset=-1: expected the id of code 0"):
        SpeechTokens.at_offset(-1, start_id=0, end_id=1)


# Answers


def test_text_may_be_cut_anywhere(tokens: SpeechTokens, codes: Codes) -> None:
    text = "<|SPEECH_GENERATION_START|>" + tokens.to_text(codes) + "<|SPEECH_GENERATION_END|>" + "and so on <|s_1|>"
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 7, 50):
        parser = AnswerParser(tokens)
        found, begin = [], 0
        while begin < len(text):
            end = begin + int(rng.integers(1, size + 1))
            found += parser.push(text[begin:end]).tolist()
            begin = end
        parser.close()
        assert found == codes.ids[0].tolist()
        assert parser.ended
        assert parser.num_codes == 150


def test_a_code_is_given_as_soon_as_its_token_is_complete(tokens: SpeechTokens) -> None:
    parser = AnswerParser(tokens)
    given = [parser.push(piece).tolist() for piece in ["<|s_1", "2|", "><|s_3|> ", " \n<", "|s_4|>"]]
    assert given == [[], [], [12, 3], [], [4]]


def test_ids_come_one_by_one_or_many_at_once(tokens: SpeechTokens) -> None:
    ids = tokens.to_ids([5, 6, 7]).tolist()
    parser = AnswerParser(tokens)
    given = [parser.push(piece).tolist() for piece in [tokens.start_id, ids[0], ids[1:], [], [tokens.end_id, 3], 4]]
    assert given == [[], [5], [6, 7], [], [], []]
    assert parser.ended
    assert parser.skipped == 0


@pytest.mark.parametrize(
    ("answer", "shown", "left"),
    [
        ("<|s_1|>hello <|s_2|>", "'hello' in the answer, after 1 codes: no speech token", [1, 2]),
        ("<|s_1|><|s_70000|><|s_2|>", r"<\|s_70000\|> in the answer, of 65536 codes: no speech token", [1, 2]),
        ("<|s_1|><|s_007|><|s_2|>", r"'<\|s_007\|>' in the answer, after 1 codes", [1, 2]),
        ("<|s_1|><|SPEECH_GENERATION_START|><|s_2|>", "SPEECH_GENERATION_START", [1, 2]),
        ("<|s_1|><|s_2|><|s_3", r"ends in the middle of a token: '<\|s_3'", [1, 2]),
        ([269, 5, 270], "id 5 in the answer, after 1 codes: no speech token", [1, 2]),
        ([269, 264, 270], "id 264 in the answer, after 1 codes", [1, 2]),
        ([269, 270, 99_999_999], "id 99999999 in the answer, after 2 codes", [1, 2]),
        ([269, -7, 270], "id -7 in the answer", [1, 2]),
    ],
)
def test_what_is_no_speech_token_is_an_error_or_is_counted(
    tokens: SpeechTokens, answer: str | list[int], shown: str, left: list[int]
) -> None:
    with pytest.raises(CodesError, match=shown):
        parse(answer, tokens)
    parser = AnswerParser(tokens, skip_others=True)
    assert parser.push(answer).tolist() == left
    parser.close()
    assert parser.skipped == 1


def test_a_piece_that_is_neither_text_nor_ids_is_refused(tokens: SpeechTokens) -> None:
    with pytest.raises(CodesError, match="a piece of type float64: expected text, an id"):
        parse([[0.5]], tokens)


# Prompts


def test_the_prompt_is_the_published_one(tokenizer: PreTrainedTokenizerFast, prompts: Prompts) -> None:
    assert tokenizer.decode(prompts.ids("  Hello\n there. ")) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nConvert the text to speech:"
        "<|TEXT_UNDERSTANDING_START|>Hello there.<|TEXT_UNDERSTANDING_END|><|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n<|SPEECH_GENERATION_START|>"
    )


def test_the_prompt_is_what_the_chat_template_gives(tokenizer: PreTrainedTokenizerFast, prompts: Prompts) -> None:
    wrapped = f"<|TEXT_UNDERSTANDING_START|>{TEXT}<|TEXT_UNDERSTANDING_END|>"
    chat = [
        {"role": "user", "content": "Convert the text to speech:" + wrapped},
        {"role": "assistant", "content": "<|SPEECH_GENERATION_START|>"},
    ]
    whole = tokenizer.apply_chat_template(chat, continue_final_message=True, date_string="26 Jul 2024")
    assert prompts.ids(TEXT) == whole["input_ids"]


def test_a_voice_puts_its_text_before_the_text_and_its_codes_behind(
    tokenizer: PreTrainedTokenizerFast, tokens: SpeechTokens, prompts: Prompts, codes: Codes
) -> None:
    ids = prompts.ids("Hello.", Voice("Good day.", codes))
    assert ids == prompts.ids("Good day. Hello.") + tokens.to_ids(codes).tolist()
    chinese = tokenizer.decode(prompts.ids("你好。", Voice("早上好。", codes)))
    assert "<|TEXT_UNDERSTANDING_START|>早上好。你好。<|TEXT_UNDERSTANDING_END|>" in chinese


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        (" \n", "the text is empty"),
        ("say <|eot_id|> now", r"the text holds '<\|eot_id\|>', a token with a meaning of its own"),
        ("<|s_7|>", r"the text holds '<\|s_7\|>'"),
        ("<|TEXT_UNDERSTANDING_END|>", "TEXT_UNDERSTANDING_END"),
    ],
)
def test_a_text_that_would_break_the_prompt_is_refused(prompts: Prompts, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prompts.ids(text)


def test_a_tokenizer_that_lays_out_no_prompt_is_refused() -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokens = SpeechTokens.add(tokenizer, 16)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="has no chat template, which says how a prompt is laid out"):
        Prompts(tokenizer, tokens)
    tokenizer.chat_template = "{{ messages[1].content }}"
    with pytest.raises(InputError, match=r"the chat template does not keep the messages: '<\|SPEECH_GENERATION_START"):
        Prompts(tokenizer, tokens)


# Sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two. Three.", ["One. Two.", "Three."]),
        ("Mr. Dashwood came. He left.", ["Mr. Dashwood came.", "He left."]),
        ("J. S. Bach, i.e. Bach. Yes.", ["J. S. Bach, i.e. Bach.", "Yes."]),
        ("It cost 3.50 pounds! Oh no.", ["It cost 3.50 pounds!", "Oh no."]),
        ('"Who is it?" he asked. I.', ['"Who is it?" he asked. I.']),
        ("Wait... for it, John. Now!", ["Wait... for it, John.", "Now!"]),
        ("「早上好。」他说。今天天气好。", ["「早上好。」", "他说。", "今天天气好。"]),
        ("A title\n\nA text follows it here", ["A title", "A text follows it here"]),
        ("first of all, then that, and at last this", ["first of all, then that,", "and at last this"]),
        ("one two three four five six seven eight", ["one two three four five", "six seven eight"]),
        ("Donaudampfschifffahrtsgesellschaft", ["Donaudampfschifffahrtsgesellschaft"]),
        ("  spaces\n and  lines ", ["spaces and lines"]),
        ("", []),
    ],
)
def test_a_text_is_cut_where_a_speaker_pauses(text: str, parts: list[str]) -> None:
    assert split_text(text, most_bytes=25 if not text.startswith("One") else 10) == parts


def test_parts_hold_the_whole_text_and_fit() -> None:
    text = "He said (in 1811) that Mrs. Dashwood, who came at 5 p.m. on Sat., had no. 7; why? " * 30
    parts = split_text(text)
    assert " ".join(parts) == text.strip()
    assert max(len(part.encode()) for part in parts) <= 200
    assert min(len(part) for part in parts[:-1]) > 80
    assert all(re.search(r"[?;,]$", part) for part in parts)


# The training format


def write(folder: Path, prompts: Prompts, rows: list[tuple[str, object]], **options: object) -> TrainingRowsWriter:
    with TrainingRowsWriter(folder, prompts, **options) as writer:  # type: ignore[arg-type]
        for text, codes in rows:
            writer.write(text, codes)  # type: ignore[arg-type]
    return writer


def test_a_row_is_as_llasas_scripts_read_it(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, prompts: Prompts, codes: Codes
) -> None:
    writer = write(tmp_path / "rows", prompts, [(TEXT, codes)])
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == [
        "rows.json",
        "train_input_ids.memmap",
        "train_input_ids_shape.npy",
    ]
    shape = np.load(tmp_path / "rows/train_input_ids_shape.npy")
    rows = np.memmap(tmp_path / "rows/train_input_ids.memmap", dtype="int32", mode="r", shape=tuple(shape))
    assert rows.shape == (1, 2048)
    text = f"<|TEXT_UNDERSTANDING_START|>{TEXT}<|TEXT_UNDERSTANDING_END|>"
    row = [*tokenizer.encode(text, add_special_tokens=False), 264, *(268 + codes.ids[0]), 265]
    assert rows[0].tolist() == row + [tokenizer.pad_token_id] * (2048 - len(row))
    assert str(writer.report) == (
        "1 rows to train and 0 to validate; 0 of them cut at the end of the row; "
        "0 left out, whose text alone fills a row"
    )


def test_a_row_becomes_prompt_answer_and_labels(tmp_path: Path, prompts: Prompts, codes: Codes) -> None:
    write(tmp_path / "rows", prompts, [(TEXT, codes), ("Good day.", codes.ids[:, :20])], length=256)
    rows = TrainingRows(tmp_path / "rows", prompts)
    assert len(rows) == 2
    prompt = prompts.ids(TEXT)
    answer = [264, *(268 + codes.ids[0]), 265]
    assert rows[0] == {"input_ids": prompt[:-1] + answer, "labels": [-100] * (len(prompt) - 1) + answer}
    text_ids, read = rows.parts(1)
    assert text_ids == prompts.text_ids("Good day.")
    assert read.tolist() == codes.ids[0, :20].tolist()
    batch = DataCollatorForSeq2Seq(prompts.tokenizer)(list(rows))
    assert batch["input_ids"].shape == batch["labels"].shape == (2, len(prompt) + len(answer) - 1)
    assert (batch["labels"][1] != -100).sum() == 22
    with pytest.raises(IndexError):
        rows[2]


def test_one_row_in_so_many_is_for_validation_and_a_small_set_is_all_training(tmp_path: Path, prompts: Prompts) -> None:
    rows = [(f"number {i}", [i]) for i in range(10)]
    report = write(tmp_path / "rows", prompts, rows, length=64, val_every=4).report
    assert (report.train, report.val) == (8, 2)
    assert [read.tolist() for _, read in map(TrainingRows(tmp_path / "rows", prompts, "val").parts, range(2))] == [
        [3],
        [7],
    ]
    report = write(tmp_path / "rows", prompts, rows, length=64, overwrite=True).report
    assert (report.train, report.val) == (10, 0)
    with pytest.raises(InputError, match=r"val_input_ids.memmap: no such file; TrainingRowsWriter writes it"):
        TrainingRows(tmp_path / "rows", prompts, "val")


def test_rows_that_are_too_long_are_cut_and_counted(tmp_path: Path, prompts: Prompts, codes: Codes) -> None:
    rows = [("short", codes), ("fits", codes.ids[:, :56]), ("long" * 20, codes), ("fills" * 12 + "it", codes)]
    report = write(tmp_path / "rows", prompts, rows, length=64).report
    assert (report.train, report.truncated, report.left_out) == (2, 1, 2)
    rows = TrainingRows(tmp_path / "rows", prompts)
    assert rows.parts(0)[1].tolist() == codes.ids[0, : 64 - 7 - 1].tolist()
    assert rows[0]["labels"][-1] == 268 + codes.ids[0, 55]
    assert rows[1]["labels"][-1] == 265


def test_rows_tell_whose_codes_and_which_ids_they_are(tmp_path: Path, prompts: Prompts, codes: Codes) -> None:
    writer = write(tmp_path / "rows", prompts, [("a", codes), ("b", [1])], length=256)
    assert writer.codec == codes.codec
    assert TrainingRows(tmp_path / "rows", prompts).codec == codes.codec
    other = replace(codes, codec=replace(codes.codec, weights_hash="0" * 64))
    with TrainingRowsWriter(tmp_path / "more", prompts, length=256, codec=codes.codec, cut=False) as rows:
        rows.write("a", codes)
        with pytest.raises(InputError, match=r"the codes were made by mini .*, and the rows hold those of mini"):
            rows.write("b", other)
        with pytest.raises(InputError, match="text and speech are longer than a row, 256 ids"):
            rows.write("b" * 200, codes)
    assert rows.report.train == 1
    (tmp_path / "rows/rows.json").write_text('{"codec": 3}')
    with pytest.raises(InputError, match=r"rows.json: does not tell what the rows hold"):
        TrainingRows(tmp_path / "rows", prompts)
    (tmp_path / "rows/rows.json").unlink()
    assert TrainingRows(tmp_path / "rows", prompts).codec is None  # as of LLaSA's own scripts


def test_a_bad_row_is_refused_and_the_next_may_come(tmp_path: Path, prompts: Prompts) -> None:
    with TrainingRowsWriter(tmp_path / "rows", prompts, length=64) as rows:
        for text, codes in (("", [1]), ("<|eot_id|>", [1]), ("too high", [65536]), ("no codes", [])):
            with pytest.raises(InputError):
                rows.write(text, codes)
        rows.write("good", [1])
    assert rows.report.train == 1
    with pytest.raises(InputError, match="rows are written inside `with TrainingRowsWriter"):
        rows.write("late", [1])


def test_rows_appear_whole_or_not_at_all(tmp_path: Path, prompts: Prompts) -> None:
    write(tmp_path / "rows", prompts, [("old", [1])], length=64)
    with pytest.raises(InputError, match="codes from 70000 to 70000"):
        write(tmp_path / "rows", prompts, [("new", [2]), ("bad", [70000])], length=64, overwrite=True)
    assert TrainingRows(tmp_path / "rows", prompts).parts(0)[1].tolist() == [1]
    with pytest.raises(InputError, match="there are no rows, and nothing was written"):
        write(tmp_path / "other", prompts, [])
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_nothing_else_is_replaced(tmp_path: Path, prompts: Prompts) -> None:
    write(tmp_path / "rows", prompts, [("a", [1])], length=64)
    with pytest.raises(InputError, match="holds rows already; give another folder, or overwrite=True"):
        TrainingRowsWriter(tmp_path / "rows", prompts)
    (tmp_path / "rows/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes.txt, which is no file of rows"):
        TrainingRowsWriter(tmp_path / "rows", prompts, overwrite=True)
    with pytest.raises(InputError, match="is a file; rows are written as a folder"):
        TrainingRowsWriter(tmp_path / "rows/notes.txt", prompts)
    with pytest.raises(InputError, match="length=4, val_every=1: expected 8 ids or more, and one row in 2 or more"):
        TrainingRowsWriter(tmp_path / "new", prompts, length=4, val_every=1)


def test_codes_without_spelling_can_be_written(tmp_path: Path) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokenizer.add_tokens(list(LLASA.markers))
    tokens = SpeechTokens.at_offset(len(tokenizer), start_id=264, end_id=265)
    prompts = Prompts(tokenizer, tokens)
    write(tmp_path / "rows", prompts, [("a", [7, 65535])], length=16)
    assert TrainingRows(tmp_path / "rows", prompts).rows[0].tolist()[3:8] == [264, 275, 65803, 265, 259]
    tokenizer.eos_token = None
    with pytest.raises(InputError, match=r"neither a pad token nor an end-of-text token; set tokenizer.pad_token"):
        TrainingRowsWriter(tmp_path / "more", prompts)


def test_damaged_rows_are_told(tmp_path: Path, prompts: Prompts) -> None:
    folder = tmp_path / "rows"
    write(folder, prompts, [("a", [1]), ("b", [2])], length=16)
    ids, shape = folder / "train_input_ids.memmap", folder / "train_input_ids_shape.npy"
    good = ids.read_bytes()
    ids.write_bytes(good[:-4])
    with pytest.raises(InputError, match=r"has 124 bytes, but train_input_ids_shape.npy says 2 rows of 16 ids of 4"):
        TrainingRows(folder, prompts)
    ids.write_bytes(bytes(64) + good[64:])
    with pytest.raises(CodesError, match=r"row 0: no text before <\|SPEECH_GENERATION_START\|> \(id 264\)"):
        TrainingRows(folder, prompts)[0]
    row = np.frombuffer(good, np.int32).copy()
    row[4] = 3
    ids.write_bytes(row.tobytes())
    with pytest.raises(CodesError, match="row 0: holds ids that are no speech tokens of this vocabulary"):
        TrainingRows(folder, prompts).parts(0)
    shape.write_bytes(b"text")
    with pytest.raises(InputError, match="does not hold the number of rows and their length"):
        TrainingRows(folder, prompts)
