"""`python -m xcodec.runtime`: recordings to codes and back with an exported codec, where there is no torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xcodec.audio import Audio
from xcodec.codes import Codes
from xcodec.errors import InputError, XcodecError
from xcodec.runtime import Codec

__all__ = ["main"]

SUFFIXES = {"encode": ".codes", "decode": ".wav", "reconstruct": ".wav"}


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    program = argparse.ArgumentParser(prog="python -m xcodec.runtime", description=__doc__)
    commands = program.add_subparsers(dest="command", required=True)
    for name, told in (
        ("encode", "recordings to files of codes"),
        ("decode", "files of codes to recordings"),
        ("reconstruct", "recordings to what their codes sound like"),
    ):
        command = commands.add_parser(name, help=told)
        command.add_argument("codec", help="the folder that `xcodec export` wrote")
        command.add_argument("inputs", nargs="+", metavar="input", help="the files to read")
        command.add_argument("-o", "--output", required=True, help="a file for one input, or a folder that exists")
        command.add_argument("--threads", type=int, help="how many to use; as many as there are cores by default")
        if name != "decode":
            command.add_argument("--bandwidth", type=float, help="in kbit/s, where the codec has several")
    commands.add_parser("info", help="what an exported codec is").add_argument("codec")
    return program


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


def target_of(source: str, output: Path, suffix: str, is_one: bool) -> Path:
    """Tell what file an input becomes."""
    if output.is_dir():
        return output / (Path(source).name + suffix)
    if not is_one:
        raise InputError("several inputs need a folder that exists", argument="output", value=str(output))
    return output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 0 if all was done."""
    given = parser().parse_args(arguments)
    try:
        if given.command == "info":
            codec = Codec(given.codec)
            sys.stdout.write(f"{codec}\n{codec.identity}\n")
            return 0
        codec = Codec(given.codec, threads=given.threads)
        for source in given.inputs:
            target = target_of(source, Path(given.output), SUFFIXES[given.command], len(given.inputs) == 1)
            made = convert(codec, given.command, source, target, getattr(given, "bandwidth", None))
            sys.stdout.write(f"{source} -> {target}  {made.duration:.2f} s\n")
    except XcodecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
