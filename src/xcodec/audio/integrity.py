"""Whether an audio file holds all that it promises, which its decoder alone does not tell."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import soundfile

from xcodec.errors import AudioError

__all__ = ["UNKNOWN_LENGTH", "check_complete"]

UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's length of a FLAC file whose header gives none

_STREAMED_SIZE = 0x7FFF0000  # bytes; programs that write WAV into a pipe promise this much or more
_MP3_FRAME = 1152  # samples in the longest MP3 frame: encoders disagree by up to one on where a file ends


def check_complete(path: Path, file: soundfile.SoundFile, num_samples: int) -> None:
    """Raise where a file holds less than its header, its chunks or its last page promise."""
    if file.frames != UNKNOWN_LENGTH:
        tolerance = _MP3_FRAME if file.format == "MP3" else 0
        if num_samples < file.frames - tolerance:
            raise AudioError(
                f"{path}: is damaged or cut short: its header promises {file.frames} samples, {num_samples} can be read"
            )
    for promised, there in _promised_bytes(file.extra_info):
        if there < promised < _STREAMED_SIZE:
            raise AudioError(
                f"{path}: is cut short: its header promises {promised} bytes of samples, the file holds {there}"
            )
    if file.format == "OGG":
        _check_ogg_pages(path)


def _promised_bytes(log: str) -> Iterator[tuple[int, int]]:
    """Find in libsndfile's log the sizes it had to correct: (promised, there), in WAV, AIFF, AU, CAF and W64 files."""
    for line in log.splitlines():  # such as "data : 95680 (should be 47818)"
        name, _, sizes = line.partition(":")
        promised, corrected, there = sizes.partition("(should be ")
        if corrected and name.strip() in ("data", "SSND", "Data Size", "riff"):
            yield int(promised), int(there.rstrip(" )"))


def _check_ogg_pages(path: Path) -> None:
    """Raise where the last page of an Ogg file is cut short, or a second stream follows the first.

    Not every encoder marks the last page; without the mark, the file has to end where a page ends, and its last packet
    with it. Of a chain libsndfile reads the first stream, and neither tells of the others nor can be made to read them.
    """
    started = ended = False
    for begins, may_end in _ogg_pages(path):
        if begins and started:
            raise AudioError(
                f"{path}: holds several streams one after another (a chained Ogg file), of which only the first can be "
                "read; make one of them, for instance with: ffmpeg -i chained.ogg whole.wav"
            )
        started |= not begins
        ended = may_end
    if not ended:
        raise AudioError(f"{path}: is cut short: the last Ogg page does not end the stream")


def _ogg_pages(path: Path) -> Iterator[tuple[bool, bool]]:
    """Find the pages of an Ogg file: of each whether a stream begins with it, and whether one may end with it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(b"OggS\0")
        while start >= 0:
            header = data[start : start + 27]
            if len(header) < 27:
                yield False, False
                return
            flags = header[5]  # 2: the stream begins, 4: it ends
            sizes = data[start + 27 : start + 27 + header[26]]
            end = start + 27 + header[26] + sum(sizes)
            says_so = bool(flags & 4) and end <= len(data)
            yield bool(flags & 2), says_so or (end == len(data) and sizes[-1:] < b"\xff")
            start = data.find(b"OggS\0", end)
