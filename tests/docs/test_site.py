"""The site: its pages are laid out of the documents, its links lead somewhere, and it asks nothing of other hosts."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xcodec.cli.app import COMMANDS

pytest.importorskip("nbformat", reason="needs pip install nbclient ipykernel")

ROOT = Path(__file__).parents[2]
SITE: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/documentation.py"))
NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))


def test_links_between_documents_fit_the_site() -> None:
    found = SITE["places"]()
    text = "[a](../benchmarks/README.md#speed) [b](formats.md) [c](https://x.y/z.md)\n```\n[d](nowhere.md)\n```\n"
    fitted = SITE["relinked"](text, "docs/start.md", found)
    assert fitted == text.replace("../benchmarks/README.md", "benchmarks.md")
    assert "(../mini.md)" in SITE["relinked"]("[m](../../src/xcodec/mini/README.md)", "docs/decisions/README.md", found)
    assert "(api/training.md)" in SITE["relinked"]("[s](../src/xcodec/training/sections.py)", "docs/train.md", found)
    assert "(tutorials/codes.md)" in SITE["relinked"]("[t](docs/tutorials/codes.ipynb)", "README.md", found)


def test_a_link_to_what_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(SystemExit, match=r"docs/start\.md: links to nowhere\.md"):
        SITE["relinked"]("[x](nowhere.md)", "docs/start.md", SITE["places"]())


def test_what_the_reference_shows_is_there() -> None:
    from pkgutil import resolve_name

    for _, *names in SITE["REFERENCE"].values():
        for name in names:
            assert resolve_name(f"xcodec.{name}").__doc__


def test_the_manual_has_every_command_as_help_prints_it() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/documentation.py", "--command-line"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    headings = re.findall(r"^## xcodec ?(.*)$", done.stdout, re.MULTILINE)
    assert headings[0] == ""
    assert {*COMMANDS, "tokenize", "tokenize status", "tokenize export"} <= set(headings)
    assert "--segment-seconds" in done.stdout
    assert "\x1b" not in done.stdout


def test_making_the_manual_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    assert "## xcodec encode" in SITE["command_line"]()
    assert dict(os.environ) == before


def test_a_page_shows_of_what_was_printed_what_stays_on_a_terminal() -> None:
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    pieces = ["\x1b[?25l\r\x1b[2Kwork", "\rwork 1/2", "\r\x1b[32mwork\x1b[0m 2/2\r\nall", " was done\n"]
    outputs = [
        *(new_output("stream", text=piece) for piece in pieces),
        new_output("stream", name="stderr", text="a warning"),
        new_output("execute_result", data={"text/plain": "7"}),
        new_output("stream", text="\x1b[?25h"),
    ]
    page = SITE["tutorial"](new_notebook(cells=[new_code_cell("x", outputs=outputs)]))
    assert page == "```python\nx\n```\n\n```text\nwork 2/2\nall was done\n```\n\n```text\n7\n```\n"


def test_notebooks_are_stored_without_what_a_run_left() -> None:
    assert len(NOTEBOOKS) == 6
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), notebook.name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[notebook.stem for notebook in NOTEBOOKS])
def test_a_tutorial_runs_from_top_to_bottom(notebook: Path) -> None:
    pytest.importorskip("nbclient", reason="needs pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="needs pip install nbclient ipykernel")
    text = notebook.read_text(encoding="utf-8")
    if "xcodec tokenize" in text:
        pytest.importorskip("pyarrow", reason="needs pip install 'xcodec[tokenize]'")
    if "harmonic" in text:
        pytest.importorskip("swift_f0", reason="needs pip install 'xcodec[pitch]'")
    page = SITE["tutorial"](SITE["executed"](notebook))
    assert "Traceback" not in page
    assert "Error" not in page
    assert "<audio controls" in page
    assert ("<svg" in page) == (notebook.stem == "codes")


def test_the_site_is_built_with_no_link_broken_and_asks_nothing_of_other_hosts(tmp_path: Path) -> None:
    """Of the pages without the tutorials' outputs, which the tests above make."""
    pytest.importorskip("material", reason="needs pip install mkdocs-material mkdocstrings-python")
    SITE["main"](tmp_path / "pages", run=False)
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("build/site-pages", str(tmp_path / "pages"))
    settings = settings.replace("build/site", str(tmp_path / "site")).replace("[src]", f"[{ROOT / 'src'}]")
    (tmp_path / "mkdocs.yml").write_text(settings, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-f", tmp_path / "mkdocs.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = re.sub(r'src="data:[^"]*"', "", page.read_text(encoding="utf-8"))
        asked = re.findall(r'<(?:script|img|iframe|audio)[^>]*\ssrc="(https?:[^"]*)"', text)
        asked += re.findall(r'<link[^>]*rel="(?:stylesheet|icon|preconnect|preload)"[^>]*href="(https?:[^"]*)"', text)
        assert not asked, (page, asked)
    shutil.rmtree(tmp_path / "site")
