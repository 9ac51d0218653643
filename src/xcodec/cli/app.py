"""The program: its commands, its manual page, and what surrounds a run.

A command's module is imported when that command is asked for, and torch not before it does its work: `xcodec --help` is
quick, and so is `xcodec info` of a file of codes.
"""

import signal
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from xcodec import __version__
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
  xcodec probe mini --data recordings/     what its codes depend on, and hold
  xcodec convert xcodec2.ckpt my-model/    an original checkpoint
  xcodec encode speech.wav -o codes/ --model my-model/
  xcodec export my-model/ my-onnx/         to run without torch
  xcodec tokenize corpus/ -o tokens/       a data set, to Parquet of codes
  xcodec detokenize tokens/ -o decoded/    and back
  xcodec train mini --data recordings -o runs/mini   a codec of your own
  xcodec llasa train my-llm/ rows/ -o run/            a language model that speaks

[bold]Models[/bold]

  mini                       comes with the package; the default
  mini-general               likewise, with X-Codec's bandwidths, for any audio
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

COMMANDS = {
    "encode": "Encode recordings as files of codes.",
    "decode": "Decode files of codes to recordings.",
    "reconstruct": "Encode recordings and decode the codes: hear what a codec keeps.",
    "say": "Say a text with a language model such as LLaSA.",
    "serve": "Serve a codec over HTTP and WebSocket.",
    "detokenize": "Decode the codes of `xcodec tokenize` to recordings.",
    "train": "Train a codec by a recipe: from nothing, from a checkpoint, or on from where the run in OUT was left.",
    "llasa": "Make a language model that speaks, of a language model, recordings and their texts.",
    "evaluate": "Measure how much of recordings a codec keeps.",
    "probe": "Probe a codec's codes: what changes them, what they hold, and how they break.",
    "info": "Tell what a model, a file of codes or a recording is.",
    "convert": "Convert a checkpoint of any codec to the layout that xcodec and transformers read.",
    "export": "Write a codec as ONNX, which runs without torch.",
    "page": "Write the page that encodes and decodes in the browser, as static files.",
    "tokenize": "Tokenize a data set: recordings become Parquet files of codes.",
}
"""Of each command, which is a module of its own, how its manual begins."""


class Commands(TyperGroup):
    """The commands by name; until one is asked for, it is nothing but that and the beginning of its manual."""

    @property
    def commands(self) -> dict[str, Any]:
        """All of them, built."""
        return {name: built(name) for name in COMMANDS}

    @commands.setter
    def commands(self, given: object) -> None:
        """Leave it to COMMANDS; the base class sets what was registered, which is nothing."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Name them in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Say what one is called and does; None where there is no such."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the one that `args` ask for, and build it, in a process that keeps its pages."""
        from xcodec.cli.allocator import keep_pages

        keep_pages()
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if command is None else built(str(command.name)), rest


def built(name: str) -> Any:
    """Import a command, with its options and its manual."""
    module = import_module(f"xcodec.cli.{name}")
    if hasattr(module, "app"):  # it has commands of its own
        return typer.main.get_command(module.app)
    from xcodec.cli.failures import Command

    alone = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=CONTEXT)
    alone.command(
        name,
        cls=Command,
        help=manual(module.HELP),
        epilog=manual(module.EPILOG),
        no_args_is_help=name != "serve",
    )(module.command)
    return typer.main.get_command(alone)


CONTEXT = {"help_option_names": ["--help", "-h"]}

app = typer.Typer(
    name="xcodec",
    cls=Commands,
    help=manual(HELP),
    epilog=manual(EPILOG),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=CONTEXT,
)


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
