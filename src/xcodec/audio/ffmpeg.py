"""Decoding by FFmpeg, through PyAV, of what libsndfile does not know: AAC, ALAC, WMA, AMR, WebM, Matroska and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from xcodec.audio.decoder import BLOCK, Blocks, Decoder, FindDamage
from xcodec.audio.packets import HoleFinder, PacketIndex, opus_lead, opus_samples
from xcodec.audio.pcm import pcm_to_float32
from xcodec.audio.source import Excerpt, Source
from xcodec.errors import AudioError, first_line

__all__ = ["FfmpegDecoder", "NotReadByFfmpegError", "has_ffmpeg"]

# Containers whose header says how long they are. Of others FFmpeg makes a guess from the bit rate.
_PROMISING = ("mov", "matroska", "asf", "wv", "tta", "flac", "ape", "avi", "wav", "caf", "mpc8", "tak")
# Containers in which FFmpeg seeks to a packet whose time it knows to the sample, and encodings whose packets stand
# alone. AAC is none of them: FFmpeg draws the noise that it puts in place of noise-like bands from one sequence of
# numbers for the whole recording, so that a span alone would hold other noise.
_SOUGHT = ("mov", "wv", "tta")
_INDEPENDENT = ("alac", "flac", "wavpack", "tta")
# Containers of which the packets are counted, where they are Opus or Vorbis, and the seconds that are decoded before a
# span: Vorbis forgets within a block, Opus predicts from what it has decoded.
_COUNTED = ("matroska", "mov")
_PREROLL = {"vorbis": 0.5, "opus": 2.0, "libopus": 2.0}
# FFmpeg's own decoder of AMR does not know frames of silence.
_PREFERRED = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb"}
_STRICT = {"err_detect": "crccheck+explode"}
# Playlists and session descriptions name other files and hosts. FFmpeg is to open none of them.
_ALONE = {"protocol_whitelist": "none"}
_NAMES = {"mov": "MP4", "asf": "ASF", "wv": "WAVPACK", "aac": "ADTS"}


class NotReadByFfmpegError(AudioError):
    """FFmpeg does not know the format, or finds no audio in the file."""


def has_ffmpeg() -> bool:
    """Tell whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


