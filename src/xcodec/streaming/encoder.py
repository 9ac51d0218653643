"""Live audio becomes codes that leave piece by piece."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from xcodec.audio import Audio
from xcodec.code_stream import check_windows
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.modules.tiles import Tile

__all__ = ["EncoderState", "StreamEncoder"]

CONTEXT = 200  # frames
LOOKAHEAD = 10  # frames
CHUNK = 10  # frames


@dataclass
class EncoderState:
    """A stream of audio: the samples that are still needed, and how far the codes have gone.

    Attributes:
        samples: from frame `first` on, float32 (samples,).
        first: the stream's frame that `samples` begins with.
        done: frames whose codes have left.
        ended: whether no more samples come.
    """

    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    first: int = 0
    done: int = 0
    ended: bool = False


@dataclass(frozen=True)
class EncoderWindow(Tile):
    """The next frames of a stream, and those that are shown with them.

    Attributes:
        is_last: whether no samples follow, and all that are left are shown.
    """

    is_last: bool = False


class StreamEncoder:
    """Encode live audio: the codes of a frame leave when it is encoded with `lookahead` frames after it.

    Args:
        codec: the model.
        context: frames before a piece that its window shows, at least 0.
        lookahead: frames after a piece that its window waits for, at least 0.
        chunk: frames encoded at a time, at least 1.
        bandwidth: in kbit/s, as for `Codec.encode`.

    Attributes:
        state: all that changes.

    Raises:
        InputError: for a number out of range.
    """

    def __init__(
        self,
        codec: Codec,
        context: int = CONTEXT,
        lookahead: int = LOOKAHEAD,
        chunk: int = CHUNK,
        bandwidth: float | None = None,
    ) -> None:
        check_windows(context, lookahead, chunk, least_lookahead=0)
        self.codec, self.bandwidth = codec, bandwidth
        self.context, self.lookahead, self.chunk = context, lookahead, chunk
        self.hop_length = codec.model.hop_length
        self.state = EncoderState()

    def push(self, samples: ArrayLike) -> np.ndarray:
        """Take the next samples, mono at the codec's rate, full scale at 1.0, and give the codes that are final.

        Returns:
            int64 (codebooks, frames), maybe of no frames.

        Raises:
            InputError: for what is no floating-point array of one dimension.
        """
        self.take(samples)
        return self._all_ready()

    def flush(self) -> np.ndarray:
        """End the stream and give the rest of its codes, as many in all as the whole recording has."""
        self.end()
        ids = self._all_ready()
        self.state = EncoderState()
        return ids

    # Step by step, for whoever says when which stream is encoded

    def take(self, samples: ArrayLike) -> None:
        """Take the next samples, as `push` does, and encode nothing yet."""
        new = np.asarray(samples)
        if new.ndim != 1 or new.dtype.kind != "f":
            raise InputError(f"expected floating-point samples (samples,), got {new.dtype} {new.shape}")
        self.state.samples = np.concatenate([self.state.samples, new.astype(np.float32)])

    def end(self) -> None:
        """Say that no more samples come: what is there makes the last codes."""
        self.state.ended = True

    @property
    def kind(self) -> Hashable | None:
        """What streams have in common whose next windows can be one batch; None where the next has not come whole."""
        return None if self._next_window() is None else self.bandwidth or self.codec.bandwidths[-1]

    @staticmethod
    def step(streams: Sequence["StreamEncoder"]) -> list[np.ndarray]:
        """Encode the next window of each of several streams of one codec as one batch.

        In float32 the codes of each are those that it gets alone.

        Args:
            streams: each once, all of one `kind`, which is not None.

        Returns:
            Of each the codes that are final, int64 (codebooks, frames).
        """
        windows = [window for stream in streams if (window := stream._next_window()) is not None]
        codec, bandwidth = streams[0].codec, streams[0].bandwidth
        shown = [
            Audio(stream._shown(window), codec.sampling_rate) for stream, window in zip(streams, windows, strict=True)
        ]
        encoded = codec.encode(shown, bandwidth=bandwidth)
        return [
            stream._finish(window, np.asarray(codes.ids, dtype=np.int64))
            for stream, window, codes in zip(streams, windows, encoded, strict=True)
        ]

    def _all_ready(self) -> np.ndarray:
        """Encode all windows that have come whole."""
        pieces = []
        while self.kind is not None:
            pieces += self.step([self])
        return np.concatenate(pieces, 1) if pieces else self._nothing()

    def _next_window(self) -> EncoderWindow | None:
        """The frames to encode next and what is shown with them, if all of it has come."""
        state, there = self.state, len(self.state.samples)
        first, stop = max(state.first, state.done - self.context), state.done + self.chunk
        if (stop + self.lookahead - state.first) * self.hop_length <= there:
            return EncoderWindow(state.done, stop, first, stop + self.lookahead)
        if not state.ended or not (state.done or there):
            return None
        last = first + self.codec.model.num_codes_of(there - (first - state.first) * self.hop_length)
        return EncoderWindow(state.done, last, first, last, is_last=True) if last > state.done else None

    def _shown(self, window: EncoderWindow) -> np.ndarray:
        rest = self.state.samples[(window.first - self.state.first) * self.hop_length :]
        if window.is_last:
            return rest if len(rest) else np.zeros(1, np.float32)
        return rest[: self.codec.model.samples_of(window.last - window.first)]

    def _finish(self, window: EncoderWindow, ids: np.ndarray) -> np.ndarray:
        """Cut the wanted codes out of a window's, and forget the samples that are not needed any more."""
        state = self.state
        if window.is_last:
            self.state = EncoderState(ended=True)
        else:
            state.done = window.stop
            keep_from = max(state.first, state.done - self.context)
            state.samples, state.first = state.samples[(keep_from - state.first) * self.hop_length :], keep_from
        return ids[:, window.kept]

    def _nothing(self) -> np.ndarray:
        share = 1.0 if self.bandwidth is None else self.bandwidth / max(self.codec.bandwidths)
        return np.zeros((round(share * len(self.codec.codebook_sizes)), 0), np.int64)
