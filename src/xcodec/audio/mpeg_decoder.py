"""Decoding MPEG audio from any of its frames on, to its end, whatever its headers promise."""

from collections.abc import Iterator

import numpy as np
import soundfile

from xcodec.audio.decoder import Blocks, Decoder, JoinedDecoder, damaged
from xcodec.audio.libsndfile import NOT_AUDIO, SequentialFile, decode_sequentially, reason
from xcodec.audio.mpeg import FrameHeader, MpegStream, read_mpeg
from xcodec.audio.source import Excerpt, Source
from xcodec.errors import AudioError

__all__ = ["open_mpeg"]

# Frames of layer III take bits from those before them, up to 511 bytes back, and overlap with them.
_RESERVOIR = 511  # bytes
_HEADERS = 40  # bytes of a frame that hold no such bits, at most
_OVERLAPPING = 4  # frames
_CYCLE = 8  # frames, after which the decoder adds its sums in the same order again


def open_mpeg(
    source: Source, begin: int = 0, end: int | None = None, format: str = "MP3", damage: str | None = None
) -> Decoder:
    """Open the MPEG audio between two bytes of a file.

    Files that were joined end to end are decoded one after another, each with the silence left out that its own header
    says its encoder has added.

    Raises:
        AudioError: where there is none, or its rate or channels change.
    """
    end = source.size if end is None else end
    streams = read_mpeg(source, begin, end)
    if not streams:
        return _WholeMpegDecoder(source, begin, end, format)
    streams[-1].damage = streams[-1].damage or damage
    parts: list[Decoder] = [_MpegDecoder(source, stream, format) for stream in streams]
    return parts[0] if len(parts) == 1 else JoinedDecoder(source.name, parts)


class _MpegDecoder(Decoder):
    """One stream of frames."""

    def __init__(self, source: Source, stream: MpegStream, format: str) -> None:
        super().__init__(
            source.name,
            sampling_rate=stream.header.sampling_rate,
            num_channels=stream.header.num_channels,
            num_samples=stream.promised if stream.promised is not None else _unless(stream.damage, stream.num_samples),
            format=format,
            subtype=_subtype(stream.header),
            seeks=True,
        )
        self._source, self._stream = source, stream

    def decode(self, start: int = 0) -> Blocks:
        """Decode from sample `start` to the end; frames before it are decoded until nothing of theirs is missing."""
        stream, length = self._stream, self._stream.num_samples
        size = stream.header.num_samples
        if start < length:
            wanted = max(0, (start + stream.skip_start) // size - _OVERLAPPING)
            first = self._reservoir(wanted)
            position = first * size - stream.skip_start
            muted = [self._muted(frame) for frame in range(first, wanted)]
            for block in _decoded(self._source, [*muted, (stream.starts[wanted], stream.end)]):
                begin, position = position, position + len(block)
                kept = block[max(0, start - begin) : max(0, length - begin)]
                if len(kept):
                    yield kept
            if position < min(length, len(stream.starts) * size - stream.skip_start):
                raise damaged(self.name, length, position)
        if stream.damage is not None:
            raise AudioError(f"is damaged: {stream.damage}", subject=self.name)
        if stream.promised is not None and length < stream.promised:
            raise damaged(self.name, stream.promised, length)
        return length

    def _reservoir(self, wanted: int) -> int:
        """Return the first of the frames whose bits frame `wanted` and those after it may need."""
        starts = self._stream.starts
        first, reservoir = wanted, 0
        while first > 0 and reservoir < _RESERVOIR:
            first -= 1
            reservoir += max(0, starts[first + 1] - starts[first] - _HEADERS)
        return first // _CYCLE * _CYCLE

    def _muted(self, frame: int) -> bytes:
        """Return a frame that is silent, but still has the bits that later ones take from it.

        It may itself miss bits from before, of which the decoder would complain.
        """
        start = self._stream.starts[frame]
        content = bytearray(self._source.read_at(start, self._stream.starts[frame + 1] - start))
        header = self._stream.header
        if header.layer != 3:
            return bytes(content)
        checksum = 0 if content[1] & 1 else 2
        begin, end = 4 + checksum, header.side + checksum
        kept = content[begin : begin + 2]  # the first 8 or 9 bits say how far back the frame's bits begin
        content[begin:end] = bytes(end - begin)
        content[begin] = kept[0]
        content[begin + 1] = kept[1] & 0x80 if content[1] >> 3 & 1 else 0
        return bytes(content)


class _WholeMpegDecoder(Decoder):
    """Frames of "free" bit rate, which only the decoder finds: decoded from the beginning, their number unknown."""

    def __init__(self, source: Source, begin: int, end: int, format: str) -> None:
        with _opened(source, [(begin, end)]) as file:
            rate, channels, subtype = file.samplerate, file.channels, file.subtype
        super().__init__(
            source.name,
            sampling_rate=rate,
            num_channels=channels,
            num_samples=None,
            format=format,
            subtype=subtype,
            seeks=False,
        )
        self._source, self._begin, self._end = source, begin, end

    def decode(self, start: int = 0) -> Blocks:
        """Decode all, and leave out what comes before sample `start`."""
        position = 0
        for block in _decoded(self._source, [(self._begin, self._end)]):
            begin, position = position, position + len(block)
            if position > start:
                yield block[max(0, start - begin) :]
        return position


def _unless(damage: str | None, num_samples: int) -> int | None:
    return num_samples if damage is None else None


def _subtype(header: FrameHeader) -> str:
    return f"MPEG_LAYER_{'I' * header.layer}"


def _opened(source: Source, pieces: list[bytes | tuple[int, int]]) -> soundfile.SoundFile:
    excerpt = Excerpt(source, pieces)
    # libsndfile guesses a length from the size and the first frames, and stops there; of an endless file it is never
    # reached.
    excerpt.seems_endless = True
    try:
        file = SequentialFile(excerpt)
    except soundfile.LibsndfileError as error:
        what = NOT_AUDIO if error.code in (1, 7) else f"is damaged or cut short: {reason(error)}"
        raise AudioError(what, subject=source.name) from None
    excerpt.seems_endless = False
    file.excerpt = excerpt
    return file


def _decoded(source: Source, pieces: list[bytes | tuple[int, int]]) -> Iterator[np.ndarray]:
    with _opened(source, pieces) as file:
        yield from decode_sequentially(source.name, file, file.excerpt)
