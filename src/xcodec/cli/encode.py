"""`xcodec encode`: recordings -> files of codes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xcodec.cli.groups import with_groups
from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import CodecOptions, EncodingOptions, Inputs, Output, RunOptions
from xcodec.cli.paths import codes_name, plan
from xcodec.cli.places import STANDARD
from xcodec.cli.recording import Recording, RecordingReader
from xcodec.cli.suffixes import check_codes_suffix

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.codes import Codes

__all__ = ["EPILOG", "HELP", "command", "encode"]

HELP = """\
Encode recordings as files of codes.

Recordings may be WAV, FLAC, Ogg, Opus, MP3, AIFF and others, of any rate and
channel count: the rate is converted, and channels are averaged unless --channel
says otherwise. A file of codes (safetensors) also holds the true length, the
rates and the identity of the model, so that `xcodec decode` gives back audio of
the same length.

In a folder every file of audio or video is found by its suffix, and is either
encoded or named as a failure.

X-Codec's codes come at several bandwidths: 1, 2, 3, 4 or 8 codes every 20 ms.
`xcodec decode --bandwidth` can lower a higher one later.

[bold]Where outputs go[/bold]

  speech.wav -o codes/          codes/speech.wav.codes
  speech.wav -o hello.codes     hello.codes
  recordings/ -o codes/         recordings/x/a.mp3 -> codes/x/a.mp3.codes
  'rec/**/*.wav' -o codes/      rec/x/a.wav -> codes/x/a.wav.codes
  call.wav -o codes/ --channel each
                                codes/call.wav.ch0.codes, codes/call.wav.ch1.codes
  https://host/a.mp3 -o codes/  codes/a.mp3.codes
  - -o hello.codes              standard input to hello.codes
  speech.wav -o -               standard output; the summary goes to stderr

A file of codes is called .codes or .safetensors, and is written here only.
The suffix of the recording is kept, so a.wav and a.flac do not meet. If two
inputs would be written to one file, nothing is done and both are named.

[bold]Examples[/bold]

  xcodec encode speech.wav -o codes/
  xcodec encode recordings/ more/*.flac -o codes/ --overwrite
  xcodec encode corpus/ -o codes/ -m HKUSTAudio/xcodec2-hf --device cuda
  xcodec encode music/ -o codes/ -m hf-audio/xcodec-hubert-general -b 2
  xcodec encode lectures/ -o codes/ --segment-seconds 30 --max-memory 2GiB
  xcodec encode calls/ -o codes/ --channel left --ignore-unreadable
  ffmpeg -i film.mkv -f wav - | xcodec encode - -o - > film.codes"""

EPILOG = f"""\
{FAILURES_AT_THE_END}

[bold]Exit codes[/bold]  0: all encoded. 1: some were not. 2: wrong usage. 130: interrupted."""


@with_groups
def command(inputs: Inputs, output: Output, encoding: EncodingOptions, codec: CodecOptions, run: RunOptions) -> None:
    """Encode recordings as files of codes."""
    check_codes_suffix(inputs, output)
    from xcodec.audio import MEDIA_SUFFIXES

    reader = RecordingReader(encoding.channel, encoding.longest)
    jobs, failures = plan(inputs, output, MEDIA_SUFFIXES, codes_name, run.overwrite, reader.count_channels)
    load = partial(codec.load, max_memory=run.max_memory, compiled=run.compiled, pack=run.compiled, encoder_only=True)
    Run(
        "Encoded",
        reader.read,
        load,
        partial(encode, encoding, run.batch_seconds),
        run.batch_seconds,
        ignore_unreadable=encoding.ignore_unreadable,
        to_standard_output=output == STANDARD,
    ).do(jobs, failures)


def encode(
    options: EncodingOptions,
    batch_seconds: float,
    codec: "Codec",
    recordings: Sequence[Recording],
    on_progress: OnProgress,
) -> "list[Codes]":
    """Encode recordings that are in memory together; their codes keep the rate that each recording had."""
    encoded = codec.encode(
        [recording.audio for recording in recordings],
        bandwidth=options.bandwidth,
        segment_seconds=options.segment_seconds,
        batch_seconds=batch_seconds,
        on_progress=on_progress,
    )
    return [
        replace(codes, source_sampling_rate=recording.source_sampling_rate)
        for codes, recording in zip(encoded, recordings, strict=True)
    ]
