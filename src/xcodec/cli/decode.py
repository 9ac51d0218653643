"""`xcodec decode`: files of codes -> recordings."""

import codecs
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.code_text import CodeText
from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    BUILT_IN,
    AudioFormat,
    Bandwidth,
    BatchSeconds,
    Compiled,
    Device,
    Dtype,
    Inputs,
    MaxMemory,
    Model,
    OptionalOutput,
    Overwrite,
    Precision,
    Raw,
    Stream,
    check_stream,
    load_codec,
    output_suffix,
)
from xcodec.cli.paths import CODES_SUFFIX, Job, audio_name, plan
from xcodec.cli.pipe import AudioPipe
from xcodec.cli.places import STANDARD, fetched
from xcodec.errors import CodesError

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


def command(
    inputs: Inputs,
    output: OptionalOutput = None,
    audio_format: AudioFormat = None,
    ignore_identity: Annotated[
        bool, typer.Option("--ignore-identity", help="Decode codes that another model made, whatever comes out.")
    ] = False,
    bandwidth: Bandwidth = None,
    segment_seconds: Annotated[
        float | None,
        typer.Option(
            "--segment-seconds",
            min=1.0,
            metavar="SECONDS",
            help="Decode recordings that are longer so much at a time, each part with the part before it in view; else "
            "they are decoded whole, which takes time that grows with the square of their length.",
            show_default=False,
        ),
    ] = None,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    max_memory: MaxMemory = None,
    compiled: Compiled = False,
    stream: Stream = False,
    raw: Raw = False,
) -> None:
    """Decode files of codes to recordings."""
    check_stream(output, stream, raw)
    load = partial(load_codec, model, device, dtype, max_memory, compiled, decoder_only=True)
    if output is None:
        if inputs != [STANDARD]:
            raise typer.BadParameter("--stream decodes standard input: give - as the only input")
        if compiled:
            raise typer.BadParameter("--compile is for files; a stream's layers are not compiled")
        pass_on(AudioPipe(raw), load)
        return
    from xcodec.codes import Codes

    def decode(codec: "Codec", codes: "list[Codes]", on_progress: OnProgress) -> "list[Audio]":
        if segment_seconds is not None and any(each.duration > segment_seconds for each in codes):
            return [in_segments(codec, each, on_progress) for each in codes]
        sources = codes if len(codes) > 1 else codes[0]  # of a list, an error names which
        how = {"check_identity": not ignore_identity, "batch_seconds": batch_seconds, "on_progress": on_progress}
        decoded: Audio | list[Audio] = codec.decode(sources, **how)  # type: ignore[call-overload]
        return decoded if isinstance(decoded, list) else [decoded]

    def in_segments(codec: "Codec", codes: "Codes", on_progress: OnProgress) -> "Audio":
        from xcodec.streaming import decode_in_segments

        assert segment_seconds is not None
        return decode_in_segments(
            codec, codes, segment_seconds, check_identity=not ignore_identity, on_progress=on_progress
        )

    rename = partial(audio_name, suffix=output_suffix(audio_format, inputs, output))

    def read(_: "Codec", job: Job) -> Codes:
        with fetched(job.source) as path:
            codes = Codes.load(path)
        return codes if bandwidth is None else codes.at_bandwidth(bandwidth)

    jobs, failures = plan(inputs, output, (CODES_SUFFIX,), rename, overwrite)
    to_standard_output = output == STANDARD
    Run("Decoded", read, load, decode, batch_seconds, to_standard_output=to_standard_output).do(jobs, failures)


def pass_on(pipe: AudioPipe, load: "Callable[[], Codec]") -> None:
    """Decode the codes on standard input while they come."""
    from xcodec.streaming import StreamDecoder

    codec = load()
    text, decoder = CodeText(len(codec.codebook_sizes)), StreamDecoder(codec)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while not text.ended and (data := sys.stdin.buffer.read1()):  # type: ignore[union-attr]
        if (ids := text.push(decode(data))) and (audio := decoder.push(ids)):
            pipe.write(audio)
    for audio in (decoder.push(ids) if (ids := text.close()) else None, decoder.flush()):
        if audio:
            pipe.write(audio)
    if not pipe.seconds:
        raise CodesError("no codes came", subject="standard input")
