"""Codes that arrive one by one become audio that leaves piece by piece, and live audio becomes codes likewise.

Most models see their whole input at once: their attention and norms reach over all of it. A stream shows them a window
in place of the whole, with `lookahead` frames after the piece that is wanted. Before it is the past: decoders carry on
what they made of that, encoders are shown `context` frames of it again. What this costs is in benchmarks/streaming.py;
with windows as long as the whole, it costs nothing. Nor does it where a decoder looks ahead by so many frames and no
more, as a model's `lookahead` tells: its streams are exact.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from xcodec.audio import Audio, resampled_length
from xcodec.codec import Codec, CodesSource
from xcodec.errors import CodesError, InputError
from xcodec.modules.tiles import Tile
from xcodec.modules.time import Past, Streamed
from xcodec.progress import shares, told_to

__all__ = ["DecoderState", "StreamDecoder", "StreamEncoder", "decode_in_segments"]

CONTEXT = 500  # frames, of decoding
ENCODER_CONTEXT = 200  # frames
LOOKAHEAD = 10  # frames
CHUNK = 10  # frames
MOST = 100  # frames in a window whose length is free
SEGMENT_LOOKAHEAD = 50  # frames, of segments, to which so many more cost little

Ids: TypeAlias = ArrayLike
"""Codes: a number, numbers (frames,), or (codebooks, frames)."""
Auto: TypeAlias = Literal["auto"]


@dataclass
class DecoderState:
    """One stream: the frames that are not final yet, and what is kept of those that are.

    Attributes:
        ids: the frames from `done` on, (codebooks, frames).
        done: frames whose audio has left.
        after: what the last window said comes after them, float32 (samples,): the next one fades in over it.
        past: what the model carries on; None where the stream begins.
    """

    ids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    done: int = 0
    after: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    past: Past | None = None

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

    stream: "StreamDecoder"
    ids: np.ndarray
    num_final: int
    past: Past | None

    @property
    def kind(self) -> Hashable:
        """What windows that can be a batch have in common."""
        past = None if self.past is None else self.past.shape
        return self.ids.shape, self.num_final, past, self.stream.context


class StreamDecoder:
    """Decode a stream of codes; many may share one codec.

    Audio of a frame leaves when it is decoded with `lookahead` frames after it. What convolutions reach of the past is
    always there, and norms over time know all of it. Where a window shows all that its audio depends on, the audio is
    that of the whole. Elsewhere the next window fades in over one frame of the last, so that no seam can click.

    Args:
        codec: the model.
        context: frames of the past that attention sees, at least 0; None is all of them, for which memory grows with
            the stream unless the model itself forgets. "auto" is all of them where a stream can be exact, and else 500.
        lookahead: frames after a piece that its window waits for: at least 1, or as many as the model's audio depends
            on if it looks ahead only once. "auto" is as many as the audio depends on, and 10 where it depends on all.
        chunk: frames decoded at a time, at least 1. More costs less and comes later. "auto" is 10, or 1 where one at a
            time costs no more.

    Attributes:
        state: all that changes.
        is_exact: whether windows show all that their audio depends on of what comes after it.

    Raises:
        InputError: for a number out of range, or a codec without a decoder.
    """

    def __init__(
        self,
        codec: Codec,
        context: int | Auto | None = "auto",
        lookahead: int | Auto = "auto",
        chunk: int | Auto = "auto",
    ) -> None:
        model = codec.model
        if not model.has_decoder:
            raise InputError(
                "the codec was loaded with encoder_only=True and has no decoder", remedy="load it without that"
            )
        if context == "auto":
            context = CONTEXT if model.lookahead is None else None
        if lookahead == "auto":
            lookahead = LOOKAHEAD if model.lookahead is None else model.lookahead
        if chunk == "auto":
            chunk = 1 if model.looks_ahead_once else CHUNK
        least = model.lookahead if model.looks_ahead_once and model.lookahead is not None else 1
        check_windows(0 if context is None else context, lookahead, chunk, least)
        self.is_exact = model.lookahead is not None and lookahead >= model.lookahead
        self.codec = codec
        self.context, self.lookahead, self.chunk = context, lookahead, chunk
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
        piece = None
        if rest := self.state.ids.shape[1]:
            # A stream that has no past is decoded as a whole recording is, and exactly so.
            decode = decode_onwards if self.state.done else decode_whole
            [piece] = decode([self._window(rest, rest)])
        self.state = DecoderState()
        return piece

    @staticmethod
    def push_many(streams: Sequence["StreamDecoder"], ids: Sequence[Ids]) -> list[Audio | None]:
        """Push to several streams of one codec, decoding their windows as one batch; each gets what it gets alone.

        Raises:
            CodesError: as `push`; no stream has then changed.
            InputError: where the streams do not share one codec, one comes twice, or there are not as many `ids`.
        """
        if len(streams) != len(ids) or len({id(stream.codec) for stream in streams}) > 1:
            raise InputError(f"{len(streams)} streams and {len(ids)} pushes: expected one for each, of one codec")
        if len({id(stream) for stream in streams}) < len(streams):
            raise InputError("a stream comes twice: give its codes in one push, one after the other")
        for stream, columns in zip(
            streams, [stream._checked(pushed) for stream, pushed in zip(streams, ids, strict=True)], strict=True
        ):
            state = stream.state
            state.ids = np.concatenate([state.ids, columns], 1) if state.received else columns
        pieces: list[list[Audio]] = [[] for _ in streams]
        while ready := [(i, window) for i, stream in enumerate(streams) if (window := stream._next_window())]:
            audio = decode_onwards([window for _, window in ready])
            for (i, _), piece in zip(ready, audio, strict=True):
                pieces[i].append(piece)
        return [
            Audio(np.concatenate([piece.samples for piece in parts], 1), parts[0].sampling_rate) if parts else None
            for parts in pieces
        ]

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
        come = self.state.ids.shape[1] - self.lookahead
        num_final = max(self.chunk, min(come, MOST)) if self.is_exact else self.chunk
        return self._window(num_final, num_final + self.lookahead) if num_final <= come else None

    def _window(self, num_final: int, num_frames: int) -> Window:
        return Window(self, self.state.ids[:, :num_frames], num_final, self.state.past)

    def _finish(self, window: Window, samples: np.ndarray) -> Audio:
        """Cut the wanted piece out of a decoded window, and fade it in."""
        state, model = self.state, self.codec.model
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
        return Audio(piece, model.output_sampling_rate)


def decode_in_segments(
    codec: Codec,
    codes: CodesSource,
    segment_seconds: float,
    *,
    check_identity: bool = True,
    on_progress: Callable[[float], object] | None = None,
) -> Audio:
    """Decode a long recording as a stream of long chunks, so that the time it takes grows with its length alone.

    What the decoder made of a segment is carried on into the next, which sees the whole of the one before it; nothing
    is joined that was decoded apart. What was encoded in segments begins anew where these do.

    Args:
        codec: the model.
        codes: as for `Codec.decode`.
        segment_seconds: how much is decoded at a time, at least 1 second.
        check_identity: as for `Codec.decode`.
        on_progress: likewise.

    Raises:
        InputError: for less than a second.
        CodesError: as `Codec.decode`.
    """
    if not 1 <= segment_seconds < math.inf:
        raise InputError("expected a number of seconds, at least 1", argument="segment_seconds", value=segment_seconds)
    loaded = codec.checked_codes(codes, check_identity)
    chunk = round(segment_seconds * codec.frame_rate)
    pieces: list[Audio | None] = []
    with told_to(on_progress, loaded.duration):
        for segment in shares(loaded.segments, [segment.shape[1] for segment in loaded.segments]):
            decoder = StreamDecoder(codec, context=chunk, lookahead=SEGMENT_LOOKAHEAD, chunk=chunk)
            starts = range(0, segment.shape[1], chunk)
            pieces += [decoder.push(segment[:, start : start + chunk]) for start in shares(starts)]
            pieces.append(decoder.flush())
    decoded = [piece for piece in pieces if piece is not None]
    rate = decoded[0].sampling_rate
    samples = np.concatenate([piece.samples[0] for piece in decoded])
    return Audio(samples[: resampled_length(loaded.num_samples, loaded.sampling_rate, rate)], rate)


def decode_whole(windows: Sequence[Window]) -> list[Audio]:
    """Decode windows that show a stream from its beginning to its end."""
    decoded = windows[0].stream.codec.decode_ids([window.ids for window in windows])
    return [window.stream._finish(window, samples) for window, samples in zip(windows, decoded, strict=True)]


def decode_onwards(windows: Sequence[Window]) -> list[Audio]:
    """Decode windows of streams of one codec from what these carry, those that can be a batch as one."""
    batches: dict[Hashable, list[Window]] = defaultdict(list)
    for window in windows:
        batches[window.kind].append(window)
    decoded: dict[StreamDecoder, Audio] = {}
    for batch in batches.values():
        streams = [window.stream for window in batch]
        ids = np.stack([window.ids for window in batch])
        pasts = [window.past for window in batch]
        samples, after = run_decoder(streams[0].codec, ids, pasts, batch[0].num_final, streams[0].context)
        for window, clip, past in zip(batch, samples, after, strict=True):
            window.stream.state.past = past
            decoded[window.stream] = window.stream._finish(window, clip)
    return [decoded[window.stream] for window in windows]


@torch.inference_mode()
def run_decoder(
    codec: Codec, ids: np.ndarray, pasts: list[Any], num_final: int, context: int | None
) -> tuple[np.ndarray, list[Any]]:
    """Samples (batch, samples) of ids (batch, codebooks, frames), and what is carried on after the final ones."""
    model = codec.model
    codes = torch.tensor(ids).to(codec.device)
    time = Streamed(pasts, num_final, context)
    # Compiled layers are for whole clips: torch is told, for the whole process, to leave graphs aside meanwhile.
    with torch.compiler.set_stance("force_eager") if model.has_compiled_layers else nullcontext():
        samples = model.synthesize(codes, time)[:, 0]
    return samples.cpu().numpy(), time.after


@dataclass
class EncoderState:
    """A stream of audio: the samples that are still needed, and how far the codes have gone.

    Attributes:
        samples: from frame `first` on, float32 (samples,).
        first: the stream's frame that `samples` begins with.
        done: frames whose codes have left.
    """

    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    first: int = 0
    done: int = 0


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
        context: int = ENCODER_CONTEXT,
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
        new = np.asarray(samples)
        if new.ndim != 1 or new.dtype.kind != "f":
            raise InputError(f"expected floating-point samples (samples,), got {new.dtype} {new.shape}")
        state = self.state
        state.samples = np.concatenate([state.samples, new.astype(np.float32)])
        pieces = []
        while True:
            stop = state.done + self.chunk
            window = Tile(state.done, stop, max(state.first, state.done - self.context), stop + self.lookahead)
            if (window.last - state.first) * self.hop_length > len(state.samples):
                break
            pieces.append(self._encode(window))
        return np.concatenate(pieces, 1) if pieces else self._nothing()

    def flush(self) -> np.ndarray:
        """End the stream and give the rest of its codes, as many in all as the whole recording has."""
        state = self.state
        piece = self._nothing()
        if state.done or len(state.samples):
            first = max(state.first, state.done - self.context)
            rest = state.samples[(first - state.first) * self.hop_length :]
            if self.codec.model.num_codes_of(len(rest)) > state.done - first:
                piece = self._ids(rest if len(rest) else np.zeros(1, np.float32))[:, state.done - first :]
        self.state = EncoderState()
        return piece

    def _encode(self, window: Tile) -> np.ndarray:
        state = self.state
        start = (window.first - state.first) * self.hop_length
        shown = state.samples[start : start + self.codec.model.samples_of(window.last - window.first)]
        ids = self._ids(shown)[:, window.kept]
        state.done = window.stop
        keep_from = max(state.first, state.done - self.context)
        state.samples, state.first = state.samples[(keep_from - state.first) * self.hop_length :], keep_from
        return ids

    def _ids(self, samples: np.ndarray) -> np.ndarray:
        codes = self.codec.encode(Audio(samples, self.codec.sampling_rate), bandwidth=self.bandwidth)
        return np.asarray(codes.ids, dtype=np.int64)

    def _nothing(self) -> np.ndarray:
        share = 1.0 if self.bandwidth is None else self.bandwidth / max(self.codec.bandwidths)
        return np.zeros((round(share * len(self.codec.codebook_sizes)), 0), np.int64)


def check_windows(context: int, lookahead: int, chunk: int, least_lookahead: int) -> None:
    """Refuse numbers of frames that make no windows."""
    for name, value, least in (("context", context, 0), ("lookahead", lookahead, least_lookahead), ("chunk", chunk, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"expected a whole number of frames, at least {least}", argument=name, value=value)
