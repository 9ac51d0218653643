"""The options that several commands share, each declared once, and the codec they ask for.

A parameter is called as the package's argument is, since errors name arguments (see `failures.in_options`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xcodec.built_in import MINI
from xcodec.cli.console import errors
from xcodec.cli.groups import retold
from xcodec.cli.places import refuse_terminal
from xcodec.cli.suffixes import Format
from xcodec.cli.values import from_files, known_channel, known_size, not_empty, to_file_or_pipe
from xcodec.device import Precision

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = [
    "CHANNEL",
    "IGNORE_UNREADABLE",
    "AudioFormat",
    "Bandwidth",
    "BatchSeconds",
    "CheckIdentity",
    "CodecOptions",
    "Compiled",
    "DecodingOptions",
    "Device",
    "Dtype",
    "EncodingOptions",
    "IgnoreUnreadable",
    "Inputs",
    "LocalInputs",
    "OptionalOutput",
    "Output",
    "OutputFolder",
    "Overwrite",
    "Precision",
    "Raw",
    "RunOptions",
    "Stream",
    "check_stream",
    "load_codec",
]

# Inputs and outputs

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders (searched to any depth), glob patterns or URLs; or -, standard input.",
        show_default=False,
        callback=not_empty,
    ),
]
LocalInputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders (searched to any depth) or glob patterns.",
        show_default=False,
        callback=from_files,
    ),
]
OutputFolder = Annotated[
    str, typer.Argument(metavar="OUT", help="Folder of an output.", show_default=False, callback=not_empty)
]
"""What `xcodec tokenize` wrote, for what reads it."""

_output = typer.Option(
    "--output",
    "-o",
    metavar="OUT",
    help="Folder to write to; for one input, it may name a file, or be -, standard output.",
    show_default=False,
    callback=to_file_or_pipe,
)
Output = Annotated[str, _output]
OptionalOutput = Annotated[str | None, _output]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are failures.")]
AudioFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="wav, flac, ogg, opus or mp3; else as OUT is named, or wav.",
        show_default=False,
    ),
]
Stream = Annotated[bool, typer.Option("--stream", help="Write WAV to standard output as it comes, instead of files.")]
Raw = Annotated[bool, typer.Option("--raw", help="With --stream: 16-bit little-endian PCM without a header.")]

# The codec

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A checkpoint folder, a hub id (OWNER/NAME, or OWNER/NAME/FOLDER), or mini or mini-general, which are "
        "built in.",
        callback=not_empty,
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps; auto takes CUDA if there is any.")
]
Dtype = Annotated[
    Precision,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="float32, bfloat16 or float16; or int8, on a CPU. Only float32 gives the reference's codes exactly.",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="What the model may use beyond its weights, such as 500MB or 4GiB; results are the same.",
        show_default=False,
        callback=known_size,
    ),
]
Compiled = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the model's layers at the first recordings, once for every length; float32 gives the same codes. "
        "Batches of more than a minute run as without it. On a CPU it needs a C++ compiler.",
    ),
]

# What it is to do

Bandwidth = Annotated[
    float | None,
    typer.Option(
        "--bandwidth",
        "-b",
        metavar="KBPS",
        help="In kbit/s: for X-Codec 0.5, 1, 1.5, 2 or 4, for X-Codec2 0.8; else the highest that the model has.",
        show_default=False,
    ),
]
BatchSeconds = Annotated[
    float,
    typer.Option(
        "--batch-seconds",
        min=1.0,
        metavar="SECONDS",
        help="Audio that the model takes at once. More needs more memory and is faster on a GPU; results are the same.",
    ),
]
SEGMENT_SECONDS = typer.Option(
    "--segment-seconds",
    min=1.0,
    metavar="SECONDS",
    help="Cut longer recordings at pauses into segments of at most so much, encoded one by one; else they are "
    "encoded whole, which takes time that grows with the square of their length.",
    show_default=False,
)
CHANNEL = typer.Option(
    "--channel",
    metavar="CHANNEL",
    help="mean, left, right, or a number counted from 0; each gives every channel an output of its own.",
    callback=known_channel,
)
Longest = Annotated[
    float | None,
    typer.Option(
        "--longest",
        min=1.0,
        metavar="SECONDS",
        help="Audio that one recording may hold; a longer one is a failure. Else there is no limit.",
        show_default=False,
    ),
]
IGNORE_UNREADABLE = typer.Option(
    "--ignore-unreadable",
    help="Recordings that cannot be read are named and counted as left out, and do not fail the command.",
)
IgnoreUnreadable = Annotated[bool, IGNORE_UNREADABLE]
CheckIdentity = Annotated[
    bool,
    typer.Option(
        "--ignore-identity",
        help="Decode codes that another model made, whatever comes out.",
        callback=lambda ignored: not ignored,
    ),
]
"""True unless it is given; its default is False, that it is not."""


@dataclass(frozen=True)
class CodecOptions:
    """The codec that is asked for."""

    model: Model = MINI
    device: Device = "auto"
    dtype: Dtype = Precision.FLOAT32

    def load(self, **how: Any) -> "Codec":
        """Load it; the arguments are those of `load_codec`."""
        return load_codec(self.model, self.device, self.dtype, **how)


@dataclass(frozen=True)
class RunOptions:
    """How a codec goes through many files."""

    overwrite: Overwrite = False
    batch_seconds: BatchSeconds = 60.0
    max_memory: MaxMemory = None
    compiled: Compiled = False


@dataclass(frozen=True)
class EncodingOptions:
    """What is read of recordings, and how it is encoded."""

    bandwidth: Bandwidth = None
    segment_seconds: Annotated[float | None, SEGMENT_SECONDS] = None
    channel: Annotated[str, CHANNEL] = "mean"
    longest: Longest = None
    ignore_unreadable: IgnoreUnreadable = False


@dataclass(frozen=True)
class DecodingOptions:
    """How codes are decoded."""

    check_identity: CheckIdentity = False
    bandwidth: Bandwidth = None
    segment_seconds: Annotated[
        float | None,
        retold(
            SEGMENT_SECONDS,
            "Decode recordings that are longer so much at a time, each part with the part before it in view; else "
            "they are decoded whole, which takes time that grows with the square of their length.",
        ),
    ] = None


def check_stream(output: str | None, stream: bool, raw: bool) -> None:
    """Refuse a command that writes to no place or to two, or audio to a terminal.

    Raises:
        typer.BadParameter: says what to give.
    """
    if (output is None) != stream:
        raise typer.BadParameter("give either a place to write to (-o) or --stream")
    if raw and not stream:
        raise typer.BadParameter("--raw is for --stream; a file's format is in its name, or in --format")
    if stream:
        refuse_terminal()


def load_codec(
    model: str,
    device: str,
    dtype: Precision,
    *,
    max_memory: str | None = None,
    compiled: bool = False,
    pack: bool = True,
    encoder_only: bool = False,
    decoder_only: bool = False,
) -> "Codec":
    """Load the codec that the options of the model ask for, without the libraries' own chatter."""
    with errors().status(f"loading {model}"):
        from transformers.utils import logging

        from xcodec.codec import Codec

        logging.set_verbosity_error()
        return Codec.from_pretrained(
            None if model == MINI else model,
            device=device,
            dtype=dtype.value,
            max_memory=max_memory,
            compile=compiled,
            pack=pack,
            encoder_only=encoder_only,
            decoder_only=decoder_only,
        )
