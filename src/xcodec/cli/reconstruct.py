"""`xcodec reconstruct`: recordings -> what is left of them after the codec."""

from functools import partial
from typing import TYPE_CHECKING

from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    BUILT_IN,
    AudioFormat,
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
    load_codec,
    output_suffix,
)
from xcodec.cli.paths import audio_name, plan
from xcodec.cli.places import STANDARD
from xcodec.cli.recording import EACH, Recording, RecordingReader, count_channels

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


def command(
    inputs: Inputs,
    output: Output,
    audio_format: AudioFormat = None,
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
    """Encode recordings and decode the codes."""
    from xcodec.audio import MEDIA_SUFFIXES

    def reconstruct(codec: "Codec", recordings: list[Recording], on_progress: OnProgress) -> "list[Audio]":
        def half_way(seconds: float) -> None:
            on_progress(seconds / 2)

        codes = codec.encode(
            [recording.audio for recording in recordings],
            bandwidth=bandwidth,
            segment_seconds=segment_seconds,
            batch_seconds=batch_seconds,
            on_progress=half_way,
        )
        return codec.decode(codes, batch_seconds=batch_seconds, on_progress=half_way)

    rename = partial(audio_name, suffix=output_suffix(audio_format, inputs, output))
    counter = count_channels if channel == EACH else None
    jobs, failures = plan(inputs, output, MEDIA_SUFFIXES, rename, overwrite, counter)
    Run(
        "Reconstructed",
        RecordingReader(channel, longest).read,
        partial(load_codec, model, device, dtype, max_memory, compiled),
        reconstruct,
        batch_seconds,
        ignore_unreadable=ignore_unreadable,
        to_standard_output=output == STANDARD,
    ).do(jobs, failures)
