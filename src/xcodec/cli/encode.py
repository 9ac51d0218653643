"""`xcodec encode`: recordings -> files of codes."""

from functools import partial
from typing import TYPE_CHECKING

from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    BUILT_IN,
    Bandwidth,
    BatchSeconds,
    Compiled,
    Device,
    Dtype,
    Inputs,
    MaxMemory,
    Model,
    Output,
    Overwrite,
    Precision,
    SegmentSeconds,
    load_codec,
)
from xcodec.cli.paths import codes_name, plan

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.codes import Codes

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Encode recordings as files of codes.

Recordings may be WAV, FLAC, Ogg, Opus, MP3, AIFF and others, of any rate and
channel count: channels are averaged and the rate is converted. A file of codes
(safetensors) also holds the true length, the rates and the identity of the
model, so that `xcodec decode` gives back audio of the same length.

X-Codec's codes come at several bandwidths: 1, 2, 3, 4 or 8 codes every 20 ms.
`xcodec decode --bandwidth` can lower a higher one later.

[bold]Where outputs go[/bold]

  speech.wav -o codes/          codes/speech.wav.codes
  speech.wav -o hello.codes     hello.codes
  recordings/ -o codes/         recordings/x/a.mp3 -> codes/x/a.mp3.codes
  'rec/**/*.wav' -o codes/      rec/x/a.wav -> codes/x/a.wav.codes

The suffix of the recording is kept, so a.wav and a.flac do not meet. If two
inputs would be written to one file, nothing is done and both are named.

[bold]Examples[/bold]

  xcodec encode speech.wav -o codes/
  xcodec encode recordings/ more/*.flac -o codes/ --overwrite
  xcodec encode corpus/ -o codes/ -m HKUSTAudio/xcodec2-hf --device cuda
  xcodec encode music/ -o codes/ -m hf-audio/xcodec-hubert-general -b 2
  xcodec encode lectures/ -o codes/ --segment-seconds 30 --max-memory 2GiB"""

EPILOG = f"""\
{FAILURES_AT_THE_END}

[bold]Exit codes[/bold]  0: all encoded. 1: some were not. 2: wrong usage. 130: interrupted."""


def command(
    inputs: Inputs,
    output: Output,
    bandwidth: Bandwidth = None,
    segment_seconds: SegmentSeconds = None,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    max_memory: MaxMemory = None,
    compiled: Compiled = False,
) -> None:
    """Encode recordings as files of codes."""
    from xcodec.audio import MEDIA_SUFFIXES, Audio

    def encode(codec: "Codec", recordings: list[Audio], on_progress: OnProgress) -> "list[Codes]":
        return codec.encode(
            recordings,
            bandwidth=bandwidth,
            segment_seconds=segment_seconds,
            batch_seconds=batch_seconds,
            on_progress=on_progress,
        )

    jobs, failures = plan(inputs, output, MEDIA_SUFFIXES, codes_name, overwrite)
    load = partial(load_codec, model, device, dtype, max_memory, compiled, encoder_only=True)
    Run("Encoded", Audio.read, load, encode, batch_seconds).do(jobs, failures)
