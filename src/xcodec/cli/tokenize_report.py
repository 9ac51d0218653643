"""`xcodec tokenize report`: an output as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from xcodec.cli.console import errors, output
from xcodec.cli.groups import with_groups
from xcodec.cli.options import CodecOptions, OutputFolder
from xcodec.cli.paths import place
from xcodec.cli.values import path_to_write

__all__ = ["REPORT_HELP", "report"]

REPORT_HELP = """\
Show an output in one HTML file, which needs nothing beside it.

Hours, lengths, quality where it was measured, the use of the codebooks, failures
by class with examples, the files that took longest to read, and some recordings to
listen to, beside what the codec makes of their codes.

[bold]Examples[/bold]

  xcodec tokenize report tokens/ -o report.html -m HKUSTAudio/xcodec2-hf
  xcodec tokenize report tokens/ -o report.html --examples 0     no model is needed"""


@with_groups
def report(
    folder: OutputFolder,
    destination: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="File to write.", show_default=False, parser=path_to_write),
    ],
    examples: Annotated[int, typer.Option("--examples", min=0, metavar="N", help="Recordings to listen to.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which recordings these are.")] = 0,
    *,
    codec: CodecOptions,
) -> None:
    """Show an output in one HTML file."""
    from xcodec.evaluation.data_set_page import data_set_page
    from xcodec.files import written_whole
    from xcodec.tokenization.tokens import Tokens

    tokens = Tokens(place(folder))
    loaded = codec.load(decoder_only=True) if examples else None
    with errors().status("reading"):
        text = data_set_page(tokens, loaded, examples, seed)
    with written_whole(destination) as part:
        part.write_text(text, encoding="utf-8")
    output().print(f"Wrote {destination}", soft_wrap=True, markup=False)
