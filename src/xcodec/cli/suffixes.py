"""What the suffix of an output promises, and what is written under it."""

from enum import Enum
from pathlib import Path

import typer

from xcodec.cli.paths import names_a_file
from xcodec.cli.places import STANDARD

__all__ = ["Format", "check_codes_suffix", "output_suffix", "written_suffix"]

CODES_SUFFIXES = (".codes", ".safetensors")
"""What `xcodec encode` writes, in one format under either name."""


class Format(str, Enum):
    """The file formats that audio is written in."""

    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    OPUS = "opus"
    MP3 = "mp3"


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
