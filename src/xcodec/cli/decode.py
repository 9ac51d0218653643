"""`xcodec decode`: files of codes -> recordings."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.jobs import OnProgress, Run
from xcodec.cli.manual import FAILURES_AT_THE_END
from xcodec.cli.options import (
    BUILT_IN,
    AudioFormat,
    Bandwidth,
    BatchSeconds,
    Device,
    Dtype,
    Inputs,
    MaxMemory,
    Model,
    Output,
    Overwrite,
    Precision,
    load_codec,
    output_suffix,
)
from xcodec.cli.paths import CODES_SUFFIX, audio_name, plan

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

The suffix .codes goes, and the suffix of the audio comes unless it is there.
Folders are searched for *.codes; a file that is named may have any suffix.

[bold]Examples[/bold]

  xcodec decode codes/ -o decoded/
  xcodec decode codes/ -o decoded/ --format flac
  xcodec decode a.wav.codes -o a.mp3 -m HKUSTAudio/xcodec2-hf"""

EPILOG = f"""\
{FAILURES_AT_THE_END}

[bold]Exit codes[/bold]  0: all decoded. 1: some were not. 2: wrong usage. 130: interrupted."""


def command(
    inputs: Inputs,
    output: Output,
    audio_format: AudioFormat = None,
    ignore_identity: Annotated[
        bool, typer.Option("--ignore-identity", help="Decode codes that another model made, whatever comes out.")
    ] = False,
    bandwidth: Bandwidth = None,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
    batch_seconds: BatchSeconds = 60.0,
    max_memory: MaxMemory = None,
) -> None:
    """Decode files of codes to recordings."""
    from xcodec.codes import Codes

    def decode(codec: "Codec", codes: "list[Codes]", on_progress: OnProgress) -> "list[Audio]":
        sources = codes if len(codes) > 1 else codes[0]  # of a list, an error names which
        how = {"check_identity": not ignore_identity, "batch_seconds": batch_seconds, "on_progress": on_progress}
        decoded: Audio | list[Audio] = codec.decode(sources, **how)  # type: ignore[call-overload]
        return decoded if isinstance(decoded, list) else [decoded]

    rename = partial(audio_name, suffix=output_suffix(audio_format, inputs, output))

    def read(path: Path) -> Codes:
        codes = Codes.load(path)
        return codes if bandwidth is None else codes.at_bandwidth(bandwidth)

    jobs, failures = plan(inputs, output, (CODES_SUFFIX,), rename, overwrite)
    load = partial(load_codec, model, device, dtype, max_memory, decoder_only=True)
    Run("Decoded", read, load, decode, batch_seconds).do(jobs, failures)
