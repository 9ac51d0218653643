"""Codes that arrive one by one become audio that leaves piece by piece, whatever decodes them.

It takes codes in, says which window of them is decoded next, and joins what comes of it: torch or ONNX Runtime decode.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from xcodec.audio import Audio
from xcodec.errors import CodesError, InputError
from xcodec.recording_codec import RecordingCodec

__all__ = ["Auto", "CodeStream", "DecoderState", "Ids", "Window", "check_windows"]

CONTEXT = 500  # frames
LOOKAHEAD = 10  # frames
CHUNK = 10  # frames
MOST = 100  # frames in a window whose length is free

Ids: TypeAlias = ArrayLike
"""Codes: a number, numbers (frames,), or (codebooks, frames)."""
Auto: TypeAlias = Literal["auto"]


class Remembered(Protocol):
    """What a model carries on from one window to the next."""

    @property
    def shape(self) -> Hashable:
        """What streams have in common that can be a batch."""


@dataclass
class DecoderState:
    """One stream: the frames that are not final yet, and what is kept of those that are.

    Attributes:
        ids: the frames from `done` on, (codebooks, frames).
        done: frames whose audio has left.
        after: what the last window said comes after them, float32 (samples,): the next one fades in over it.
        past: what the model carries on; None where the stream begins.
        pieces: how many pieces of audio have left.
        ended: whether no more codes come.
    """

    ids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    done: int = 0
    after: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    past: Remembered | None = None
    pieces: int = 0
    ended: bool = False

    @property
    def received(self) -> int:
        """Frames that have come so far."""
        return self.done + self.ids.shape[1]


@dataclass(frozen=True)
class Window:
    """The next frames of a stream: the first `num_final` are wanted, and the others are looked ahead at.

    Attributes:
        stream: whose frames they are.
        ids: their codes, (codebooks, frames).
        num_final: how many of them are wanted.
        past: what the model carries on from before them; None where the stream begins.
    """

    stream: "CodeStream"
    ids: np.ndarray
    num_final: int
    past: Remembered | None

    @property
    def is_whole(self) -> bool:
        """Whether it shows a stream from its beginning to its end: it is then decoded as a whole recording is."""
        state = self.stream.state
        return state.ended and self.past is None and self.num_final == state.ids.shape[1]

    @property
    def kind(self) -> Hashable:
        """What windows that can be a batch have in common."""
        past = None if self.past is None else self.past.shape
        return self.ids.shape, self.num_final, past, self.stream.context


class CodeStream(ABC):
    """Decode a stream of codes; many may share one codec.

    Audio of a frame leaves when it is decoded with `lookahead` frames after it. What convolutions reach of the past is
    always there, and norms over time know all of it. Where a window shows all that its audio depends on, the audio is
    that of the whole. Elsewhere the next window fades in over one frame of the last, so that no seam can click.

    Args:
        codec: what decodes.
        context: as for `xcodec.StreamDecoder`.
        lookahead: likewise.
        chunk: likewise.

    Attributes:
        state: all that changes.
        is_exact: whether windows show all that their audio depends on of what comes after it.

    Raises:
        InputError: for a number out of range.
    """

    def __init__(
        self,
        codec: RecordingCodec,
        context: int | Auto | None = "auto",
        lookahead: int | Auto = "auto",
        chunk: int | Sequence[int] | Auto = "auto",
    ) -> None:
        model = codec.format
        if context == "auto":
            context = CONTEXT if model.lookahead is None else None
        if lookahead == "auto":
            lookahead = LOOKAHEAD if model.lookahead is None else model.lookahead
        if chunk == "auto":
            chunk = 1 if model.looks_ahead_once else CHUNK
        chunks = tuple(chunk) if isinstance(chunk, list | tuple) else (chunk,)
        least = model.lookahead if model.looks_ahead_once and model.lookahead is not None else 1
        for frames in chunks or (0,):
            check_windows(0 if context is None else context, lookahead, frames, least)
        self.is_exact = model.lookahead is not None and lookahead >= model.lookahead
        self.codec = codec
        self.context, self.lookahead, self.chunks = context, lookahead, chunks
        self.state = DecoderState()

    def push(self, ids: Ids) -> Audio | None:
        """Take the next codes of the stream, and give the audio that has become final; None where none has.

        Args:
            ids: one code, codes (frames,) of a single codebook, or (codebooks, frames); as many codebooks each time.

        Raises:
            CodesError: for what is no code of this codec. The stream is then as it was.
        """
        return self.push_many([self], [ids])[0]

    def flush(self) -> Audio | None:
        """End the stream and give the rest of its audio; the next `push` begins a new stream."""
        self.end()
        [piece] = self._all_ready([self])
        self.state = DecoderState()
        return piece

    @staticmethod
    def push_many(streams: Sequence["CodeStream"], ids: Sequence[Ids]) -> list[Audio | None]:
        """Push to several streams of one codec, decoding their windows as one batch; each gets what it gets alone.

        Raises:
            CodesError: as `push`; no stream has then changed.
            InputError: where the streams do not share one codec, one comes twice, or there are not as many `ids`.
        """
        if len(streams) != len(ids) or len({id(stream.codec) for stream in streams}) > 1:
            raise InputError(f"{len(streams)} streams and {len(ids)} pushes: expected one for each, of one codec")
        if len({id(stream) for stream in streams}) < len(streams):
            raise InputError("a stream comes twice: give its codes in one push, one after the other")
        checked = [stream._checked(pushed) for stream, pushed in zip(streams, ids, strict=True)]
        for stream, columns in zip(streams, checked, strict=True):
            stream._append(columns)
        return CodeStream._all_ready(streams)

    # Step by step, for whoever says when which stream is decoded

    def take(self, ids: Ids) -> None:
        """Take the next codes, as `push` does, and decode nothing yet."""
        self._append(self._checked(ids))

    def end(self) -> None:
        """Say that no more codes come: all that are there are the last window or two."""
        self.state.ended = True

    @property
    def kind(self) -> Hashable | None:
        """What streams have in common whose next windows can be one batch; None where the next has not come whole."""
        window = self._next_window()
        return None if window is None else window.kind

    @staticmethod
    def step(streams: Sequence["CodeStream"]) -> list[Audio]:
        """Decode the next window of each of several streams of one codec, those alike as one batch.

        On the CPU each gets bit for bit what it gets alone.

        Args:
            streams: each once, and none whose `kind` is None.
        """
        windows = [stream._next_window() for stream in streams]
        return decode_onwards([window for window in windows if window is not None])

    @staticmethod
    @abstractmethod
    def decode_alike(windows: Sequence[Window]) -> tuple[Sequence[np.ndarray], Sequence[Remembered]]:
        """Decode windows of one `kind`, of streams of one codec.

        Returns:
            Of each its samples, float32 (samples,), those of the final frames at least; and what is carried on.
        """

    @staticmethod
    def _all_ready(streams: Sequence["CodeStream"]) -> list[Audio | None]:
        """Decode of each stream all windows that have come whole."""
        pieces: dict[CodeStream, list[Audio]] = {stream: [] for stream in streams}
        while ready := [stream for stream in streams if stream.kind is not None]:
            for stream, piece in zip(ready, CodeStream.step(ready), strict=True):
                pieces[stream].append(piece)
        return [joined(parts) for parts in pieces.values()]

    def _append(self, columns: np.ndarray) -> None:
        state = self.state
        state.ids = np.concatenate([state.ids, columns], 1) if state.received else columns

    def _checked(self, ids: Ids) -> np.ndarray:
        """Codes as (codebooks, frames), int64."""
        sizes = self.codec.codebook_sizes
        columns = np.asarray(ids)
        if columns.dtype.kind not in "iu" and columns.size:
            raise CodesError(f"expected whole numbers, got {columns.dtype}")
        if not columns.size:
            return np.zeros((len(self.state.ids) if self.state.received else len(sizes), 0), np.int64)
        columns = columns.reshape(-1, 1) if columns.ndim == 0 else columns
        columns = columns[None] if columns.ndim == 1 and len(sizes) == 1 else columns.reshape(columns.shape[0], -1)
        columns = columns.astype(np.int64)
        expected = len(self.state.ids) if self.state.received else None
        if len(columns) > len(sizes) or (expected and columns.shape[1] and len(columns) != expected):
            raise CodesError(
                f"got codes of {len(columns)} codebooks, shape {np.shape(ids)}; expected (codebooks, frames) with "
                f"{expected or f'at most {len(sizes)}'} of them"
            )
        outside = (columns < 0) | (columns >= np.array(sizes[: len(columns)])[:, None])
        if outside.any():
            book = int(np.argwhere(outside)[0][0])
            raise CodesError(f"code {columns[outside][0]}: codebook {book} has codes from 0 to {sizes[book] - 1}")
        return columns

    def _next_window(self) -> Window | None:
        """The next piece, if all that its window shows has come; where that changes nothing, as long as can be."""
        state = self.state
        there = state.ids.shape[1]
        num_final = self.chunks[min(state.pieces, len(self.chunks) - 1)]
        if self.is_exact:
            num_final = max(num_final, min(there - self.lookahead, MOST))
        if num_final + self.lookahead <= there:
            return Window(self, state.ids[:, : num_final + self.lookahead], num_final, state.past)
        return Window(self, state.ids, there, state.past) if state.ended and there else None

    def _finish(self, window: Window, samples: np.ndarray) -> Audio:
        """Cut the wanted piece out of a decoded window, and fade it in."""
        state, model = self.state, self.codec.format
        per_frame = round(model.output_sampling_rate / model.frame_rate)
        end = window.num_final * per_frame
        piece = samples[:end].copy()
        if fade := len(state.after):
            rising = (np.arange(fade, dtype=np.float32) + 0.5) / fade
            piece[:fade] = rising * piece[:fade] + (1 - rising) * state.after
        if not self.is_exact:
            state.after = samples[end : end + per_frame].copy()
        state.ids = state.ids[:, window.num_final :]
        state.done += window.num_final
        state.pieces += 1
        return Audio(piece, model.output_sampling_rate)


def decode_onwards(windows: Sequence[Window]) -> list[Audio]:
    """Decode windows of streams of one codec from what these carry, those that can be a batch as one."""
    batches: dict[Hashable, list[Window]] = defaultdict(list)
    decoded: dict[CodeStream, Audio] = {}
    for window in windows:
        if window.is_whole:
            decoded[window.stream] = window.stream._finish(window, window.stream.codec.decode_ids([window.ids])[0])
        else:
            batches[window.kind].append(window)
    for batch in batches.values():
        samples, after = batch[0].stream.decode_alike(batch)
        for window, clip, past in zip(batch, samples, after, strict=True):
            window.stream.state.past = past
            decoded[window.stream] = window.stream._finish(window, clip)
    return [decoded[window.stream] for window in windows]


def joined(pieces: Sequence[Audio]) -> Audio | None:
    """One piece of several that follow one another; None of none."""
    if len(pieces) < 2:
        return pieces[0] if pieces else None
    return Audio(np.concatenate([piece.samples for piece in pieces], 1), pieces[0].sampling_rate)


def check_windows(context: object, lookahead: object, chunk: object, least_lookahead: int) -> None:
    """Refuse numbers of frames that make no windows."""
    for name, value, least in (("context", context, 0), ("lookahead", lookahead, least_lookahead), ("chunk", chunk, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"expected a whole number of frames, at least {least}", argument=name, value=value)
