"""What a file says of itself, without decoding it."""

from dataclasses import dataclass

from xcodec.audio.decoder import Decoder
from xcodec.audio.opening import open_decoder
from xcodec.audio.source import AudioSource, opened_source

__all__ = ["AudioInfo"]


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, or what its frames add up to; a damaged file may hold less.

    Args:
        num_samples: samples per channel at `sampling_rate`, or None where only decoding tells: there is never a guess.
        num_channels: number of channels.
        sampling_rate: in Hz.
        format: name of the container, such as "WAV".
        subtype: name of the encoding, such as "PCM_16".
    """

    num_samples: int | None
    num_channels: int
    sampling_rate: int
    format: str
    subtype: str

    @classmethod
    def read(cls, source: AudioSource) -> "AudioInfo":
        """Read what a file says of itself.

        Args:
            source: a path, a URL, the bytes of a file, or a file that is open for reading bytes.

        Raises:
            AudioError: where there is no such file, or it is not audio.
            InputError: for a URL that cannot be understood.
        """
        with opened_source(source) as opened:
            decoder = open_decoder(opened)
            try:
                return cls.of(decoder)
            finally:
                decoder.close()

    @classmethod
    def of(cls, decoder: Decoder) -> "AudioInfo":
        """Return what a decoder knows."""
        return cls(decoder.num_samples, decoder.num_channels, decoder.sampling_rate, decoder.format, decoder.subtype)

    @property
    def duration(self) -> float | None:
        """In seconds, or None where only decoding tells."""
        return None if self.num_samples is None else self.num_samples / self.sampling_rate
