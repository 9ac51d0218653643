"""Lay out the pages of the site in build/site-pages, for mkdocs: `make docs` does both.

    python scripts/documentation.py                   # all pages
    python scripts/documentation.py --command-line    # prints the manual of every command

Pages are the documents of this repository as they are, with the links between them made to fit; the tutorials, with
what their cells print, show and sound like, for which each is executed; the manual of every command; and, by
mkdocstrings, the docstrings.
"""

import asyncio
import os
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "site-pages"
# Documents outside docs/, and where the site has them. What is in docs/ keeps its path.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASE.md": "releasing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/memory.svg": "memory.svg",
    "src/xcodec/mini/README.md": "mini.md",
    "src/xcodec/mini-general/README.md": "mini-general.md",
    "src/xcodec/mini-general/credits.tsv": "credits.tsv",
}
# What is public: of each page of the reference its title, and the objects on it in order.
REFERENCE = {
    "codec": [
        "Codec, Audio, Codes",
        "codec.Codec",
        "recording_codec.RecordingCodec",
        "audio.audio.Audio",
        "audio.file.AudioFile",
        "audio.info.AudioInfo",
        "codes.Codes",
        "codes.CodecIdentity",
        "errors",
    ],
    "models": [
        "Models",
        "models.codec_model.CodecModel",
        "models.pretrained.StrictPreTrainedModel",
        "models.family.Family",
        "models.auto",
        "models.xcodec2.configuration.Xcodec2Config",
        "models.xcodec.configuration.XcodecConfig",
        "models.feature_extraction.WaveformFeatureExtractor",
        "modules.time",
    ],
    "streaming": ["Streams", "streaming.decoder.StreamDecoder", "streaming.encoder.StreamEncoder"],
    "llasa": [
        "Language models",
        "llasa.model.Llasa",
        "llasa.tokens.SpeechTokens",
        "llasa.prompt.Prompts",
        "llasa.rows",
        "llasa.tokens.Convention",
        "llasa.engine.Engine",
        "llasa.engine.Sampling",
    ],
    "evaluation": ["Evaluation", "evaluation.evaluation", "evaluation.metric", "evaluation.selection"],
    "training": ["Training", "training.recipe", "training.sections"],
    "others": [
        "Other interfaces",
        "compat.xcodec2.XCodec2Model",
        "compat.neucodec.NeuCodec",
        "runtime.codec.Codec",
        "export",
    ],
}
LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)(?=(?:#[^)\s]*)?\))")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def places() -> dict[str, str]:
    """Where the site has each file of the repository that it has: paths from the root to paths in the site."""
    found = dict(ELSEWHERE)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.suffix in (".md", ".svg", ".png", ".css", ".js", ".ipynb"):
            name = path.relative_to(ROOT / "docs").as_posix()
            found[f"docs/{name}"] = name.removesuffix(".ipynb") + ".md" if path.suffix == ".ipynb" else name
    return found


def place_of(source: str, found: Mapping[str, str]) -> str | None:
    """Where the site has a file or folder: as a page, or, of a source file, what its docstrings say."""
    if source in found:
        return found[source]
    if source.startswith("src/xcodec/") and source.endswith(".py"):
        module = source.removeprefix("src/xcodec/").removesuffix(".py").replace("/", ".")
        for page in REFERENCE:
            if any(f"{name}.".startswith(f"{module}.") for name in REFERENCE[page][1:]):
                return f"api/{page}.md"
    return found.get(posixpath.join(source, "README.md"))


def relinked(text: str, source: str, found: Mapping[str, str]) -> str:
    """Make the links of a document fit the site.

    Args:
        text: Markdown.
        source: its path from the root of the repository.
        found: what `places` gives.

    Raises:
        SystemExit: for a link to what the site does not have.
    """
    here = posixpath.dirname(found[source])

    def fit(link: re.Match[str]) -> str:
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
        place = place_of(wanted, found)
        if place is None:
            sys.exit(f"{source}: links to {link['target']}, which the site does not have")
        return posixpath.relpath(place, here or ".")

    parts = FENCED.split(text)
    return "".join(part if i % 2 else LINK.sub(fit, part) for i, part in enumerate(parts))


def commands() -> Iterator[tuple[str, ...]]:
    """The names of every command, as they are typed."""
    from typer.main import get_command

    from xcodec.cli.app import app

    program: Any = get_command(app)
    for name, command in program.commands.items():
        yield (name,)
        yield from ((name, part) for part in getattr(command, "commands", ()))


def command_line() -> str:
    """The manual of the program and of every command, as `--help` prints it."""
    plain = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain):  # some of it is read once, on import
        from typer.testing import CliRunner

        from xcodec.cli.app import app

    page = ["# The command line", "What `xcodec COMMAND --help` prints."]
    for names in [(), *commands()]:
        shown = CliRunner().invoke(app, [*names, "--help"], env=plain)
        text = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        page += [f"## {' '.join(('xcodec', *names))}", f"```text\n{text}\n```"]
    return "\n\n".join(page) + "\n"


def reference(page: str) -> str:
    """A page of docstrings, for mkdocstrings to fill."""
    title = REFERENCE[page][0]
    return "\n\n".join([f"# {title}", *(f"::: xcodec.{name}" for name in REFERENCE[page][1:])]) + "\n"


def executed(notebook: Path) -> Any:
    """Run a notebook in a folder of its own, with this environment's programs, and give it back with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: where a cell or a command in it fails.
    """
    import tempfile

    from nbclient import NotebookClient

    opened = nbformat.read(notebook, as_version=4)
    written = [cell.source for cell in opened.cells]
    for cell in opened.cells:
        if cell.cell_type == "code":  # IPython goes on after a command that failed
            cell.source = re.sub(r"(?m)^(!.*)$", r"\1\nassert not _exit_code", cell.source)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "tests" / "audio", Path(folder, "recordings"), ignore=shutil.ignore_patterns("*.py"))
        client = NotebookClient(opened, kernel_name="python3", resources={"metadata": {"path": folder}})
        # A command that is started by `!` has a terminal, which no page is.
        environment = os.environ | {"PATH": programs, "TTY_COMPATIBLE": "0", "NO_COLOR": "1"}
        asyncio.run(client.async_execute(env=environment))  # `execute` would leave its event loop open
    for cell, source in zip(opened.cells, written, strict=True):
        cell.source = source
    return opened


