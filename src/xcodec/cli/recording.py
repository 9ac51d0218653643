"""Recordings as `xcodec encode` and `xcodec reconstruct` read them: one channel, at the model's rate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xcodec.cli.paths import Job
from xcodec.cli.places import Source, fetched

if TYPE_CHECKING:
    from xcodec.audio import Audio
    from xcodec.codec import Codec

__all__ = ["Recording", "RecordingReader"]

EACH = "each"


@dataclass(frozen=True)
class Recording:
    """One channel of a recording, at the model's rate.

    Args:
        audio: what is encoded.
        source_sampling_rate: in Hz, of the recording as it came.
    """

    audio: "Audio"
    source_sampling_rate: int

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.audio.duration


@dataclass(frozen=True)
class RecordingReader:
    """Reads recordings.

    Args:
        channel: mean, left, right, each, or a number from 0.
        longest: in seconds; a longer recording is an error. None is no limit.
    """

    channel: str
    longest: float | None

    @property
    def count_channels(self) -> Callable[[Source], int] | None:
        """Counts the channels of a recording, where each is one to read."""
        return count_channels if self.channel == EACH else None

    def read(self, codec: "Codec", job: Job) -> Recording:
        """Read what a job asks for.

        Raises:
            XcodecError: where it cannot be read, has no such channel, or is too long.
        """
        from xcodec.audio import AudioFile

        channel: str | int = int(self.channel) if self.channel.isdecimal() else self.channel
        if self.channel == EACH:
            channel = job.channel or 0
        wanted: dict[str, Any] = {"longest": self.longest, "channel": channel, "sampling_rate": codec.sampling_rate}
        with fetched(job.source) as path, AudioFile(path, **wanted) as file:
            return Recording(file.read(), file.info.sampling_rate)


def count_channels(source: Source) -> int:
    """Count the channels of a recording, as its header has them; 1 where it cannot be read, which reading it will tell.

    Raises:
        InputError: where it cannot be fetched.
    """
    from xcodec.audio import AudioInfo
    from xcodec.errors import AudioError

    try:
        with fetched(source) as path:
            return AudioInfo.read(path).num_channels
    except AudioError:
        return 1
