"""`xcodec detokenize`: an output of `xcodec tokenize` -> recordings."""

from typing import Annotated

import typer

from xcodec.cli.console import errors, output, show_error, spoken_seconds
from xcodec.cli.failures import FAILED
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import (
    BUILT_IN,
    BatchSeconds,
    Compiled,
    Device,
    Dtype,
    Format,
    Model,
    Overwrite,
    Precision,
    load_codec,
    not_empty,
    to_file,
)
from xcodec.cli.paths import home

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


def command(
    folder: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of an output.", show_default=False, callback=not_empty)
    ],
    destination: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.", callback=to_file)
    ],
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this recording; may be given several times.")
    ] = None,
    audio_format: Annotated[Format, typer.Option("--format", metavar="FORMAT", help="wav, flac, ogg, opus or mp3.")] = (
        Format.WAV
    ),
    ignore_identity: Annotated[
        bool, typer.Option("--ignore-identity", help="Decode codes that another model made, whatever comes out.")
    ] = False,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    compiled: Compiled = False,
) -> None:
    """Decode the codes of `xcodec tokenize` to recordings."""
    from xcodec.tokenization.detokenize import DecodedReport, detokenize
    from xcodec.tokenization.tokens import Tokens

    tokens = Tokens(home(folder))
    codec = load_codec(model, device, dtype, compiled=compiled, decoder_only=True)
    with Interruption() as interruption, errors().status("decoding") as shown:

        def show(report: DecodedReport) -> None:
            shown.update(f"decoding: {report.written:,} recordings, {spoken_seconds(report.seconds)}")
            interruption.check()

        report = detokenize(
            tokens,
            codec,
            home(destination),
            ids or None,
            suffix=f".{audio_format.value}",
            overwrite=overwrite,
            batch_seconds=batch_seconds,
            check_identity=not ignore_identity,
            on_progress=show,
        )
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
