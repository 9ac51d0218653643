"""A file that stays open while spans of it are read."""

from typing_extensions import Self

from xcodec.audio.audio import Audio
from xcodec.audio.channels import Channel
from xcodec.audio.info import AudioInfo
from xcodec.audio.recording import Recording
from xcodec.audio.source import AudioSource

__all__ = ["AudioFile"]


class AudioFile:
    """Spans of one file, read one after another; a span that is not there does not end it.

    Args:
        source: as in `Audio.read`; likewise `longest`, `channel` and `sampling_rate`.
        longest: in seconds, of one span.
        channel: those wanted.
        sampling_rate: in Hz, of what is read.

    Raises:
        AudioError: where it cannot be opened, or has no such channel.
        InputError: for a channel or URL that cannot be understood.
    """

    def __init__(
        self,
        source: AudioSource,
        *,
        longest: float | None = None,
        channel: Channel = None,
        sampling_rate: int | None = None,
    ) -> None:
        self._recording = Recording(source, longest=longest, channel=channel, sampling_rate=sampling_rate)
        self.info = AudioInfo.of(self._recording.decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._recording.close()

    def count_samples(self) -> int:
        """Return how many samples per channel the file holds, at its own rate.

        Where it does not tell, it is decoded to its end, block by block, and nothing is kept.

        Raises:
            AudioError: where it is decoded, and is damaged.
        """
        return self._recording.count_samples()

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read a span, bit by bit as `Audio.read` reads it.

        Spans in order of their start take one pass over the file, or seek where its format allows it.

        Raises:
            AudioError: as `Audio.read`.
        """
        return Audio._of(*self._recording.read(start, duration))
