"""Audio on standard output while it is made, for a player or another program."""

import sys

from xcodec.audio.audio import Audio
from xcodec.audio.pcm import float32_to_pcm16, live_wav_header

__all__ = ["AudioPipe"]


class AudioPipe:
    """Standard output as a sink of mono audio, 16-bit little-endian PCM.

    Args:
        raw: without a WAV header.
    """

    def __init__(self, raw: bool) -> None:
        self._header = not raw
        self.seconds = 0.0

    def write(self, audio: Audio) -> None:
        """Send a piece on, at once; the first tells the rate of all."""
        if self._header:
            sys.stdout.buffer.write(live_wav_header(audio.sampling_rate))
            self._header = False
        sys.stdout.buffer.write(float32_to_pcm16(audio.samples[0]))
        sys.stdout.buffer.flush()
        self.seconds += audio.duration
