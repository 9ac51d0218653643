"""`xcodec encode`: recordings -> files of codes."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    BUILT_IN,
    Bandwidth,
    BatchSeconds,
    Channel,
    Compiled,
    Device,
    Dtype,
    IgnoreUnreadable,
    Inputs,
    Longest,
    MaxMemory,
    Model,
    Output,
    Overwrite,
    Precision,
    SegmentSeconds,
    check_codes_suffix,
    load_codec,
)
from xcodec.cli.paths import codes_name, plan
from xcodec.cli.places import STANDARD
from xcodec.cli.recording import EACH, Recording, RecordingReader, count_channels

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.codes import Codes

__all__ = ["EPILOG", "HELP", "command"]

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


def command(
    inputs: Inputs,
    output: Output,
    bandwidth: Bandwidth = None,
    segment_seconds: SegmentSeconds = None,
    channel: Channel = "mean",
    longest: Longest = None,
    ignore_unreadable: IgnoreUnreadable = False,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    max_memory: MaxMemory = None,
    compiled: Compiled = False,
) -> None:
    """Encode recordings as files of codes."""
    check_codes_suffix(inputs, output)
    from xcodec.audio import MEDIA_SUFFIXES

    def encode(codec: "Codec", recordings: list[Recording], on_progress: OnProgress) -> "list[Codes]":
        encoded = codec.encode(
            [recording.audio for recording in recordings],
            bandwidth=bandwidth,
            segment_seconds=segment_seconds,
            batch_seconds=batch_seconds,
            on_progress=on_progress,
        )
        return [
            replace(codes, source_sampling_rate=recording.source_sampling_rate)
            for codes, recording in zip(encoded, recordings, strict=True)
        ]

    counter = count_channels if channel == EACH else None
    jobs, failures = plan(inputs, output, MEDIA_SUFFIXES, codes_name, overwrite, counter)
    Run(
        "Encoded",
        RecordingReader(channel, longest).read,
        partial(load_codec, model, device, dtype, max_memory, compiled, encoder_only=True),
        encode,
        batch_seconds,
        ignore_unreadable=ignore_unreadable,
        to_standard_output=output == STANDARD,
    ).do(jobs, failures)
