"""The program: its commands, its manual page, and what surrounds a run.

Nothing here or in the modules of the commands imports torch before a command does its work, so that `--help` is quick.
"""

import signal
import sys
import warnings
from typing import Annotated

import typer

from xcodec import __version__
from xcodec.cli import (
    convert,
    decode,
    detokenize,
    encode,
    evaluate,
    export,
    info,
    reconstruct,
    say,
    serve,
    tokenize,
    train,
)
from xcodec.cli.failures import Command
from xcodec.cli.manual import manual

__all__ = ["app", "run"]

HELP = """\
Turn speech and other audio into discrete codes and back with the neural codecs
X-Codec2 and X-Codec.

X-Codec2 makes 50 codes of 16 bits of a second of speech, 0.8 kbit/s; X-Codec 50
to 400 codes of 10 bits of a second of any audio, 0.5 to 4 kbit/s. What a
recording becomes does not depend on which others are encoded with it.

[bold]Examples[/bold]

  xcodec encode recordings/ -o codes/      every recording in a folder
  xcodec decode codes/ -o decoded/         and back to audio
  xcodec reconstruct a.mp3 -o again.wav    both at once: how the codes sound
  xcodec say "Hello." --llm my-llm/ -o hello.wav
  xcodec serve                             all of this over HTTP
  xcodec info speech.mp3 codes/a.wav.codes mini
  xcodec evaluate recordings/ -m mini      how much of them a codec keeps
  xcodec convert xcodec2.ckpt my-model/    an original checkpoint
  xcodec encode speech.wav -o codes/ --model my-model/
  xcodec export my-model/ my-onnx/         to run without torch
  xcodec tokenize corpus/ -o tokens/       a data set, to Parquet of codes
  xcodec detokenize tokens/ -o decoded/    and back
  xcodec train mini --data data/speech -o runs/mini   a codec of your own

[bold]Models[/bold]

  mini                       comes with the package; the default
  HKUSTAudio/xcodec2-hf      on the Hugging Face hub (CC-BY-NC-4.0),
                             downloaded when first used
  hf-audio/xcodec-hubert-librispeech, hf-audio/xcodec-wavlm-mls,
  hf-audio/xcodec-wavlm-more-data
                             X-Codec for speech, likewise
  hf-audio/xcodec-hubert-general, hf-audio/xcodec-hubert-general-balanced
                             X-Codec for any audio, likewise
  FOLDER                     config.json and model.safetensors, such as
                             `xcodec convert` writes

A name is a folder if there is one, and a hub id if not; a folder that is itself
called mini is ./mini."""

EPILOG = """\
[bold]Exit codes[/bold]

  0      all was done
  1      something failed, and stderr says why; what could be done was done
  2      the command line was not understood
  130    interrupted (Ctrl-C); every file that was written is whole

`xcodec COMMAND --help` is the manual of a command."""

app = typer.Typer(
    name="xcodec",
    help=manual(HELP),
    epilog=manual(EPILOG),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
COMMANDS = {
    "encode": encode,
    "decode": decode,
    "reconstruct": reconstruct,
    "say": say,
    "serve": serve,
    "detokenize": detokenize,
    "train": train,
    "evaluate": evaluate,
    "info": info,
    "convert": convert,
    "export": export,
}
for name, module in COMMANDS.items():
    text, epilog = manual(module.HELP), manual(module.EPILOG)
    needs_arguments = module is not serve
    app.command(name, cls=Command, help=text, epilog=epilog, no_args_is_help=needs_arguments)(module.command)
app.add_typer(tokenize.app, name="tokenize")


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"xcodec {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


def run() -> None:
    """Run the program on `sys.argv`, and exit."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, for programmers
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    # So that a half-written file is removed on the way out, as it is after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app(prog_name="xcodec")