class FfmpegDecoder(Decoder):
    """The first audio track of a file that FFmpeg reads.

    Args:
        source: the file.
        damage: what is known to be wrong at its end, such as "is cut short: ...".
        find_damage: looks for what else may be wrong, once the end is reached.

    Raises:
        NotReadByFfmpegError: where FFmpeg does not know the format, or there is no audio track.
        AudioError: where the beginning is damaged.
    """

    def __init__(self, source: Source, damage: str | None = None, find_damage: FindDamage | None = None) -> None:
        self._source, self._damage, self._find_damage = source, damage, find_damage
        with self._opened() as (container, stream):
            first = next(self._frames(container, stream), None)
            if first is None:
                raise AudioError("holds no samples; expected at least one", subject=source.name)
            base = stream.time_base
            self._container_name = container.format.name.split(",")[0]
            self._first_pts, self._frame_samples = first.pts, first.samples
            self._ticks = base.denominator // (base.numerator * first.sample_rate) if base else 0  # per sample
            promise = self._promise(container, stream)
            exact = self._container_name in ("wv", "tta", "flac")
            super().__init__(
                source.name,
                sampling_rate=first.sample_rate,
                num_channels=first.layout.nb_channels,
                num_samples=round(promise * first.sample_rate) if exact and promise is not None else None,
                format=_NAMES.get(self._container_name, self._container_name.upper()),
                subtype=stream.codec_context.codec.canonical_name.upper(),
                seeks=False,
            )
            self._sought_exactly = self._can_seek(stream, first)
            self._preroll = 0
            if self._container_name in _COUNTED:
                self._preroll = round(_PREROLL.get(stream.codec_context.name, 0) * first.sample_rate)

    @property
    def seeks(self) -> bool:
        """Whether spans are sought. Where packets have to be counted for it, that is done now."""
        return self._sought_exactly or self._packets is not None

    @cached_property
    def _packets(self) -> PacketIndex | None:
        if not self._preroll:
            return None
        with self._opened() as (container, stream):
            try:
                return PacketIndex.of(container.demux(stream), stream, self._frame_samples, self.sampling_rate)
            except _av_error():
                return None  # damaged: reading from the beginning finds where

    def decode(self, start: int = 0) -> Blocks:
        """Decode from sample `start` to the end, from the packet that holds it where `seeks`."""
        with self._opened() as (container, stream):
            packets = self._packets if start > self._preroll else None
            position: int | None = 0
            if packets is not None:
                container.seek(packets.time_before(start, self._preroll), stream=stream, backward=True)
                position = None
            elif self._sought_exactly and start > 0:
                container.seek(self._first_pts + start * self._ticks, stream=stream, backward=True)
                position = None
            reached: list[float] = []
            is_opus = stream.codec_context.name in ("opus", "libopus")
            lead = _OpusLead(stream) if is_opus and position == 0 else None
            for frame in self._frames(container, stream, reached, lead):
                if position is None:
                    if packets is None:
                        position = (frame.pts - self._first_pts) // self._ticks
                    else:
                        position = packets.begin_of(frame.pts, frame.samples)
                        if position is None:  # a part of a packet, whose rest the decoder has dropped
                            continue
                    if position > start:
                        raise AudioError(f"is damaged: its index leads past sample {start}", subject=self.name)
                block = self._samples(frame)
                if lead is not None:
                    block = block[lead.still_to_drop(len(block)) :]
                begin, position = position, position + len(block)
                for at in range(max(0, start - begin), len(block), BLOCK):
                    yield block[at : at + BLOCK]
            if position is None:  # the index has nothing there: how long is it?
                raise AudioError(
                    f"is damaged or cut short: nothing can be read from sample {start} on", subject=self.name
                )
            promise = self._promise(container, stream)
            if promise is not None:
                slack = 2 * self._frame_samples / self.sampling_rate + 0.01
                there = max(position / self.sampling_rate, *reached, 0.0)
                if there < promise - slack:
                    raise AudioError(
                        f"is damaged or cut short: its header promises {promise:g} s, {there:g} s can be read",
                        subject=self.name,
                    )
        if damage := self._damage or (self._find_damage() if self._find_damage else None):
            raise AudioError(damage, subject=self.name)
        return position

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        import av

        excerpt = Excerpt(self._source, [(0, self._source.size)])
        # Tags need not be UTF-8; since PyAV 19 they never have to.
        lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
        try:
            container: Any = av.open(excerpt, options=_ALONE, **lenient)
        except av.error.FFmpegError as error:
            raise NotReadByFfmpegError(
                f"is damaged or cut short: {first_line(error)}", subject=self._source.name
            ) from None
        with container:
            if not container.streams.audio:
                raise NotReadByFfmpegError("holds no audio track", subject=self._source.name)
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise NotReadByFfmpegError("FFmpeg has no decoder for its audio", subject=self._source.name)
            stream.codec_context.options = _STRICT
            yield container, stream
            if excerpt.error is not None:
                raise excerpt.error

    def _frames(
        self, container: Any, stream: Any, reached: "list[float] | None" = None, lead: "_OpusLead | None" = None
    ) -> Iterator[Any]:
        """Decode the frames of the audio track, and note in `reached` until which second there are packets."""
        import av

        latest = 0.0
        decoder = stream.codec_context
        if _PREFERRED.get(decoder.name) in av.codecs_available:
            decoder = av.CodecContext.create(_PREFERRED[decoder.name], "r")
        holes = HoleFinder(container.format.name.split(",")[0], stream)
        try:
            for packet in container.demux():
                if hole := holes.see(packet):
                    missing = f"what was between {hole[0]:.2f} s and {hole[1]:.2f} s is missing"
                    raise AudioError(f"is damaged: {missing}", subject=self._source.name)
                is_other = packet.stream.index != stream.index  # `stream_index` of packets that flush is 0
                if packet.pts is not None and (is_other or holes.watches):
                    latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if is_other:
                    continue
                if packet.is_corrupt:
                    raise AudioError("is damaged or cut short: its last packet is not whole", subject=self._source.name)
                if lead is not None:
                    lead.see(packet)
                for frame in decoder.decode(packet):
                    if frame.samples:
                        yield frame
        except av.error.FFmpegError as error:
            raise AudioError(f"is damaged or cut short: {first_line(error)}", subject=self._source.name) from None
        if reached is not None:
            reached.append(latest)

    def _samples(self, frame: Any) -> np.ndarray:
        """Return a frame as float32 of shape (samples, channels)."""
        if (frame.sample_rate, frame.layout.nb_channels) != (self.sampling_rate, self.num_channels):
            raise AudioError(
                f"changes from {self.sampling_rate} Hz and {self.num_channels} channel(s) to "
                f"{frame.sample_rate} Hz and {frame.layout.nb_channels}",
                subject=self.name,
                remedy="convert it to one first, for instance with: ffmpeg -i FILE whole.wav",
            )
        samples = pcm_to_float32(frame.to_ndarray())
        return samples.T if frame.format.is_planar else samples.reshape(-1, self.num_channels)

    def _promise(self, container: Any, stream: Any) -> float | None:
        """Return how many seconds the header promises, or None where it does not."""
        if self._container_name not in _PROMISING:
            return None
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / 1e6

    def _can_seek(self, stream: Any, first: Any) -> bool:
        """Tell whether the time of every packet says exactly at which sample it stands."""
        base = stream.time_base
        codec = stream.codec_context.name
        if self._container_name not in _SOUGHT or codec not in _INDEPENDENT or not base or first.pts is None:
            return False
        if base.denominator % (base.numerator * first.sample_rate):
            return False
        if self._container_name != "mov":
            return True
        times = np.array([entry.timestamp for entry in stream.index_entries])
        steps = np.diff(times)
        return len(steps) > 0 and bool((steps == steps[0]).all())


class _OpusLead:
    """The samples that Opus's encoder has put in front, in 48 kHz, of which FFmpeg leaves some in.

    It takes their number for one at the rate that the container tells, which of Opus is that of the encoder's input.
    """

    def __init__(self, stream: Any) -> None:
        self._left = opus_lead(stream.codec_context.extradata or b"")
        self._in_packets = 0
        self._begun = False

    def see(self, packet: Any) -> None:
        """Count the samples of a packet that is about to be decoded."""
        if not self._begun:
            self._in_packets += opus_samples(bytes(packet)[:2])

    def still_to_drop(self, count: int) -> int:
        """Return how many of the first `count` samples that come out of the decoder do not belong to the recording."""
        if not self._begun:
            self._begun = True
            self._left = max(0, self._left - max(0, self._in_packets - count))
        drop = min(count, self._left)
        self._left -= drop
        return drop


def _av_error() -> type[Exception]:
    import av

    kind: type[Exception] = av.error.FFmpegError
    return kind
