"""Audio as the bytes of a file, whole or while it is made."""

from dataclasses import dataclass

import numpy as np
import soundfile

from xcodec.audio import Audio
from xcodec.audio.decoder import BLOCK
from xcodec.audio.pcm import float32_to_pcm16, live_wav_header
from xcodec.audio.resampling import Resampler
from xcodec.serving.faults import Fault

__all__ = ["FORMATS", "SoundFormat", "SoundWriter", "sound_bytes", "sound_format"]


@dataclass(frozen=True)
class SoundFormat:
    """What audio is sent as.

    Args:
        name: as `response_format` has it.
        media_type: of HTTP.
        container: libsndfile's name; None for plain PCM.
        subtype: libsndfile's name of the encoding.
        rates: in Hz, ascending, if not every one; another rate becomes the next above.
    """

    name: str
    media_type: str
    container: str | None = None
    subtype: str = "PCM_16"
    rates: tuple[int, ...] = ()

    def rate_for(self, sampling_rate: int) -> int:
        """Return the rate, in Hz, that audio of another is sent at."""
        above = [rate for rate in self.rates if rate >= sampling_rate]
        return above[0] if above else self.rates[-1] if self.rates else sampling_rate


FORMATS = {
    each.name: each
    for each in (
        SoundFormat("wav", "audio/wav", "WAV"),
        SoundFormat("pcm", "audio/pcm"),
        SoundFormat("f32", "application/octet-stream"),
        SoundFormat("flac", "audio/flac", "FLAC"),
        SoundFormat("opus", "audio/ogg", "OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
        SoundFormat(
            "mp3",
            "audio/mpeg",
            "MP3",
            "MPEG_LAYER_III",
            (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        ),
    )
}
"""By name. `pcm` is 16-bit little-endian, mono and without a header; `f32` float32 likewise."""


def sound_format(name: str) -> SoundFormat:
    """Find a format by its name.

    Raises:
        Fault: where there is none of that name.
    """
    if name not in FORMATS:
        raise Fault.not_one_of(FORMATS, "response_format", name)
    return FORMATS[name]


class SoundWriter:
    """Turns samples into the bytes of a file.

    Args:
        form: of the file.
        sampling_rate: in Hz, of the samples.
        live: whether bytes are sent before the last sample has come: headers then do not tell the length.
        sent_rate: in Hz, of what is sent; None is the samples' own, as far as the format has it.

    Attributes:
        sampling_rate: in Hz, of what is sent.
    """

    def __init__(self, form: SoundFormat, sampling_rate: int, live: bool, sent_rate: int | None = None) -> None:
        self._form, self._live = form, live
        self.sampling_rate = form.rate_for(sent_rate or sampling_rate)
        self._resampler = (
            None if self.sampling_rate == sampling_rate else Resampler(sampling_rate, self.sampling_rate, 1)
        )
        self._sink = Sink()
        self._file: soundfile.SoundFile | None = None
        if form.container == "WAV" and live:
            self._sink.write(live_wav_header(self.sampling_rate))
        elif form.container is not None:
            self._file = soundfile.SoundFile(
                self._sink, "w", self.sampling_rate, 1, subtype=form.subtype, format=form.container
            )

    def push(self, samples: np.ndarray) -> bytes:
        """Take samples, float32 (samples,), and give the bytes that can be sent; none before the end, if not live."""
        self._write(samples if self._resampler is None else self._resampler.push(samples[:, None])[:, 0])
        return self._sink.drain() if self._live else b""

    def finish(self) -> bytes:
        """Give the rest."""
        if self._resampler is not None:
            self._write(self._resampler.finish()[:, 0])
        if self._file is not None:
            self._file.close()
        return self._sink.drain()

    def _write(self, samples: np.ndarray) -> None:
        if self._file is not None:
            for start in range(0, len(samples), BLOCK):
                self._file.write(samples[start : start + BLOCK].clip(-1.0, 1.0))
        elif self._form.name == "f32":
            self._sink.write(samples.astype("<f4").tobytes())
        else:
            self._sink.write(float32_to_pcm16(samples))


def sound_bytes(form: SoundFormat, audio: Audio) -> bytes:
    """Give mono audio as a whole file, or as plain samples."""
    writer = SoundWriter(form, audio.sampling_rate, live=False)
    return writer.push(audio.samples[0]) + writer.finish()


class Sink:
    """A file in memory whose bytes leave as they come; what is written over bytes that have left is lost."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._left = 0  # bytes that have left
        self._position = 0

    def drain(self) -> bytes:
        """Give what has been written since the last time."""
        ready = bytes(self._bytes)
        self._left += len(ready)
        self._bytes.clear()
        return ready

    def write(self, data: bytes) -> int:
        """Write at the position."""
        begin = self._position - self._left
        self._position += len(data)
        kept = data[max(0, -begin) :]
        begin = max(0, begin)
        self._bytes[begin : begin + len(kept)] = kept
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        self._position = (0, self._position, self._left + len(self._bytes))[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def flush(self) -> None:
        """Do nothing: all is there."""
