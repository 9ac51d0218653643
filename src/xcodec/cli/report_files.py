"""The files that a report of measurements is written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xcodec.cli.console import output
from xcodec.cli.values import path_to_write
from xcodec.errors import InputError
from xcodec.files import written_whole

__all__ = ["HTML", "ReportFiles", "write_report"]


HTML = typer.Option(
    "--html",
    metavar="FILE",
    help="Write a page with players, spectrograms and codes, in one file.",
    show_default=False,
    parser=path_to_write,
)


@dataclass(frozen=True)
class ReportFiles:
    """What is told besides the tables, and where."""

    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write all figures as JSON.", show_default=False, parser=path_to_write
        ),
    ] = None
    html_file: Annotated[Path | None, HTML] = None

    def check(self, overwrite: bool) -> None:
        """See, before hours of measuring, whether reports can be written.

        Raises:
            InputError: where one exists already, or its folder does not.
            MissingExtraError: where what writes them is not installed.
        """
        for file in (self.json_file, self.html_file):
            if file is None:
                continue
            if file.is_dir():
                raise InputError("it is a folder", subject=file, remedy="give the name of a file")
            if file.exists() and not overwrite:
                raise InputError("exists already", subject=file, remedy="give --overwrite to replace it")
            if not file.parent.is_dir():
                raise InputError(f"the folder {file.parent} does not exist", subject=file, remedy="make it first")
        from xcodec.evaluation.selection import check_reports

        check_reports(self.html_file is not None)


def write_report(path: Path, text: str) -> None:
    """Write a report, whole or not at all, and say where it is."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    output().print(Text(f"wrote {path}"), soft_wrap=True)
