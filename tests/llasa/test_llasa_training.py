"""From recordings and texts to a language model that says them: tokenize, init, prepare, train and say."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import builders
import llasa_builders
from waiting import PATIENCE
from xcodec import Audio, Codec
from xcodec.cli.app import app
from xcodec.errors import CheckpointError, InputError
from xcodec.llasa import Llasa, Prompts, SpeechTokens, TrainingRows
from xcodec.llasa.beginning import begin
from xcodec.tokenization.tokens import Tokens
from xcodec.training.distributed import Processes
from xcodec.training.language_model.answers import AnswerLoss, RowBatch, RowOrder
from xcodec.training.language_model.run import train_language_model
from xcodec.training.language_model.settings import LanguageSettings

pytestmark = pytest.mark.gradients
CPU = Processes(torch.device("cpu"))
SAID = {"austen-0880": "he was not an ill disposed young man", "austen-0930": "he might even have been made amiable"}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL |= {"num_key_value_heads": 2}
QUICK = {"learning_rate": 1e-2, "warmup_steps": 5, "batch_size": 2}


def xcodec(*arguments: object) -> tuple[int, str]:
    """Run the program; give its exit code and what it told."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module", autouse=True)
def gradients() -> Any:
    """For the fixtures of a module too."""
    with torch.inference_mode(False):
        yield


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random X-Codec2 of 256 codes."""
    folder = tmp_path_factory.mktemp("codec") / "tiny"
    builders.tiny_model(quantization_levels=[4, 4, 4, 4]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokens(codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with texts, and three that make no row."""
    folder = tmp_path_factory.mktemp("tokens")
    texts = [*SAID.values(), None, "say <|s_1|>", "a long one"]
    names = [*SAID, "austen-0890", "austen-0920", "austen-0870"]
    paths = [str(builders.RECORDINGS[0].with_name(f"{name}.wav")) for name in names]
    rows = [{"path": path, "text": text} for path, text in zip(paths, texts, strict=True)]
    (folder / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    code, told = xcodec("tokenize", folder / "m.jsonl", "-o", folder / "out", "-m", codec)
    assert code == 0, told
    return folder / "out"


@pytest.fixture(scope="module")
def llm(codec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "llm"
    fields = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    code, told = xcodec("llasa", "init", "new", folder, "-m", codec, *fields)
    assert code == 0, told
    assert "524 tokens, of which 264 are new: the codes of tiny" in told
    return folder


@pytest.fixture(scope="module")
def rows(tokens: Path, llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "rows"
    code, told = xcodec("llasa", "prepare", tokens, folder, "--llm", llm, "--length", 256)
    assert code == 1
    assert "2 rows to train and 0 to validate; 3 left out" in told
    assert f"1 left out, such as {builders.RECORDINGS[0].with_name('austen-0890.wav')}: the text is empty" in told
    assert "austen-0920.wav: the text holds '<|s_1|>', a token with a meaning of its own" in told
    assert "austen-0870.wav: text and speech are longer than a row, 256 ids" in told
    return folder


def said(folder: Path, text: str) -> list[int]:
    """The codes of a text, the likeliest each time, by the codec that the language model names."""
    codes = Llasa.from_pretrained(folder).codes(text, pytest.fail, temperature=0)
    return np.concatenate(list(codes)).tolist()


def tokenized(tokens: Path) -> dict[str, list[int]]:
    """The codes of what is said, by text."""
    return {row.carried["text"]: row.codes[0].tolist() for row in Tokens(tokens).rows()}


# The whole way


def test_what_was_learned_is_said_code_for_code(tokens: Path, llm: Path, rows: Path, tmp_path: Path) -> None:
    train = ("llasa", "train", llm, rows, "-o", tmp_path / "run", "--steps", 100, "--log-steps", 10)
    code, told = xcodec(*train, "--learning-rate", 1e-2, "--warmup-steps", 5, "--batch-size", 2)
    assert code == 0, told
    assert "step 100  loss 0.0" in told
    for text in SAID.values():
        assert said(tmp_path / "run/model", text) == tokenized(tokens)[text]
    text = SAID["austen-0880"]
    code, told = xcodec("say", text, "--llm", tmp_path / "run/model", "--temperature", 0, "-o", tmp_path / "a.wav")
    assert code == 0, told
    assert Audio.read(tmp_path / "a.wav").duration == len(tokenized(tokens)[text]) / 50


def test_lora_learns_as_well_and_is_written_as_a_whole_model(
    tokens: Path, llm: Path, rows: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="pip install 'xcodec[train]'")
    settings = LanguageSettings(**QUICK, lora=16, steps=100)
    assert train_language_model(str(llm), rows, tmp_path / "run", settings, CPU)
    text = SAID["austen-0880"]
    assert said(tmp_path / "run/model", text) == tokenized(tokens)[text]
    before, after = (load_file(folder / "model.safetensors") for folder in (llm, tmp_path / "run/model"))
    assert before.keys() == after.keys()
    words = slice(0, 256)
    assert torch.equal(before["model.embed_tokens.weight"][words], after["model.embed_tokens.weight"][words])
    assert not torch.equal(before["model.embed_tokens.weight"][268:], after["model.embed_tokens.weight"][268:])


# Interruptions


class Killed(BaseException):
    """In place of a process that ends at once: nothing is written after it."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model/model.safetensors")


@pytest.mark.parametrize("lora", [None, 4])
def test_a_run_that_was_killed_comes_to_equal_weights(lora: int | None, llm: Path, rows: Path, tmp_path: Path) -> None:
    if lora:
        pytest.importorskip("peft", reason="pip install 'xcodec[train]'")
    settings = LanguageSettings(**QUICK | {"batch_size": 1}, accumulate=3, steps=6, checkpoint_minutes=0, lora=lora)

    def kill(report: Any) -> None:
        if report.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train_language_model(str(llm), rows, tmp_path / "killed", settings, CPU, on_step=kill)
    assert not (tmp_path / "killed/model").exists()
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    assert train_language_model(str(llm), rows, tmp_path / "killed", settings, CPU)
    assert train_language_model(str(llm), rows, tmp_path / "whole", settings, CPU)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    changed = LanguageSettings(**QUICK | {"batch_size": 1}, accumulate=2, steps=6, lora=lora)
    with pytest.raises(InputError, match=r"holds a run with accumulate=3 and not 2; give the same, or another folder"):
        train_language_model(str(llm), rows, tmp_path / "other", changed, CPU)


def test_sigterm_ends_a_run_after_its_step_and_the_command_goes_on(
    llm: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--steps", 4, "--learning-rate", 1e-2, "--warmup-steps", 0, "--batch-size", 1, "--log-steps", 1)
    assert xcodec("llasa", "train", llm, rows, "-o", tmp_path / "whole", *common)[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr("xcodec.cli.llasa.StepsBar.show", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        code, told = xcodec("llasa", "train", llm, rows, "-o", tmp_path / "ended", *common)
    assert code == 143
    assert "step 1 " in told
    assert "step 2 " not in told
    assert not all(torch.equal(x, weights(tmp_path / "ended")[name]) for name, x in weights(tmp_path / "whole").items())
    assert xcodec("llasa", "train", llm, rows, "-o", tmp_path / "ended", *common)[0] == 0
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "ended")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_two_processes_learn_what_one_would_of_the_rows_of_both(llm: Path, rows: Path, tmp_path: Path) -> None:
    common = ("llasa", "train", llm, rows, "--steps", 2, "--learning-rate", 1e-3, "--warmup-steps", 0)
    assert xcodec(*common, "-o", tmp_path / "one", "--batch-size", 2)[0] == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "xcodec"]
    command += [*map(str, common), "-o", str(tmp_path / "two"), "--batch-size", "1", "--device", "cpu"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr[-3000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    before = load_file(llm / "model.safetensors")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=1e-3)
    assert (one["model.norm.weight"] - before["model.norm.weight"]).abs().max() > 1e-3


# What is learned


def test_the_loss_is_that_of_the_answer_and_padding_changes_nothing(llm: Path, rows: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llm), AutoTokenizer.from_pretrained(llm)
    examples = list(TrainingRows(rows, Prompts(tokenizer, SpeechTokens.of(tokenizer, 256))))
    loss = AnswerLoss(model.train(False))
    alone = []
    for example in examples:
        ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
        count = int((labels[:, 1:] != -100).sum())
        alone.append(count * model(input_ids=ids, labels=labels).loss)
        assert count == len(example["labels"]) - example["labels"].count(-100)
    together = loss(RowBatch.of(examples, tokenizer.pad_token_id, torch.device("cpu")))
    torch.testing.assert_close(together, sum(alone), rtol=1e-5, atol=0)


@pytest.mark.parametrize("lora", [None, 4])
def test_in_bfloat16_trained_weights_are_float32_and_written_ones_are_not(
    lora: int | None, llm: Path, rows: Path, tmp_path: Path
) -> None:
    if lora:
        pytest.importorskip("peft", reason="pip install 'xcodec[train]'")
    settings = LanguageSettings(**QUICK, dtype="bfloat16", lora=lora, steps=1)
    assert train_language_model(str(llm), rows, tmp_path / "run", settings, CPU)
    state = torch.load(tmp_path / "run/step-00000001.pt", weights_only=True)
    assert {tensor.dtype for tensor in state["trained"].values()} == {torch.float32}
    assert {tensor.dtype for tensor in weights(tmp_path / "run").values()} == {torch.bfloat16}


def test_each_epoch_has_every_row_once_in_another_order() -> None:
    order = RowOrder(10, seed=3)
    first, second = order.take(0, 10), order.take(10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert RowOrder(10, seed=3).take(7, 6) == (first + second)[7:13]
    assert LanguageSettings(epochs=3, batch_size=4, accumulate=2).num_steps(rows=100, processes=2) == 19


def test_rows_for_validation_are_measured_and_not_learned(tokens: Path, llm: Path, tmp_path: Path) -> None:
    prepare = ("llasa", "prepare", tokens, tmp_path / "rows", "--llm", llm, "--length", 256, "--cut")
    code, told = xcodec(*prepare, "--val-every", 2)
    assert "2 rows to train and 1 to validate; 1 of them cut at the end of the row; 2 left out" in told
    train = ("llasa", "train", llm, tmp_path / "rows", "-o", tmp_path / "run", "--steps", 2, "--batch-size", 1)
    code, told = xcodec(*train)
    assert code == 0
    assert "validation at step 2: loss 6." in told  # of 524 tokens as likely as each other: 6.26


# Beginning


def test_a_language_model_of_ones_own_gets_the_tokens_behind_its_own(codec: Path, tmp_path: Path) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    base = llasa_builders.small_llama(len(tokenizer))
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    loaded = Codec.from_pretrained(codec)
    report = begin(tmp_path / "base", tmp_path / "one", loaded, str(codec))
    assert (report.tokens, report.added) == (260 + 8 + 256, 264)
    begin(tmp_path / "base", tmp_path / "two", loaded, str(codec))
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    embeddings = one["model.embed_tokens.weight"]
    assert torch.equal(embeddings[:260], base.get_input_embeddings().weight)
    assert torch.equal(embeddings, two["model.embed_tokens.weight"])
    config = json.loads((tmp_path / "one/config.json").read_text())
    assert config["codec"] == str(codec)
    assert config["codec_identity"]["weights_hash"] == loaded.identity.weights_hash
    assert json.loads((tmp_path / "one/generation_config.json").read_text())["eos_token_id"] == 265
    with pytest.raises(InputError, match="exists already; give a folder that does not"):
        begin(tmp_path / "base", tmp_path / "one", loaded, str(codec))
    with pytest.raises(InputError, match="has a configuration of its own; only that of 'new' can be set"):
        begin(tmp_path / "base", tmp_path / "three", loaded, str(codec), fields={"hidden_size": 8})
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        begin(tmp_path / "none", tmp_path / "three", loaded, str(codec))


def test_a_configuration_that_is_none_is_told(codec: Path, tmp_path: Path) -> None:
    for setting, code, message in (
        ("hidden_sise=8", 1, "a Llama's configuration has no hidden_sise to set; there are hidden_size"),
        ("hidden_size=65", 1, "no Llama can be made of this configuration"),
        ("hidden_size", 2, "expected NAME=VALUE, such as num_hidden_layers=6"),
    ):
        result = xcodec("llasa", "init", "new", tmp_path / "llm", "-m", codec, "--set", setting)
        assert result[0] == code
        assert message in " ".join(result[1].replace("│", " ").split())
    assert not (tmp_path / "llm").exists()


# Refusals


def test_codes_of_another_codec_are_refused(tokens: Path, llm: Path, rows: Path, tmp_path: Path) -> None:
    other = shutil.copytree(llm, tmp_path / "other")
    config = json.loads((llm / "config.json").read_text())
    identity = config["codec_identity"] | {"name": "another", "weights_hash": "0" * 64}
    (other / "config.json").write_text(json.dumps(config | {"codec_identity": identity}))
    code, told = xcodec("llasa", "prepare", tokens, tmp_path / "rows", "--llm", other)
    assert code == 1
    assert "holds codes of tiny (" in told
    assert f"and {other} has the tokens of another (" in told
    with pytest.raises(InputError, match=r"hold codes of tiny .* has the tokens of another"):
        train_language_model(str(other), rows, tmp_path / "run", LanguageSettings(), CPU)
    with pytest.raises(Exception, match=r"speaks the codes of another"):
        Llasa.from_pretrained(other)
    (other / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "codec_identity"}))
    code, told = xcodec("llasa", "prepare", tokens, tmp_path / "rows", "--llm", other)
    assert "does not tell which codec it speaks, so that is not checked" in told


def test_a_language_model_without_tokens_and_an_output_without_texts_are_refused(
    tokens: Path, llm: Path, tmp_path: Path
) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    llasa_builders.small_llama(len(tokenizer)).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    code, told = xcodec("llasa", "prepare", tokens, tmp_path / "rows", "--llm", tmp_path / "base")
    assert code == 1
    assert "lacks 260 of the 260 tokens of speech" in told
    assert "put them in with `xcodec llasa init`" in told
    code, told = xcodec("llasa", "prepare", tokens, tmp_path / "rows", "--llm", llm, "--text", "words")
    assert code == 1
    assert "carries no column 'words' (it carries text)" in told


def test_rows_of_another_vocabulary_or_too_long_are_refused(llm: Path, rows: Path, tmp_path: Path) -> None:
    told = json.loads((rows / "rows.json").read_text())
    other = shutil.copytree(rows, tmp_path / "rows")
    (other / "rows.json").write_text(json.dumps(told | {"speech": told["speech"] | {"first_code_id": 300}}))
    with pytest.raises(InputError, match=r"were written for another vocabulary: .*; prepare rows for this language"):
        train_language_model(str(llm), other, tmp_path / "run", LanguageSettings(), CPU)
    short = shutil.copytree(llm, tmp_path / "short")
    config = json.loads((llm / "config.json").read_text())
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 256}))
    with pytest.raises(InputError, match=r"are up to \d+ ids long with their prompt, and .*short sees 256"):
        train_language_model(str(short), rows, tmp_path / "run", LanguageSettings(), CPU)


def test_settings_are_checked() -> None:
    for name, value in (("epochs", 0), ("learning_rate", float("nan")), ("batch_size", 0), ("seed", -1)):
        with pytest.raises(InputError, match=f"{name}={value}: expected a number"):
            LanguageSettings(**{name: value})
