"""The sound of one entry of a plan, wherever it lies: fetched, cut, one channel, at the model's rate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import AudioError, XcodecError
from xcodec.location import Location, is_url

__all__ = ["SoundReader"]


class SoundReader:
    """Reads one entry after another. The file that was last fetched is kept, since its spans follow one another.

    Args:
        sampling_rate: in Hz, of what is returned.
        longest: in seconds; a longer recording or span is refused.
        temporary: a folder for what is fetched from far away, or out of a tar.
    """

    def __init__(self, sampling_rate: int, longest: float, temporary: Path) -> None:
        self.sampling_rate, self.longest = sampling_rate, longest
        self._fetched: tuple[Any, Path] | None = None
        self._temporary = temporary

    def read(self, entry: Mapping[str, Any]) -> tuple[Audio, int]:
        """Read what a row of the plan means.

        Returns:
            One channel at `sampling_rate`, and the rate of the source in Hz.

        Raises:
            XcodecError: where it cannot be read; the message speaks of the entry's uri.
        """
        path = self._file(entry)
        try:
            audio = Audio.read(path, start=entry["start"], duration=entry["duration"], longest=self.longest)
        except XcodecError as error:
            raise type(error)(str(error).replace(str(path), entry["uri"], 1)) from None
        channel = entry["channel"]
        if channel is not None:
            if channel >= audio.num_channels:
                raise AudioError(f"{entry['uri']}: has no channel {channel}, only {audio.num_channels}")
            audio = Audio(audio.samples[channel], audio.sampling_rate)
        return audio.mono().resample(self.sampling_rate), audio.sampling_rate

    def _file(self, entry: Mapping[str, Any]) -> Path:
        """A file here that holds just the recording."""
        uri, place = entry["uri"], (entry["uri"], entry["byte_start"], entry["byte_count"])
        if entry["byte_start"] is None and not is_url(uri):
            return Path(Location.of(uri).path)
        if self._fetched is None or self._fetched[0] != place:
            self._fetched = None
            target = self._temporary / "recording"
            try:
                self._fetch(*place, target)
            except Exception as error:  # the errors of whatever library fsspec uses for this protocol
                raise AudioError(f"{uri}: cannot be fetched: {type(error).__name__}: {error}") from None
            self._fetched = (place, target)
        return self._fetched[1]

    @staticmethod
    def _fetch(uri: str, byte_start: int | None, byte_count: int | None, target: Path) -> None:
        location = Location.of(uri)
        if byte_start is None:
            location.fs.get_file(location.path, str(target))
            return
        with location.fs.open(location.path, "rb") as source, target.open("wb") as copy:
            source.seek(byte_start)
            left = byte_count or 0
            while left and (chunk := source.read(min(left, 1 << 20))):
                left -= copy.write(chunk)
            if left:
                raise EOFError(f"it ends {left} bytes before the recording does")


def as_bytes(audio: Audio) -> memoryview:
    """The samples of one channel, float32 in native order."""
    return np.ascontiguousarray(audio.samples[0]).data.cast("B")
