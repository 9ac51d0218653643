"""`xcodec detokenize`: an output of `xcodec tokenize` -> recordings."""

from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.console import errors, output, show_error, spoken_seconds
from xcodec.cli.failures import FAILED
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import BatchSeconds, CheckIdentity, CodecOptions, Compiled, OutputFolder, Overwrite
from xcodec.cli.paths import home, place
from xcodec.cli.suffixes import Format
from xcodec.cli.values import to_file

if TYPE_CHECKING:
    from xcodec.tokenization.detokenize import DecodedReport

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Decode the codes of `xcodec tokenize` to recordings.

Each recording goes where its id says: books/a.wav to DIR/books/a.wav, and
books/a.flac to DIR/books/a.flac.wav. Recordings that are there already are left
alone, so that a run which was stopped can be repeated. What cannot be decoded
or written is named, and all else is done.

[bold]Examples[/bold]

  xcodec detokenize tokens/ -o audio/
  xcodec detokenize tokens/ -o audio/ --id books/a.wav --id books/b.wav
  xcodec detokenize tokens/ -o audio/ --format flac -m HKUSTAudio/xcodec2-hf"""

EPILOG = "[bold]Exit codes[/bold]  0: all decoded. 1: some were not. 2: wrong usage. 130: interrupted."


@with_groups
def command(
    folder: OutputFolder,
    destination: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.", callback=to_file)
    ],
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this recording; may be given several times.")
    ] = None,
    audio_format: Annotated[Format, typer.Option("--format", metavar="FORMAT", help="wav, flac, ogg, opus or mp3.")] = (
        Format.WAV
    ),
    check_identity: CheckIdentity = False,
    *,
    codec: CodecOptions,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    compiled: Compiled = False,
) -> None:
    """Decode the codes of `xcodec tokenize` to recordings."""
    from xcodec.tokenization.detokenize import DecodedReport, detokenize
    from xcodec.tokenization.tokens import Tokens

    tokens = Tokens(place(folder))
    decoder = codec.load(compiled=compiled, decoder_only=True)
    with Interruption() as interruption, errors().status("decoding") as shown:

        def show(report: DecodedReport) -> None:
            shown.update(f"decoding: {report.written:,} recordings, {spoken_seconds(report.seconds)}")
            interruption.check()

        report = detokenize(
            tokens,
            decoder,
            home(destination),
            ids or None,
            suffix=f".{audio_format.value}",
            overwrite=overwrite,
            batch_seconds=batch_seconds,
            check_identity=check_identity,
            on_progress=show,
        )
    show_report(report)


def show_report(report: "DecodedReport") -> None:
    """Print what was decoded and what was not.

    Raises:
        typer.Exit: where anything was not.
    """
    for failure in report.failures:
        show_error(f"{failure.id}: {failure.error}")
    there = f"; {report.there:,} were there already" if report.there else ""
    failed = f"; {len(report.failures):,} failed" if report.failures else ""
    output().print(
        f"Decoded {report.written:,} recordings, {spoken_seconds(report.seconds)} of audio{there}{failed}",
        soft_wrap=True,
    )
    if report.failures:
        raise typer.Exit(FAILED)
