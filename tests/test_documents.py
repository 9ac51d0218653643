"""The documents tell the truth: every command line is one that the program takes, and the Python runs."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from huggingface_hub import constants
from typer.main import get_command

import builders
from original import put_into_hub_cache
from xcodec import Audio
from xcodec.cli.app import COMMANDS, HELP, app
from xcodec.models.auto import feature_extractor_of
from xcodec_builders import tiny_xcodec

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "benchmarks/README.md",
]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = get_command(app)
# Where a command ends in a shell's line.
SEPARATORS = {"|", ">", "2>", "&&", ";", "<"}


class Block(NamedTuple):
    """What stands between two fences, and where."""

    place: str
    language: str
    text: str


def blocks(path: Path) -> Iterator[Block]:
    document = path.read_text()
    for found in FENCE.finditer(document):
        place = f"{path.relative_to(ROOT)}:{document.count(chr(10), 0, found.start()) + 1}"
        yield Block(place, found["language"], found["text"])


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PAGES = {"--help": HELP} | {f"{name} --help": module.HELP for name, module in COMMANDS.items()}


def commands(text: str) -> list[list[str]]:
    """The arguments of every call of xcodec in a shell's lines, but for those that leave some out."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not re.match(r"\s*([\w.-]+ .*\| )?xcodec [a-z]", line):
            continue
        # In --help, what a command is for stands apart.
        words = shlex.split(re.split(r" #|(?<=\S)  +(?=[a-z])", line)[0])
        parts = [list(part) for splits, part in groupby(words, SEPARATORS.__contains__) if not splits]
        found += [part[1:] for part in parts if part[0] == "xcodec" and "..." not in part]
    return found


def parse(arguments: list[str]) -> None:
    """Have the program read a command line, and do nothing."""
    command = PROGRAM
    context = command.make_context("xcodec", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


SHOWN = [
    pytest.param(arguments, id=f"{place} {' '.join(arguments[:2])}")
    for place, text in [(block.place, block.text) for block in BLOCKS if not block.language] + list(PAGES.items())
    for arguments in commands(text)
]


@pytest.mark.parametrize("arguments", SHOWN)
def test_the_program_takes_every_command_line_of_the_documents(arguments: list[str]) -> None:
    parse(arguments)


def test_there_are_command_lines_in_the_documents() -> None:
    assert len(SHOWN) > 50
    assert {arguments.values[0][0] for arguments in SHOWN} >= set(COMMANDS)


@pytest.mark.parametrize("block", PYTHON, ids=[block.place for block in PYTHON])
def test_what_the_documents_import_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "xcodec":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the hub with tiny random models under the names that the README has."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    models = {
        "HKUSTAudio/xcodec2-hf": builders.tiny_model(),
        "HKUSTAudio/xcodec2": builders.tiny_model(),
        "neuphonic/neucodec": builders.tiny_neucodec(),
        "hf-audio/xcodec-hubert-general": tiny_xcodec(),
        "hf-audio/xcodec-hubert-librispeech": tiny_xcodec(),
    }
    for name, model in models.items():
        folder = tmp_path / name
        model.save_pretrained(folder)
        feature_extractor_of(model).save_pretrained(folder)
        put_into_hub_cache(folder, name, tmp_path / "hub")


@pytest.mark.usefixtures("hub")
def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one session from top to bottom."""
    monkeypatch.chdir(tmp_path)
    clips = [builders.speech(1.0), builders.speech(0.5)]
    for name in ("speech.wav", "a.flac", "b.mp3", "music.mp3", "lecture.mp3"):
        Audio(builders.speech(1.2), 16000).save(name)
    names = {"clips": clips, "waveform": torch.from_numpy(clips[0])[None], "wave": torch.from_numpy(clips[0])}
    ran = [block for block in blocks(ROOT / "README.md") if block.language == "python" and "llasa" not in block.text]
    for block in ran:
        exec(compile(block.text, block.place, "exec"), names)
    assert len(ran) > 5
    assert names["codes"].shape == (1, 1, 50)
    assert Audio.read("speech-again.wav").samples.shape == (1, 19200)