def tutorial(notebook: Any) -> str:
    """The page of an executed notebook."""
    page = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            page.append(cell.source)
            continue
        page.append(f"```python\n{cell.source}\n```")
        page += [shown for output in joined(cell.outputs) if (shown := output_of(output))]
    return "\n\n".join(page) + "\n"


def joined(outputs: list[Any]) -> list[Any]:
    """Make one output of what was printed piece by piece."""
    found: list[Any] = []
    for output in (each for each in outputs if each.get("name") != "stderr"):
        if output.output_type == "stream" and found and found[-1].output_type == "stream":
            found[-1] = nbformat.v4.new_output("stream", text=found[-1].text + output.text)
        else:
            found.append(output)
    return found


def output_of(output: Any) -> str:
    """What a page shows of a cell's output."""
    if output.output_type == "stream":
        text = ESCAPES.sub("", output.text)
        lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
        printed = "\n".join(lines).strip("\n")
        return f"```text\n{printed}\n```" if printed else ""
    data = output.get("data", {})
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    return f"```text\n{data['text/plain']}\n```" if "text/plain" in data else ""


def main(pages: Path = PAGES, run: bool = True) -> None:
    """Write all pages.

    Args:
        pages: the folder to write, anew.
        run: whether the tutorials are executed.
    """
    shutil.rmtree(pages, ignore_errors=True)
    found = places()
    for source, place in found.items():
        (pages / place).parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".ipynb"):
            text = tutorial(executed(ROOT / source) if run else nbformat.read(ROOT / source, as_version=4))
        elif source.endswith(".md"):
            text = (ROOT / source).read_text(encoding="utf-8")
        else:
            shutil.copy(ROOT / source, pages / place)
            continue
        (pages / place).write_text(relinked(text, source, found), encoding="utf-8")
    (pages / "command-line.md").write_text(command_line(), encoding="utf-8")
    (pages / "api").mkdir()
    for page in REFERENCE:
        (pages / "api" / f"{page}.md").write_text(reference(page), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--command-line"]:
        print(command_line())
    else:
        main()
