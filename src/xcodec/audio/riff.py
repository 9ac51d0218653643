"""WAV and its kin (RIFX, RF64, BW64): where the samples are, whatever the sizes in the headers say."""

import struct
from dataclasses import dataclass

from xcodec.audio.source import Source

__all__ = ["MAGICS", "WaveFile", "read_wave"]

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
"""The first four bytes of the files that `read_wave` reads."""

_EXTENSIBLE = 0xFFFE
_GSM = 0x31
_GSM_BLOCK = 65  # bytes, which hold 320 samples
_MAX_RIFF = 0xFFFFFFFF
_MAX_FORMAT = 1 << 16  # bytes of a "fmt " chunk; true ones have 16 to 40 and a codec's own data


@dataclass(frozen=True)
class WaveFile:
    """What a WAV file holds.

    Args:
        magic: its first four bytes.
        tag: number of the encoding, such as 1 for PCM; that of the subformat where the file is extensible.
        pieces: where the samples are: of each data chunk the first byte, and the byte after the last that is there.
        promised: bytes of samples that the header promises, or None where it was never told.
        as_plain: the file as libsndfile reads it; None where it reads it as it is.
    """

    magic: bytes
    tag: int
    pieces: list[tuple[int, int]]
    promised: int | None
    as_plain: list[bytes | tuple[int, int]] | None

    @property
    def num_bytes(self) -> int:
        """Bytes of samples that are there."""
        return sum(end - begin for begin, end in self.pieces)

    @property
    def num_samples(self) -> int | None:
        """Samples of GSM, whose last block libsndfile takes twice where there is an odd number; None for others."""
        return self.num_bytes // _GSM_BLOCK * 320 if self.tag == _GSM else None


def read_wave(source: Source) -> WaveFile | None:
    """Read the chunks of a file that starts as WAV; None where it has no samples, or no format before them.

    Raises:
        AudioError: where the file cannot be read.
    """
    magic = source.read_at(0, 4)
    order = ">" if magic == b"RIFX" else "<"
    chunk_format = fact = b""
    true_size: int | None = None  # of the data chunk, in RF64 and BW64
    pieces: list[tuple[int, int]] = []
    promised: int | None = 0
    odd = magic in (b"RF64", b"BW64")
    position = 12
    while position + 8 <= source.size:
        name, size = struct.unpack(order + "4sI", source.read_at(position, 8))
        begin = position + 8
        if pieces and not _plausible(name, size, begin, source):
            break
        if name == b"ds64":
            sizes = source.read_at(begin, 16)
            true_size = struct.unpack("<Q", sizes[8:16])[0] if len(sizes) == 16 else None
        elif name == b"fmt " and not chunk_format:
            chunk_format = source.read_at(begin, min(size, _MAX_FORMAT))
        elif name == b"fact":
            fact = source.read_at(begin, min(size, 16))
        elif name == b"data":
            if magic in (b"RF64", b"BW64") and size == 0xFFFFFFFF and true_size is not None:
                size = true_size
                never_told = False
            else:
                never_told = _never_told(order, size, begin, source)
            odd |= never_told or bool(pieces)
            if never_told:
                size, promised = source.size - begin, None
            elif promised is not None:
                promised += size
            pieces.append((begin, min(begin + size, source.size)))
        position = begin + size + size % 2
    if len(chunk_format) < 16 or not pieces:
        return None
    tag = struct.unpack(order + "H", chunk_format[:2])[0]
    if tag == _EXTENSIBLE and len(chunk_format) >= 26:
        tag = struct.unpack(order + "H", chunk_format[24:26])[0]
    plain = _plain(order, chunk_format, fact if len(pieces) == 1 and promised is not None else b"", pieces)
    return WaveFile(magic, tag, pieces, promised, plain if odd else None)


def _never_told(order: str, size: int, begin: int, source: Source) -> bool:
    """Tell whether a data chunk's size is what programs write that cannot know it, because they write into a pipe.

    Most of them write the largest size that fits into 32 or 31 bits, less some bytes of header; others zero.
    """
    if size == 0:
        if begin + 8 > source.size:
            return begin < source.size
        name, following = struct.unpack(order + "4sI", source.read_at(begin, 8))
        return not _plausible(name, following, begin + 8, source)
    return begin + size > source.size and (0x7FFF0000 <= size <= 0x80000000 or size >= 0xFFFF0000)


def _plausible(name: bytes, size: int, begin: int, source: Source) -> bool:
    """Tell whether a chunk begins here, rather than samples or rubbish."""
    if name == b"data":
        return begin + size <= source.size
    return all(32 <= byte < 127 for byte in name) and begin + size <= source.size


def _plain(
    order: str, chunk_format: bytes, fact: bytes, pieces: list[tuple[int, int]]
) -> list[bytes | tuple[int, int]]:
    """Compose a file of one data chunk from the pieces of one."""
    size = sum(end - begin for begin, end in pieces)
    chunks = _chunk(order, b"fmt ", chunk_format) + (_chunk(order, b"fact", fact) if fact else b"")
    if size + len(chunks) + 100 > _MAX_RIFF:
        sizes = struct.pack("<QQQI", size + len(chunks) + 48, size, 0, 0)
        header = b"RF64" + b"\xff" * 4 + b"WAVE" + _chunk("<", b"ds64", sizes) + chunks + b"data" + b"\xff" * 4
    else:
        header = (b"RIFX" if order == ">" else b"RIFF") + struct.pack(order + "I", 4 + len(chunks) + 8 + size)
        header += b"WAVE" + chunks + b"data" + struct.pack(order + "I", size)
    return [header, *pieces]


def _chunk(order: str, name: bytes, content: bytes) -> bytes:
    return name + struct.pack(order + "I", len(content)) + content + bytes(len(content) % 2)
