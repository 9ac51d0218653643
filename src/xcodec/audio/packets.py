"""Packets of Opus and Vorbis in WebM, Matroska and MP4: at which sample each begins, told without decoding."""

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["HoleFinder", "PacketIndex", "opus_lead", "opus_samples"]

_HOLE = 0.1  # seconds without packets, from which on something may be missing
_HEADERS = 40  # bytes that may stand between two packets of Matroska and are headers
_ROUNDED = 2  # ticks of the container by which the time of a packet may be off


class PacketIndex:
    """Where each packet of a stream begins.

    Args:
        times: of each packet, in ticks of the stream; None where the container does not tell.
        sizes: of each packet the samples that it decodes to.
        lead: samples at the start that are no part of the recording.
    """

    def __init__(self, times: list[int | None], sizes: np.ndarray, lead: int) -> None:
        self._begins = np.cumsum(sizes) - sizes - lead
        self._sizes = sizes
        # The first block of Vorbis gives nothing, and stands before the time at which sound begins.
        self._timed = np.array([i for i, time in enumerate(times) if time is not None and sizes[i]], np.int64)
        self._numbers: dict[int | None, int] = {times[i]: int(i) for i in self._timed}
        self._times = times

    @classmethod
    def of(cls, packets: Iterator[Any], stream: Any, first_samples: int, sampling_rate: int) -> "PacketIndex | None":
        """Count a stream's packets.

        Args:
            packets: all of the stream, from its beginning.
            stream: of PyAV.
            first_samples: samples that the first packet gives which gives any.
            sampling_rate: in Hz, of what is decoded.

        Returns:
            The index; None where the times of the packets contradict what is counted, or too little is known.
        """
        name, head = stream.codec_context.name, stream.codec_context.extradata or b""
        is_opus = name in ("opus", "libopus")
        if is_opus and (head[:8] != b"OpusHead" or sampling_rate != 48000):
            return None
        if not is_opus and name != "vorbis":
            return None
        told = [
            (p.pts, p.duration, opus_samples(bytes(memoryview(p)[:2])) if is_opus else 0) for p in packets if p.size
        ]
        times = [time for time, _, _ in told]
        if is_opus:
            sizes: np.ndarray | None = np.array([size for _, _, size in told], np.int64)
            lead = opus_lead(head)
        else:
            ticks = np.array([duration or 0 for _, duration, _ in told], np.int64)
            sizes, lead = _vorbis_sizes(ticks * float(stream.time_base) * sampling_rate, stream, sampling_rate), 0
        if sizes is None or len(sizes) < 2:
            return None
        dropped = int(sizes[0] if is_opus else sizes[1]) - first_samples
        if not 0 <= dropped <= lead:
            return None
        index = cls(times, sizes, lead)
        return index if index._agrees(sampling_rate * float(stream.time_base)) else None

    def _agrees(self, samples_per_tick: float) -> bool:
        """Tell whether packets stand where their times say, as far as times are exact."""
        times = np.array([self._times[i] for i in self._timed], np.float64)
        off = times * samples_per_tick - self._begins[self._timed]
        is_increasing = bool((np.diff(times) > 0).all())
        return is_increasing and bool((abs(off - np.median(off)) <= _ROUNDED * samples_per_tick + 1).all())

    def time_before(self, sample: int, preroll: int) -> int:
        """Return the time, in ticks, of a packet after which so many samples come before a sample, or before the end.

        It is the first packet where there are not so many.
        """
        end = int(self._begins[-1] + self._sizes[-1])
        sample = min(sample, end) - preroll
        found = int(np.searchsorted(self._begins[self._timed], sample, side="right")) - 1
        time = self._times[self._timed[max(0, found)]]
        assert time is not None, "only packets whose time is told are looked among"
        return time

    def begin_of(self, time: int | None, num_samples: int) -> int | None:
        """Return the first sample of the packet at a time; None where there is none, or it has not been given whole."""
        number = self._numbers.get(time)
        return None if number is None or self._sizes[number] != num_samples else int(self._begins[number])


class HoleFinder:
    """Notices where packets of a stream are missing, by the times that Matroska and Ogg give them.

    A recorder that heard nothing for a while leaves a gap in the time too. In Matroska its packets then follow one
    another in the file as always; where bytes are passed over, they were packets.

    Args:
        container: FFmpeg's name of it.
        stream: of PyAV.

    Attributes:
        watches: whether the container is one of these.
    """

    def __init__(self, container: str, stream: Any) -> None:
        self.watches = container in ("matroska", "ogg")
        self._needs_bytes = container == "matroska"
        self._index, self._base = stream.index, float(stream.time_base or 0)
        self._time: float | None = None
        self._byte: int | None = None
        self._passed_over = False  # bytes, since the last packet of the stream

    def see(self, packet: Any) -> tuple[float, float] | None:
        """Look at the next packet of any stream; return between which seconds something is missing before it."""
        if not self.watches or packet.pts is None:
            return None
        if packet.pos is not None:
            self._passed_over |= self._byte is not None and packet.pos - self._byte > _HEADERS
            self._byte = packet.pos + packet.size
        if packet.stream.index != self._index:
            return None
        begin, last = packet.pts * self._base, self._time
        self._time = begin + (packet.duration or 0) * self._base
        passed_over, self._passed_over = self._passed_over, False
        if last is not None and begin - last > _HOLE and (passed_over or not self._needs_bytes):
            return last, begin
        return None


def opus_lead(head: bytes) -> int:
    """Return how many samples at 48 kHz the encoder has put in front (RFC 7845, 5.1); 0 where no header tells."""
    return int.from_bytes(head[10:12], "little") if head[:8] == b"OpusHead" else 0


def opus_samples(head: bytes) -> int:
    """Count a packet's samples at 48 kHz from its first bytes (RFC 6716, 3.1)."""
    if not head:
        return 0
    config, code = head[0] >> 3, head[0] & 3
    if config < 12:
        size = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        size = (480, 960)[config & 1]
    else:
        size = (120, 240, 480, 960)[config & 3]
    return size * (1 if code == 0 else 2 if code < 3 else (head[1] & 63 if len(head) > 1 else 0))


def _vorbis_sizes(lengths: np.ndarray, stream: Any, sampling_rate: int) -> np.ndarray | None:
    """Find what each packet of Vorbis decodes to, by its length rounded down to ticks: there are three sizes.

    None where two of them are too alike, or a length fits none.
    """
    head = stream.codec_context.extradata or b""
    at = head.find(b"\x01vorbis")
    if at < 0 or len(head) < at + 29:
        return None
    short, long = 1 << (head[at + 28] & 15), 1 << (head[at + 28] >> 4)
    candidates = np.unique([short // 2, (short + long) // 4, long // 2])
    tick = float(stream.time_base) * sampling_rate
    nearest = np.abs(lengths[:, None] - candidates).argmin(axis=1)
    sizes = candidates[nearest]
    if (np.diff(candidates) <= 2 * tick).any() or (np.abs(sizes - lengths) > tick).any():
        return None
    sizes[0] = 0  # the first block only overlaps with the second
    return sizes
