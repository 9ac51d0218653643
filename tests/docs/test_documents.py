"""The documents tell the truth: every command line is one that the program takes, and what needs nothing else runs."""

import ast
import importlib
import json
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
from cli_builders import run
from original import put_into_hub_cache
from xcodec import Audio, Codes
from xcodec.cli.app import COMMANDS, HELP, app
from xcodec.models.auto import feature_extractor_of
from xcodec_builders import tiny_xcodec

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "benchmarks/README.md",
]
# Whose Python is run from top to bottom, with tiny random models under the names of released ones.
RUN = ["README.md", "docs/start.md", "docs/streaming.md"]
# Whose Python is read, and why it is not run here.
READ = {
    "docs/evaluate.md": "writes the file of a predictor that is downloaded; tests/evaluation runs the rest",
    "docs/export.md": "an export takes minutes; tests/export and tests/runtime do this on a smaller model",
    "docs/llasa.md": "tests/llasa/test_llasa_speech.py runs it",
    "docs/models.md": "tests/conversion/test_yue.py does it on a small model",
    "docs/serve.md": "talks to a server; tests/serving does, with the same clients",
}
# Command lines that are not run here, by what stands in them.
NOT_RUN = {
    r"/[A-Z]|hf-audio|neuphonic|huseinzol|nvidia/|m-a-p/|malaysia|bosonai|facebook/|--llm": "a download",
    r"https?://|s3://": "another machine",
    r"^(serve|train|export|convert|say)\b": "longer than a test may; tests of its own",
    r"(^| )-( |$)": "a pipe; tests/cli/test_stream_command.py",
    r"\bray\b|submit|--worker": "several processes; tests/tokenization/test_tokenize_ray.py, _slurm.py and _workers.py",
}
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = get_command(app)
# Where a command ends in a shell's line.
SEPARATORS = {"|", ">", "2>", "2>&1", "&&", ";", "<"}


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


def shell_lines(notebook: Path) -> Iterator[Block]:
    """What the cells of a notebook say to the shell."""
    for i, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        lines = [line[1:] for line in "".join(cell["source"]).splitlines() if line.startswith("!")]
        if cell["cell_type"] == "code" and lines:
            yield Block(f"{notebook.relative_to(ROOT)}:{i}", "", "\n".join(lines))


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]
BLOCKS += [block for path in sorted(ROOT.glob("docs/tutorials/*.ipynb")) for block in shell_lines(path)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PAGES = {"--help": HELP} | {f"{name} --help": importlib.import_module(f"xcodec.cli.{name}").HELP for name in COMMANDS}


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


def test_every_document_with_python_is_run_or_says_why_not() -> None:
    with_python = {block.place.partition(":")[0] for block in PYTHON}
    assert with_python == {*RUN, *READ}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the recordings that the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "calls").mkdir()
    spoken = Audio(builders.speech(1.2), 16000)
    for name in ("speech.wav", "a.flac", "b.mp3", "music.mp3", "lecture.mp3"):
        spoken.save(name)
    Codes([[7] * 61], 50.0, 19200, 16000, 16000, (65536,)).save("speech.codes")
    for folder in ("recordings", "corpus"):
        spoken.save(f"{folder}/x.wav")
        Audio(builders.speech(0.7), 16000).save(f"{folder}/y.flac")
    Audio(builders.speech(1.0).reshape(2, -1), 16000).save("calls/call.wav")
    return tmp_path


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_document_runs_in_one_session_from_top_to_bottom(page: str, desk: Path) -> None:
    clips = [builders.speech(1.0), builders.speech(0.5)]
    heard: list[Audio] = []
    names = {
        "clips": clips,
        "waveform": torch.from_numpy(clips[0])[None],
        "wave": torch.from_numpy(clips[0]),
        "codes_as_they_come": range(40),
        "play": heard.append,
        "microphone": [clips[0][:7000], clips[0][7000:]],
    }
    ran = [block for block in blocks(ROOT / page) if block.language == "python" and "llasa" not in block.text]
    for block in ran:
        exec(compile(block.text, block.place, "exec"), names)
    assert len(ran) >= 2
    if page == "docs/streaming.md":
        assert sum(audio.num_samples for audio in heard) == 40 * 320
    else:
        again = "again.wav" if page == "README.md" else "speech-again.wav"
        assert Audio.read(again).samples.shape == (1, 19200)


def runs_here(arguments: list[str]) -> bool:
    return not any(re.search(pattern, " ".join(arguments)) for pattern in NOT_RUN)


@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_the_command_lines_of_a_document_do_what_they_say_one_after_another(page: str, desk: Path) -> None:
    lines = [line for block in blocks(ROOT / page) if not block.language for line in commands(block.text)]
    ran = [arguments for arguments in lines if runs_here(arguments)]
    for arguments in ran:
        if arguments[0] == "tokenize":
            pytest.importorskip("pyarrow", reason="pip install 'xcodec[tokenize]'")
        result = run(*arguments)
        assert result.code == 0, (arguments, result.err)
    assert {"encode", "decode", "tokenize", "evaluate"} <= {arguments[0] for arguments in ran}
    assert (desk / "codes/x.wav.codes").is_file()
    assert 19200 in {Audio.read(path).num_samples for path in (desk / "speech").iterdir()}
    assert list((desk / "tokens/codes").glob("*.parquet"))
