"""The sound of entries of a plan, wherever it lies: fetched, cut, one channel, at the model's rate."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio import Audio, AudioFile, AudioInfo
from xcodec.errors import AudioError, XcodecError
from xcodec.location import Location, is_url
from xcodec.tokenization.cells import Cell, CellReader, file_of
from xcodec.tokenization.contents import check_hash, check_stamp, chunks
from xcodec.tokenization.patience import WAITS, StoreError, patiently

__all__ = ["SoundReader", "as_bytes"]

_ATTEMPTS = 4  # more, at fetching a recording: its reader may take only so long


class SoundReader:
    """Reads one file after another. The one that was last fetched is kept, since its spans follow one another.

    Args:
        sampling_rate: in Hz, of what is returned.
        longest: in seconds; a longer recording or span is refused.
        temporary: a folder for what is fetched from far away, or out of a tar.
    """

    def __init__(self, sampling_rate: int, longest: float, temporary: Path) -> None:
        self.sampling_rate, self.longest = sampling_rate, longest
        self._fetched: tuple[Any, Path] | None = None
        self._temporary = temporary
        self._cells = CellReader()

    def read(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Audio, int] | XcodecError]:
        """Read rows of the plan that are spans of one channel of one file, in ascending order, in one pass.

        Yields:
            Of each row its channel at `sampling_rate` and the rate of the source in Hz; or why it cannot be read, which
            speaks of the entry's uri. A row that cannot be read does not keep the others from it.
        """
        uri, channel = entries[0]["uri"], entries[0]["channel"]
        path = None
        try:
            path = self._file(entries[0])
            file = AudioFile(
                path,
                longest=self.longest,
                channel="mean" if channel is None else channel,
                sampling_rate=self.sampling_rate,
            )
        except XcodecError as error:
            if path is not None:
                error.subject = uri  # what was read may be a copy of it
            yield from [error] * len(entries)
            return
        with file:
            for entry in entries:
                try:
                    sound: tuple[Audio, int] | XcodecError = (
                        file.read(entry["start"], entry["duration"]),
                        file.info.sampling_rate,
                    )
                except XcodecError as error:
                    error.subject = uri
                    sound = error
                yield sound

    def channels(self, entry: Mapping[str, Any]) -> int:
        """How many channels an entry's file has.

        Raises:
            XcodecError: where it cannot be read.
        """
        return AudioInfo.read(self._file(entry)).num_channels

    def _file(self, entry: Mapping[str, Any]) -> Path:
        """A file here that holds just the recording, as it was planned."""
        uri, place = entry["uri"], (entry["uri"], entry["byte_start"], entry["byte_count"])
        check_stamp(entry)
        if self._fetched is None or self._fetched[0] != place:
            self._fetched = None
            check_hash(entry)
            if entry["byte_start"] is None and file_of(uri) == uri and not is_url(uri):
                target = Path(Location.of(uri).path)
            else:
                target = self._temporary / "recording"
                try:
                    self._fetch(place, target)
                except AudioError:
                    raise
                except Exception as error:  # the errors of whatever library fsspec uses for this protocol
                    raise AudioError(f"cannot be fetched: {type(error).__name__}: {error}", subject=uri) from None
                self._check_size(entry, target)
            self._fetched = (place, target)
        return self._fetched[1]

    def _fetch(self, place: tuple[str, int | None, int | None], target: Path) -> None:
        """Copy a recording to a file here; from far away, patiently."""
        cell = Cell.of(place[0])

        def copy() -> None:
            with target.open("wb") as file:
                file.writelines([self._cells.read(cell)] if cell else chunks(*place))

        if not is_url(place[0]):
            copy()
            return
        try:
            patiently(place[0], copy, WAITS[:_ATTEMPTS])
        except StoreError as error:
            raise error.__cause__ or error from None

    @staticmethod
    def _check_size(entry: Mapping[str, Any], fetched: Path) -> None:
        """Refuse a file from far away that is of another size than was planned."""
        size = fetched.stat().st_size
        is_whole = entry["byte_start"] is None and file_of(entry["uri"]) == entry["uri"]
        if is_whole and entry["file_size"] not in (None, size):
            raise AudioError(
                f"has been replaced since it was planned (it had {entry['file_size']:,} bytes and has {size:,})",
                subject=entry["uri"],
                remedy="put it back, or start another output",
            )


def as_bytes(audio: Audio) -> memoryview:
    """The samples of one channel, float32 in native order."""
    return np.ascontiguousarray(audio.samples[0]).data.cast("B")
