"""`python -m xcodec.runtime`: recordings to codes and back with an exported codec, where there is no torch."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xcodec.audio import Audio
from xcodec.audio.pipe import AudioPipe
from xcodec.code_text import audio_of_standard_input
from xcodec.codes import Codes
from xcodec.errors import InputError, XcodecError
from xcodec.runtime import Codec, StreamDecoder

__all__ = ["main"]

SUFFIXES = {"encode": ".codes", "decode": ".wav", "reconstruct": ".wav"}
STANDARD = "-"


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    program = argparse.ArgumentParser(prog="python -m xcodec.runtime", description=__doc__)
    commands = program.add_subparsers(dest="command", required=True)
    for name, told in (
        ("encode", "recordings to files of codes"),
        ("decode", "files of codes to recordings, or codes on standard input to audio while they come"),
        ("reconstruct", "recordings to what their codes sound like"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("codec", help="the folder that `xcodec export` wrote")
        command.add_argument("inputs", nargs="+", metavar="input", help="the files to read")
        command.add_argument("-o", "--output", help="a file for one input, or a folder that exists")
        command.add_argument("--threads", type=int, help="how many to use; as many as there are cores by default")
        if name == "decode":
            command.add_argument(
                "--stream",
                action="store_true",
                help="instead of -o, and with - as the input: codes as text, numbers or <|s_123|>, become WAV on "
                "standard output as soon as enough have come; of what `xcodec export --stream` wrote",
            )
            command.add_argument("--raw", action="store_true", help="with --stream: 16-bit PCM without a header")
        else:
            command.add_argument("--bandwidth", type=float, help="in kbit/s, where the codec has several")
    commands.add_parser("info", help="what an exported codec is").add_argument("codec")
    return program


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments, or leave with exit code 2 where they contradict one another."""
    program = parser()
    given = program.parse_args(arguments)
    if given.command == "info":
        return given
    streamed = getattr(given, "stream", False)
    if (given.output is None) != streamed:
        program.error("give a place to write to (-o)" + " or --stream" * (given.command == "decode"))
    if streamed and given.inputs != [STANDARD]:
        program.error("--stream decodes standard input: give - as the only input")
    if streamed and sys.stdout.isatty():
        program.error("standard output is a terminal; send it into a program or a file: ... | aplay")
    if getattr(given, "raw", False) and not streamed:
        program.error("--raw is for --stream; a file's format is in its name")
    return given


def convert(codec: Codec, command: str, source: str, target: Path, bandwidth: float | None) -> Audio | Codes:
    """Do one file; returns what was written."""
    made: Audio | Codes
    if command == "encode":
        made = codec.encode(source, bandwidth=bandwidth)
    elif command == "decode":
        made = codec.decode(source)
    else:
        made = codec.reconstruct(source, bandwidth=bandwidth)
    made.save(target)
    return made


def convert_all(codec: Codec, given: argparse.Namespace) -> None:
    """Do every file that was named, and say so of each."""
    for source in given.inputs:
        target = target_of(source, Path(given.output), SUFFIXES[given.command], len(given.inputs) == 1)
        made = convert(codec, given.command, source, target, getattr(given, "bandwidth", None))
        sys.stdout.write(f"{source} -> {target}  {made.duration:.2f} s\n")


def pass_on(codec: Codec, raw: bool) -> None:
    """Decode the codes on standard input while they come."""
    pipe = AudioPipe(raw)
    for audio in audio_of_standard_input(StreamDecoder(codec)):
        pipe.write(audio)


def target_of(source: str, output: Path, suffix: str, is_one: bool) -> Path:
    """Tell what file an input becomes."""
    if output.is_dir():
        return output / (Path(source).name + suffix)
    if not is_one:
        raise InputError("several inputs need a folder that exists", argument="output", value=str(output))
    return output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 0 if all was done."""
    given = parsed(arguments)
    try:
        if given.command == "info":
            codec = Codec(given.codec)
            sys.stdout.write(f"{codec}\n{codec.identity}\n")
            return 0
        codec = Codec(given.codec, threads=given.threads)
        if given.output is None:
            pass_on(codec, given.raw)
        else:
            convert_all(codec, given)
    except XcodecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python has nothing to flush into it
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
