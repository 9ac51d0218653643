"""`xcodec reconstruct`: recordings -> what is left of them after the codec."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from xcodec.cli.encode import encode
from xcodec.cli.groups import with_groups
from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import AudioFormat, CodecOptions, EncodingOptions, Inputs, Output, RunOptions
from xcodec.cli.paths import audio_name, plan
from xcodec.cli.places import STANDARD
from xcodec.cli.recording import Recording, RecordingReader
from xcodec.cli.suffixes import output_suffix

if TYPE_CHECKING:
    from xcodec.audio import Audio
    from xcodec.codec import Codec

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Encode recordings and decode the codes: hear what a codec keeps.

The same audio as `xcodec encode` followed by `xcodec decode`, without the files
of codes in between: mono, as long as the recording, at the rate of the model
(16 kHz).

[bold]Where outputs go[/bold]

  speech.wav -o out/          out/speech.wav
  speech.mp3 -o out/          out/speech.mp3.wav
  speech.mp3 -o hello.flac    hello.flac
  recordings/ -o out/         recordings/x/a.wav -> out/x/a.wav
  call.wav -o out/ --channel each
                              out/call.wav.ch0.wav, out/call.wav.ch1.wav
  - -o hello.flac             standard input to hello.flac
  speech.mp3 -o -             standard output, WAV unless --format says
                              otherwise; the summary goes to stderr

An input is never replaced, not even with --overwrite.

[bold]Examples[/bold]

  xcodec reconstruct speech.mp3 -o hello.wav
  xcodec reconstruct recordings/ -o out/ --format flac
  xcodec reconstruct recordings/ -o out/ -m HKUSTAudio/xcodec2-hf --device cuda
  xcodec reconstruct - -o - < speech.flac | aplay"""

EPILOG = f"""\
{FAILURES_AT_THE_END}

[bold]Exit codes[/bold]  0: all done. 1: some were not. 2: wrong usage. 130: interrupted."""


@with_groups
def command(
    inputs: Inputs,
    output: Output,
    audio_format: AudioFormat = None,
    *,
    encoding: EncodingOptions,
    codec: CodecOptions,
    run: RunOptions,
) -> None:
    """Encode recordings and decode the codes."""
    from xcodec.audio import MEDIA_SUFFIXES

    rename = partial(audio_name, suffix=output_suffix(audio_format, inputs, output))
    reader = RecordingReader(encoding.channel, encoding.longest)
    jobs, failures = plan(inputs, output, MEDIA_SUFFIXES, rename, run.overwrite, reader.count_channels)
    load = partial(codec.load, max_memory=run.max_memory, compiled=run.compiled, pack=run.compiled)
    Run(
        "Reconstructed",
        reader.read,
        load,
        partial(reconstruct, encoding, run.batch_seconds),
        run.batch_seconds,
        ignore_unreadable=encoding.ignore_unreadable,
        to_standard_output=output == STANDARD,
    ).do(jobs, failures)


def reconstruct(
    options: EncodingOptions,
    batch_seconds: float,
    codec: "Codec",
    recordings: Sequence[Recording],
    on_progress: OnProgress,
) -> "list[Audio]":
    """Encode and decode recordings that are in memory together."""

    def half_way(seconds: float) -> None:
        on_progress(seconds / 2)

    codes = encode(options, batch_seconds, codec, recordings, half_way)
    return codec.decode(codes, batch_seconds=batch_seconds, on_progress=half_way)
