"""`xcodec decode`: files of codes -> recordings."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import typer

from xcodec.cli.groups import with_groups
from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    AudioFormat,
    CodecOptions,
    DecodingOptions,
    Inputs,
    OptionalOutput,
    Raw,
    RunOptions,
    Stream,
    check_stream,
)
from xcodec.cli.paths import CODES_SUFFIX, Job, audio_name, plan
from xcodec.cli.places import STANDARD, fetched
from xcodec.cli.suffixes import output_suffix

if TYPE_CHECKING:
    from xcodec.audio import Audio
    from xcodec.codec import Codec
    from xcodec.codes import Codes

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Decode files of codes to recordings.

The audio is mono, as long as the recording was, at the rate of the model
(16 kHz). Give the model that made the codes; codes of another one are refused.

With --bandwidth, X-Codec's codes are decoded as if they had been encoded at
that lower bandwidth.

[bold]Where outputs go[/bold]

  a.wav.codes -o out/          out/a.wav
  a.mp3.codes -o out/          out/a.mp3.wav
  a.mp3.codes -o hello.flac    hello.flac
  codes/ -o out/               codes/x/a.wav.codes -> out/x/a.wav
  - -o hello.wav               a file of codes on standard input to hello.wav
  a.wav.codes -o -             standard output, WAV unless --format says
                               otherwise; the summary goes to stderr

The suffix .codes goes, and the suffix of the audio comes unless it is there.
Folders are searched for *.codes; a file that is named may have any suffix.

[bold]Streams[/bold]

With --stream the input is -, standard input: codes as numbers or as speech
tokens (<|s_123|>), with or without space between them; of X-Codec a line of
numbers for each frame. Audio goes to standard output as soon as enough codes
have come (see docs/streaming.md).

[bold]Examples[/bold]

  xcodec decode codes/ -o decoded/
  xcodec decode codes/ -o decoded/ --format flac
  xcodec decode lectures/ -o decoded/ --segment-seconds 30
  xcodec decode a.wav.codes -o a.mp3 -m HKUSTAudio/xcodec2-hf
  xcodec encode - -o - < a.flac | xcodec decode - -o - | aplay
  my-language-model | xcodec decode --stream - | ffplay -"""

EPILOG = f"""\
{FAILURES_AT_THE_END}

[bold]Exit codes[/bold]  0: all decoded. 1: some were not. 2: wrong usage. 130: interrupted."""


@with_groups
def command(
    inputs: Inputs,
    output: OptionalOutput = None,
    audio_format: AudioFormat = None,
    *,
    decoding: DecodingOptions,
    codec: CodecOptions,
    run: RunOptions,
    stream: Stream = False,
    raw: Raw = False,
) -> None:
    """Decode files of codes to recordings."""
    check_stream(output, stream, raw)
    load = partial(codec.load, max_memory=run.max_memory, compiled=run.compiled, decoder_only=True)
    if output is None:
        if inputs != [STANDARD]:
            raise typer.BadParameter("--stream decodes standard input: give - as the only input")
        if run.compiled:
            raise typer.BadParameter("--compile is for files; a stream's layers are not compiled")
        pass_on(load, raw)
        return
    rename = partial(audio_name, suffix=output_suffix(audio_format, inputs, output))
    jobs, failures = plan(inputs, output, (CODES_SUFFIX,), rename, run.overwrite)
    transform = partial(decode, decoding, run.batch_seconds)
    to_standard_output = output == STANDARD
    Run(
        "Decoded",
        partial(read, decoding),
        partial(load, pack=run.compiled),
        transform,
        run.batch_seconds,
        to_standard_output=to_standard_output,
    ).do(jobs, failures)


def read(options: DecodingOptions, _: "Codec", job: Job) -> "Codes":
    """Read a file of codes, at the bandwidth that is asked for."""
    from xcodec.codes import Codes

    with fetched(job.source) as path:
        return Codes.load(path).at_bandwidth(options.bandwidth)


def decode(
    options: DecodingOptions, batch_seconds: float, codec: "Codec", codes: "list[Codes]", on_progress: OnProgress
) -> "list[Audio]":
    """Decode codes that are in memory together, in segments where one of them is longer than a segment."""
    from xcodec.streaming import decode_in_segments

    seconds, check = options.segment_seconds, options.check_identity
    if seconds is not None and any(each.duration > seconds for each in codes):
        return [
            decode_in_segments(codec, each, seconds, check_identity=check, on_progress=on_progress) for each in codes
        ]
    return codec.decode(codes, check_identity=check, batch_seconds=batch_seconds, on_progress=on_progress)


def pass_on(load: "Callable[[], Codec]", raw: bool) -> None:
    """Decode the codes on standard input while they come."""
    from xcodec.audio.pipe import AudioPipe
    from xcodec.code_text import audio_of_standard_input
    from xcodec.streaming import StreamDecoder

    pipe = AudioPipe(raw)
    for audio in audio_of_standard_input(StreamDecoder(load())):
        pipe.write(audio)
