"""A recording that is open: spans of it are decoded, their channels chosen and their rate changed block by block."""

from collections import deque
from contextlib import ExitStack, closing

import numpy as np
from typing_extensions import Self

from xcodec.audio.channels import Channel, channel_selection
from xcodec.audio.decoder import Blocks, Decoder
from xcodec.audio.opening import open_decoder
from xcodec.audio.resampling import Resampler
from xcodec.audio.source import AudioSource, opened_source
from xcodec.errors import AudioError

__all__ = ["Recording"]

_ROUNDING = 0.05  # seconds by which a span may end past its file: manifests round
_KEPT = 1 << 22  # numbers of what was decoded last that stay in memory, for spans that overlap


class Recording:
    """A file that spans are read from.

    Args:
        source: a path, a URL, bytes or an open file.
        longest: seconds that one span may have.
        channel: those wanted; None for all.
        sampling_rate: in Hz, of what is read; None is the file's.

    Raises:
        AudioError: where it cannot be opened, or has no such channel.
    """

    def __init__(
        self,
        source: AudioSource,
        *,
        longest: float | None = None,
        channel: Channel = None,
        sampling_rate: int | None = None,
    ) -> None:
        self._longest = longest
        with ExitStack() as stack:
            self._source = stack.enter_context(opened_source(source))
            self.name = self._source.name
            self.decoder = open_decoder(self._source)
            stack.callback(self.decoder.close)
            self._num_channels, self._select = channel_selection(channel, self.decoder.num_channels, self.name)
            self.sampling_rate = sampling_rate or self.decoder.sampling_rate
            self._tape: _Tape | None = None
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def count_samples(self) -> int:
        """Count the samples per channel of the whole file: by decoding it, block by block, where it does not tell.

        Raises:
            AudioError: where it is decoded, and is damaged.
        """
        if self.decoder.num_samples is not None:
            return self.decoder.num_samples
        blocks = self.decoder.decode()
        while True:
            try:
                next(blocks)
            except StopIteration as end:
                return int(end.value)

    def read(self, start: float = 0.0, duration: float | None = None) -> tuple[np.ndarray, int]:
        """Read a span.

        Args:
            start: in seconds.
            duration: in seconds; None is to the end.

        Returns:
            float32 of shape (channels, samples), which nobody else holds, and its rate in Hz.

        Raises:
            AudioError: as `Audio.read`.
        """
        self._check_span(start, duration)
        rate = self.decoder.sampling_rate
        first = round(start * rate)
        count = None if duration is None else max(1, round(duration * rate))
        if count is None and self.decoder.num_samples is not None:
            self._check_length(self.decoder.num_samples - first)
        if first and self._tape is None and not self.decoder.seeks:
            self._tape = _Tape(self.decoder)
        blocks = self.decoder.decode(first) if self._tape is None else self._tape.play(first)
        resampler = None
        if self.sampling_rate != rate:
            resampler = Resampler(rate, self.sampling_rate, self._num_channels)
        result, num_kept = _Samples(self._num_channels), 0
        with closing(blocks):
            while num_kept != count:
                try:
                    block = next(blocks)
                except StopIteration as end:
                    self._check_reached(start, duration, end.value / rate)
                    break
                kept = self._select(block if count is None else block[: count - num_kept])
                self._check_finite(kept, first + num_kept)
                num_kept += len(kept)
                self._check_length(num_kept)
                result.add(kept if resampler is None else resampler.push(kept))
        if num_kept == 0:
            raise AudioError("holds no samples; expected at least one", subject=self.name)
        if resampler is not None:
            result.add(resampler.finish())
        return result.take(), self.sampling_rate

    def _check_span(self, start: float, duration: float | None) -> None:
        if not (0 <= start < float("inf")):
            raise AudioError(
                "expected a number of seconds, 0 or more", subject=self.name, argument="start", value=start
            )
        if duration is not None and not (0 < duration < float("inf")):
            raise AudioError(
                "expected a number of seconds above 0", subject=self.name, argument="duration", value=duration
            )

    def _check_length(self, num_samples: int) -> None:
        if self._longest is not None and num_samples > self._longest * self.decoder.sampling_rate:
            raise AudioError(
                f"is longer than the limit of {self._longest:g} s",
                subject=self.name,
                remedy=f"cut it into spans, or raise longest={self._longest:g}",
            )

    def _check_finite(self, block: np.ndarray, begin: int) -> None:
        bad = ~np.isfinite(block)
        if bad.any():
            at = int(np.flatnonzero(bad.any(axis=1))[0])
            raise AudioError(
                f"{int(bad.sum())} of {bad.size} samples are NaN or infinite, the first at sample {begin + at}",
                subject=self.name,
                remedy="repair the recording",
            )

    def _check_reached(self, start: float, duration: float | None, length: float) -> None:
        """Raise where the file, which ends after `length` seconds, does not hold a span."""
        if start > 0 and start >= length:
            raise AudioError(f"has no span from {start:g} s on: it ends at {length:g} s", subject=self.name)
        if duration is not None and start + duration > length + _ROUNDING:
            raise AudioError(
                f"has no span from {start:g} s to {start + duration:g} s: it ends at {length:g} s", subject=self.name
            )


class _Tape:
    """What a decoder that cannot seek has decoded last, and how it goes on."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._blocks = decoder.decode()
        self._kept: deque[np.ndarray] = deque()
        self._begin = self._num_kept = 0  # the first sample that is kept; how many numbers are
        self._length: int | None = None
        self._damage: AudioError | None = None

    def play(self, first: int) -> Blocks:
        """Give the blocks from sample `first` on; from the beginning again where it is no longer kept."""
        if first < self._begin:
            self._rewind()
        position = self._begin
        for block in list(self._kept):
            begin, position = position, position + len(block)
            if position > first:
                yield block[max(0, first - begin) :]
        while True:
            if self._damage is not None:
                raise self._damage
            try:
                block = next(self._blocks)
            except StopIteration as end:
                self._length = end.value if self._length is None else self._length
                return self._length
            except AudioError as error:  # the decoder is at its end, and this is what there is
                self._damage = error
                raise
            begin, position = position, position + len(block)
            self._keep(block)
            if position > first:
                yield block[max(0, first - begin) :]

    def _rewind(self) -> None:
        self._blocks.close()
        self._blocks = self._decoder.decode()
        self._kept.clear()
        self._begin = self._num_kept = 0
        self._length = self._damage = None

    def _keep(self, block: np.ndarray) -> None:
        self._kept.append(block)
        self._num_kept += block.size
        while self._num_kept > _KEPT:
            oldest = self._kept.popleft()
            self._num_kept -= oldest.size
            self._begin += len(oldest)


class _Samples:
    """Samples that become more, in one piece of memory."""

    def __init__(self, num_channels: int) -> None:
        self._buffer = np.empty((0, num_channels), np.float32)
        self._count = 0

    def add(self, block: np.ndarray) -> None:
        """Add samples of shape (samples, channels)."""
        end = self._count + len(block)
        if end > len(self._buffer):
            self._buffer.resize((max(end, len(self._buffer) * 5 // 4), self._buffer.shape[1]), refcheck=False)
        self._buffer[self._count : end] = block
        self._count = end

    def take(self) -> np.ndarray:
        """Return all of them, shape (channels, samples)."""
        self._buffer.resize((self._count, self._buffer.shape[1]), refcheck=False)
        return np.ascontiguousarray(self._buffer.T)
