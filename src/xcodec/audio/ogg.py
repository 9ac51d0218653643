"""Ogg: its pages, the streams that they make, and whether those are whole."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from xcodec.audio.source import Source

__all__ = ["OggStream", "damaged_page", "read_ogg"]

_CODECS = {
    b"\x01vorbis": "VORBIS",
    b"OpusHead": "OPUS",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "SPEEX",
}


@dataclass
class OggStream:
    """One link of a chain of Ogg streams: from pages on which streams begin to the next such pages.

    Args:
        begin: its first byte.
        codecs: of the streams that run side by side in it: "VORBIS", "OPUS", "FLAC", "SPEEX", or "OTHER" for video.
        end: the byte after its last.
        damage: what is wrong with its pages, or None.
    """

    begin: int
    codecs: list[str]
    end: int = 0
    damage: str | None = None


@dataclass(frozen=True)
class _Page:
    begin: int
    end: int
    flags: int
    serial: int
    number: int
    payload: bytes  # its first bytes
    ends_packet: bool  # whether its last packet ends on it
    whole: bool
    skipped: int  # bytes before it that belong to no page


def read_ogg(source: Source) -> list[OggStream]:
    """Read the pages of a file, without decoding them, and find the streams that follow one another.

    Raises:
        AudioError: where the file cannot be read.
    """
    links: list[OggStream] = []
    numbers: dict[int, int] = {}
    beginning = False
    last: _Page | None = None
    for page in _pages(source):
        if page.flags & 2:
            if not beginning:
                if links:
                    _finish(links[-1], last)
                links.append(OggStream(page.begin, []))
                numbers = {}
            links[-1].codecs.append(_codec(page.payload))
        beginning = bool(page.flags & 2)
        if not links:
            continue
        link = links[-1]
        expected = numbers.get(page.serial)
        if link.damage is None and page.skipped and not page.flags & 2:
            link.damage = f"is damaged: {page.skipped} bytes before byte {page.begin} belong to no Ogg page"
        if link.damage is None and expected is not None and page.number != expected:
            link.damage = f"is damaged: Ogg page {expected} is missing before byte {page.begin}"
        numbers[page.serial] = page.number + 1 & 0xFFFFFFFF
        link.end, last = page.end, page
    if links:
        _finish(links[-1], last)
    return links


def damaged_page(source: Source, begin: int, end: int) -> str | None:
    """Say which page between two bytes is not as its checksum says; None where all are. All of them are read.

    Decoders pass over such pages without a word.
    """
    for page in _pages(source):
        if begin <= page.begin < end:
            content = source.read_at(page.begin, page.end - page.begin)
            if _checksum(content[:22] + bytes(4) + content[26:]) != int.from_bytes(content[22:26], "little"):
                return f"is damaged: the Ogg page at byte {page.begin} is not as its checksum says"
    return None


def _checksum(content: bytes) -> int:
    """Return the CRC of Ogg (RFC 3533, 6): that of zlib, the bits of each byte and of the result in the other order."""
    reflected = zlib.crc32(content.translate(_REFLECTED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


_REFLECTED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _finish(link: OggStream, last: _Page | None) -> None:
    """Note where the last page of a link does not end it.

    Not every encoder marks the last page; without the mark, the page has to be whole, and its last packet with it.
    """
    if link.damage is None and last is not None and not (last.whole and (last.flags & 4 or last.ends_packet)):
        link.damage = "is cut short: the last Ogg page does not end the stream"


def _codec(payload: bytes) -> str:
    return next((name for magic, name in _CODECS.items() if payload.startswith(magic)), "OTHER")


def _pages(source: Source) -> Iterator[_Page]:
    position = 0
    while position < source.size:
        start = position
        header = source.read_at(position, 27 + 255 + 8)
        if header[:5] != b"OggS\0":
            start = source.find(b"OggS\0", position)
            if start < 0:
                return
            header = source.read_at(start, 27 + 255 + 8)
        if len(header) < 27:
            yield _Page(start, source.size, 0, 0, 0, b"", False, False, start - position)
            return
        count = header[26]
        sizes = header[27 : 27 + count]
        end = start + 27 + count + sum(sizes)
        payload = source.read_at(start + 27 + count, 16) if header[5] & 2 else b""
        yield _Page(
            start,
            end,
            header[5],
            int.from_bytes(header[14:18], "little"),
            int.from_bytes(header[18:22], "little"),
            payload,
            sizes[-1:] < b"\xff",
            len(sizes) == count and end <= source.size,
            start - position,
        )
        position = end
