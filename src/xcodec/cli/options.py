"""The options that several commands share, and the codec they ask for."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from xcodec.cli.console import errors
from xcodec.cli.paths import home, names_a_file
from xcodec.cli.places import STANDARD, is_remote, refuse_terminal
from xcodec.device import Precision, memory_size
from xcodec.errors import InputError

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = [
    "BUILT_IN",
    "AudioFormat",
    "Bandwidth",
    "BatchSeconds",
    "Channel",
    "Compiled",
    "Device",
    "Dtype",
    "Format",
    "IgnoreUnreadable",
    "Inputs",
    "LocalInputs",
    "Longest",
    "MaxMemory",
    "Model",
    "OptionalOutput",
    "Output",
    "Overwrite",
    "Precision",
    "Raw",
    "SegmentSeconds",
    "Stream",
    "check_codes_suffix",
    "check_stream",
    "from_files",
    "load_codec",
    "not_empty",
    "output_suffix",
    "path_to_write",
    "to_file",
    "written_suffix",
]

BUILT_IN = "mini"
CODES_SUFFIXES = (".codes", ".safetensors")
"""What `xcodec encode` writes, in one format under either name."""

Named = TypeVar("Named", str, list[str], str | None)


class Format(str, Enum):
    """The file formats that audio is written in."""

    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    OPUS = "opus"
    MP3 = "mp3"


def not_empty(value: Named) -> Named:
    """Refuse a name that is empty, such as an unset shell variable gives; as a path it would be the current folder.

    Raises:
        typer.BadParameter: where one is.
    """
    if value == "" or (isinstance(value, list) and "" in value):
        raise typer.BadParameter("a name is empty; for the current folder give .")
    return value


def to_file(value: Named) -> Named:
    """Refuse a name to write to that is empty, a URL, or standard output; what names an output has this check.

    Raises:
        typer.BadParameter: says what to give.
    """
    if value == STANDARD:
        raise typer.BadParameter("standard output, -, is not written to by this command; a file called so is ./-")
    return to_file_or_pipe(value)


def to_file_or_pipe(value: Named) -> Named:
    """Refuse a name to write to that is empty or a URL, and standard output where that is a terminal.

    Raises:
        typer.BadParameter: says what to give.
    """
    if value == STANDARD:
        refuse_terminal()
    if isinstance(value, str) and is_remote(value):
        raise typer.BadParameter(f"'{value}' is a URL; outputs are written here only: give a path, and copy it then")
    return not_empty(value)


def path_to_write(text: str) -> Path:
    """Understand what `to_file` takes as a path."""
    return home(to_file(text))


def from_files(values: list[str]) -> list[str]:
    """Refuse inputs that are no files here.

    Raises:
        typer.BadParameter: says what to give.
    """
    for value in values:
        if value == STANDARD or is_remote(value):
            raise typer.BadParameter(f"'{value}': this command reads files here; copy it into one first")
    return not_empty(values)


def known_channel(value: str) -> str:
    """Refuse what names no channel.

    Raises:
        typer.BadParameter: says what does.
    """
    if value not in ("mean", "left", "right", "each") and not (value.isascii() and value.isdecimal()):
        raise typer.BadParameter(f"'{value}': expected mean, left, right, each, or a number counted from 0")
    return value


def known_size(value: str | None) -> str | None:
    """Refuse what is no size of memory.

    Raises:
        typer.BadParameter: says what is one.
    """
    if value is not None:
        try:
            memory_size(value)
        except InputError as error:
            raise typer.BadParameter(f"{value!r}: {error.problem}") from None
    return value


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
Stream = Annotated[bool, typer.Option("--stream", help="Write WAV to standard output as it comes, instead of files.")]
Raw = Annotated[bool, typer.Option("--raw", help="With --stream: 16-bit little-endian PCM without a header.")]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A checkpoint folder, a hub id, or the built-in mini.",
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
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist; else they are failures.")]
BatchSeconds = Annotated[
    float,
    typer.Option(
        "--batch-seconds",
        min=1.0,
        metavar="SECONDS",
        help="Audio that the model takes at once. More needs more memory and is faster on a GPU; results are the same.",
    ),
]

SegmentSeconds = Annotated[
    float | None,
    typer.Option(
        "--segment-seconds",
        min=1.0,
        metavar="SECONDS",
        help="Cut longer recordings at pauses into segments of at most so much, encoded one by one; else they are "
        "encoded whole, which takes time that grows with the square of their length.",
        show_default=False,
    ),
]
Channel = Annotated[
    str,
    typer.Option(
        "--channel",
        metavar="CHANNEL",
        help="mean, left, right, or a number counted from 0; each gives every channel an output of its own.",
        callback=known_channel,
    ),
]
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
IgnoreUnreadable = Annotated[
    bool,
    typer.Option(
        "--ignore-unreadable",
        help="Recordings that cannot be read are named and counted as left out, and do not fail the command.",
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

AudioFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="wav, flac, ogg, opus or mp3; else as OUT is named, or wav.",
        show_default=False,
    ),
]


def output_suffix(audio_format: Format | None, inputs: list[str], output: str) -> str:
    """The suffix of the audio to write, such as ".wav".

    Raises:
        typer.BadParameter: where `output` names a file of another format, or of one that is not written.
    """
    suffix = f".{(audio_format or Format.WAV).value}"
    if output == STANDARD or not names_a_file(inputs, output):
        return suffix
    named = written_suffix(output)
    if audio_format is not None and named != suffix:
        raise typer.BadParameter(f"'{output}' ends in {named}, but --format says {audio_format.value}; leave one out")
    return named


def check_codes_suffix(inputs: list[str], output: str) -> None:
    """Refuse to write codes under a name that promises another format.

    Raises:
        typer.BadParameter: says what codes are written as.
    """
    suffix = Path(output).suffix.lower()
    if output == STANDARD or not names_a_file(inputs, output) or suffix in CODES_SUFFIXES:
        return
    hint = "for a folder of that name, end it in /"
    if suffix in (".npy", ".npz", ".jsonl", ".tar", ".parquet"):
        hint = "xcodec tokenize writes Parquet, and exports npy, webdataset and jsonl"
    known = ", ".join(CODES_SUFFIXES)
    raise typer.BadParameter(f"'{output}' ends in {suffix or 'no suffix'}; codes are written as {known}; {hint}")


def written_suffix(output: str) -> str:
    """The suffix of a file to write, in lower case.

    Raises:
        typer.BadParameter: where no audio is written under it.
    """
    named = Path(output).suffix.lower()
    known = [f".{each.value}" for each in Format]
    if named not in known:
        raise typer.BadParameter(f"'{output}' ends in {named or 'no suffix'}; audio is written as {', '.join(known)}")
    return named


def check_stream(output: str | None, stream: bool, raw: bool) -> None:
    """Refuse a command that writes to no place, or to two.

    Raises:
        typer.BadParameter: says what to give.
    """
    if (output is None) != stream:
        raise typer.BadParameter("give either a place to write to (-o) or --stream")
    if raw and not stream:
        raise typer.BadParameter("--raw is for --stream; a file's format is in its name, or in --format")


def load_codec(
    model: str,
    device: str,
    dtype: Precision,
    max_memory: str | None = None,
    compiled: bool = False,
    *,
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
            None if model == BUILT_IN else model,
            device=device,
            dtype=dtype.value,
            max_memory=max_memory,
            compile=compiled,
            pack=pack,
            encoder_only=encoder_only,
            decoder_only=decoder_only,
        )
