"""MPEG audio (MP3, MP2, MP1): its frames and tags, and what its headers tell, found without decoding."""

import struct
from array import array
from dataclasses import dataclass, field

from xcodec.audio.source import Source

__all__ = ["FrameHeader", "MpegStream", "VbrHeader", "read_mpeg", "starts_as_mpeg"]

_DECODER_DELAY = 529  # samples by which every decoder of layer III is late
_JUNK = 1 << 16  # bytes that may stand before the first frame or after the last, and are no tag that is known
_CHUNK = 1 << 20

# kbit/s by (MPEG-1?, layer) and index
_BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz by version: 1, 2, 2.5


@dataclass(frozen=True)
class FrameHeader:
    """What the four bytes at the start of a frame say.

    Args:
        layer: 1, 2 or 3.
        sampling_rate: in Hz.
        num_channels: 1 or 2.
        num_samples: per channel in the frame.
        size: of the frame in bytes, or 0 where its bit rate is "free".
        side: bytes from the frame's start to layer III's main data, where an Info or Xing header stands.
    """

    layer: int
    sampling_rate: int
    num_channels: int
    num_samples: int
    size: int
    side: int

    @classmethod
    def parse(cls, head: bytes) -> "FrameHeader | None":
        """Read a header; None where the bytes are none."""
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
            return None
        version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
        bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
        if version == 1 or layer == 4 or bitrate == 15 or rate == 3 or head[3] & 3 == 2:
            return None
        first = version == 3
        bits = 1000 * _BITRATES[first, layer][bitrate]
        sampling_rate = _RATES[version][rate]
        mono = head[3] >> 6 == 3
        num_samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
        if layer == 1:
            size = (12 * bits // sampling_rate + padding) * 4
        else:
            size = num_samples // 8 * bits // sampling_rate + padding
        side = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
        return cls(layer, sampling_rate, 1 if mono else 2, num_samples, size if bits else 0, side)

    def same_kind(self, other: "FrameHeader") -> bool:
        """Tell whether frames of both may belong to one recording."""
        return (self.layer, self.sampling_rate, self.num_channels) == (
            other.layer,
            other.sampling_rate,
            other.num_channels,
        )


@dataclass(frozen=True)
class VbrHeader:
    """The frame before the first, in which encoders write what they know when they have finished.

    Args:
        num_frames: those that follow, or None where it does not say.
        skip_start: samples at the start that the encoder and decoder have added.
        skip_end: samples that they have added at the end.
    """

    num_frames: int | None
    skip_start: int
    skip_end: int

    @classmethod
    def parse(cls, frame: bytes, side: int) -> "VbrHeader | None":
        """Read a Xing, Info or VBRI header; None where the frame holds sound."""
        if frame[36:40] == b"VBRI" and len(frame) >= 54:
            return cls(struct.unpack(">I", frame[50:54])[0] or None, 0, 0)
        if frame[side : side + 4] not in (b"Xing", b"Info") or len(frame) < side + 8:
            return None
        flags = struct.unpack(">I", frame[side + 4 : side + 8])[0]
        position, num_frames = side + 8, None
        if flags & 1:
            num_frames = int.from_bytes(frame[position : position + 4], "big") or None
        position += 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        encoder, delays = frame[position : position + 4], frame[position + 21 : position + 24]
        if len(delays) < 3 or not encoder.isalnum() or not encoder.isascii():
            return cls(num_frames, 0, 0)
        delay, padding = delays[0] << 4 | delays[1] >> 4, (delays[1] & 15) << 8 | delays[2]
        return cls(num_frames, delay + _DECODER_DELAY, max(0, padding - _DECODER_DELAY))


@dataclass
class MpegStream:
    """Frames that belong together: an MP3 file has one such stream, files joined end to end have several.

    Args:
        header: of the first frame.
        vbr: what the frame before it says, or None.
        starts: of each frame its first byte.
        end: the byte after the last frame.
        damage: what is wrong after the last frame, or None.
    """

    header: FrameHeader
    vbr: VbrHeader | None = None
    starts: "array[int]" = field(default_factory=lambda: array("q"))
    end: int = 0
    damage: str | None = None

    @property
    def skip_start(self) -> int:
        """Decoded samples before the recording's first."""
        return self.vbr.skip_start if self.vbr else 0

    @property
    def num_samples(self) -> int:
        """Samples per channel of the recording, as far as its frames are there."""
        decoded = len(self.starts) * self.header.num_samples
        # Where there are many more frames than the header says, another file was joined to it without a header.
        if self.vbr and self.vbr.num_frames and len(self.starts) <= self.vbr.num_frames + 1:
            decoded = min(decoded, self.vbr.num_frames * self.header.num_samples - self.vbr.skip_end)
        return max(0, decoded - self.skip_start)

    @property
    def promised(self) -> int | None:
        """Samples per channel that a header promises, or None where there is none. Encoders miscount by a frame."""
        if not (self.vbr and self.vbr.num_frames):
            return None
        whole = self.vbr.num_frames * self.header.num_samples - self.vbr.skip_end - self.skip_start
        return self.num_samples if len(self.starts) >= self.vbr.num_frames - 1 else max(0, whole)


def starts_as_mpeg(source: Source, begin: int) -> bool:
    """Tell whether two frames that fit each other, or one that fills the file, start at a byte."""
    header = FrameHeader.parse(source.read_at(begin, 4))
    return header is not None and _followed(source, begin, header, source.size)


def read_mpeg(source: Source, begin: int, end: int) -> list[MpegStream]:
    """Find the frames between two bytes, and what stands around them; nothing is decoded.

    Tags (ID3, APEv2, Lyrics3) are passed over wherever they stand. A frame that is cut off by the end is left out.

    Returns:
        The streams that follow one another; none where there is no frame, or where frames have a "free" bit rate, so
        that only a decoder can find them.

    Raises:
        AudioError: where the file cannot be read.
    """
    end = _end_without_tags(source, begin, end)
    streams: list[MpegStream] = []
    stream: MpegStream | None = None
    parsed: dict[bytes, FrameHeader | None] = {}
    position, base, chunk = begin, begin, b""
    while position + 4 <= end:
        if position + 4096 > base + len(chunk) and base + len(chunk) < end:
            base, chunk = position, source.read_at(position, min(_CHUNK, end - position))
        at = position - base
        head = chunk[at : at + 4]
        if head in parsed:
            header = parsed[head]
        else:
            header = parsed[head] = FrameHeader.parse(head)
        if header is None or not header.size:
            tag = _tag_size(source, position, end)
            if tag:
                position, stream = position + tag, None
                continue
            if header is not None:
                return []
        elif stream is None or header.same_kind(stream.header):
            if header.layer == 3 and (
                chunk[at + header.side : at + header.side + 4] in (b"Xing", b"Info")
                or chunk[at + 36 : at + 40] == b"VBRI"
            ):
                vbr = VbrHeader.parse(source.read_at(position, header.size), header.side)
                if vbr is not None:
                    stream = MpegStream(header, vbr, end=position + header.size)
                    streams.append(stream)
                    position += header.size
                    continue
            if stream is not None or _followed(source, position, header, end):
                if position + header.size > end:
                    break
                if stream is None:
                    stream = MpegStream(header)
                    streams.append(stream)
                stream.starts.append(position)
                position += header.size
                stream.end = position
                continue
        found = _next_frame(source, position + 1, end)
        if found is None:
            if end - position > _JUNK and streams:
                streams[-1].damage = f"no MPEG frame follows byte {position}, though {end - position} bytes do"
            break
        next_position, next_header, is_first = found
        if stream is None or is_first or not next_header.same_kind(stream.header):
            if not streams and next_position - begin > _JUNK:
                return []
            stream = None
        else:
            stream.damage = f"{next_position - position} bytes from byte {position} on are no MPEG frames"
            break
        position = next_position
    return [stream for stream in streams if stream.starts or stream.vbr]


def _followed(source: Source, position: int, header: FrameHeader, end: int) -> bool:
    """Tell whether a frame is followed by another of its kind, by a tag or by the end."""
    after = position + header.size
    if not header.size or after > end:
        return False
    if end - after < 4:
        return True
    following = FrameHeader.parse(source.read_at(after, 4))
    return bool(_tag_size(source, after, end)) or (following is not None and following.same_kind(header))


def _next_frame(source: Source, position: int, end: int) -> tuple[int, FrameHeader, bool] | None:
    """Find the next frame that another follows: where, its header, and whether it is a VBR header.

    None where there is none in the next `_JUNK` bytes.
    """
    junk = source.read_at(position, min(_JUNK, end - position))
    at = junk.find(b"\xff")
    while at >= 0:
        header = FrameHeader.parse(junk[at : at + 4])
        if header is not None and _followed(source, position + at, header, end):
            frame = source.read_at(position + at, header.size)
            return position + at, header, VbrHeader.parse(frame, header.side) is not None
        at = junk.find(b"\xff", at + 1)
    return None


def _tag_size(source: Source, position: int, end: int) -> int:
    """Return the bytes of the tag that starts here, 0 where none does."""
    head = source.read_at(position, 32)
    size = 0
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + 10 * (head[5] >> 4 & 1)
    elif head[:8] == b"APETAGEX" and len(head) == 32:
        size = 32 + int.from_bytes(head[12:16], "little") * (head[23] >> 5 & 1)  # a header, or a footer alone
    elif head[:4] == b"TAG+":
        size = 227
    elif head[:3] == b"TAG":
        size = 128
    elif head[:11] == b"LYRICSBEGIN":
        for mark in (b"LYRICS200", b"LYRICSEND"):
            found = source.find(mark, position, end)
            size = size or (found + 9 - position if found >= 0 else 0)
    return min(size, end - position)


def _end_without_tags(source: Source, begin: int, end: int) -> int:
    """Return the byte at which the tags at the end of a file begin."""
    while True:
        tail = source.read_at(max(begin, end - 128), end - max(begin, end - 128))
        before = end
        if tail[-128:-125] == b"TAG":
            end -= 128
            if source.read_at(max(begin, end - 227), 4) == b"TAG+":
                end -= 227
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            end -= 15 + int(tail[-15:-9])
        elif tail[-9:] == b"LYRICSEND":
            found = source.find(b"LYRICSBEGIN", max(begin, end - 5120), end)
            end = found if found >= 0 else end
        elif tail[-32:-24] == b"APETAGEX":
            end -= int.from_bytes(tail[-20:-16], "little") + 32 * (tail[-9] >> 7)
        elif tail[-10:-7] == b"3DI" and max(tail[-4:]) < 128:
            end -= 20 + (tail[-4] << 21 | tail[-3] << 14 | tail[-2] << 7 | tail[-1])
        if end >= before or end < begin:
            return before
