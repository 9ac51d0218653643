"""Audio on standard output while it is made, for a player or another program."""

import struct
import sys
from typing import TYPE_CHECKING

from xcodec.cli.places import refuse_terminal

if TYPE_CHECKING:
    from xcodec.audio import Audio

__all__ = ["AudioPipe"]

UNKNOWN = 0xFFFFFFFF  # what a WAV header says of a length that is not known yet; sox and ffmpeg read on to the end


class AudioPipe:
    """Standard output as a sink of mono audio, 16-bit little-endian PCM.

    Args:
        raw: without a WAV header.

    Raises:
        typer.BadParameter: where standard output is a terminal.
    """

    def __init__(self, raw: bool) -> None:
        refuse_terminal()
        self._header = not raw
        self.seconds = 0.0

    def write(self, audio: "Audio") -> None:
        """Send a piece on, at once; the first tells the rate of all."""
        if self._header:
            sys.stdout.buffer.write(wav_header(audio.sampling_rate))
            self._header = False
        samples = (audio.samples[0].clip(-1.0, 1.0) * 32767).round().astype("<i2")
        sys.stdout.buffer.write(samples.tobytes())
        sys.stdout.buffer.flush()
        self.seconds += audio.duration


def wav_header(sampling_rate: int) -> bytes:
    """Of 16-bit mono PCM that goes on until it ends."""
    form = struct.pack("<HHIIHH", 1, 1, sampling_rate, 2 * sampling_rate, 2, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", UNKNOWN, b"WAVE", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", UNKNOWN)
    )
