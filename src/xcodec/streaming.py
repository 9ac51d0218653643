"""Codes that arrive one by one become audio that leaves piece by piece, and live audio becomes codes likewise.

The models see their whole input at once: their attention and norms reach over all of it. A stream shows them a window
in place of the whole, with `lookahead` frames after the piece that is wanted. Before it is the past: X-Codec2's decoder
carries on what it made of that, and other models are shown `context` frames of it again. What that costs is in
benchmarks/streaming.py; with windows as long as the whole, it costs nothing.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import CodesError, InputError
from xcodec.models.xcodec import XcodecModel
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.models.xcodec2.decoder_stream import Past, decode_onwards
from xcodec.modules.tiles import Tile

__all__ = ["DecoderState", "StreamDecoder", "StreamEncoder"]

CONTEXT = 200  # frames
LOOKAHEAD = 10  # frames
CHUNK = 10  # frames

Ids: TypeAlias = ArrayLike
"""Codes: a number, numbers (frames,), or (codebooks, frames)."""


@dataclass
class DecoderState:
    """One stream: the frames that are still needed, and how far the audio has gone.

    Attributes:
        ids: the frames from `first` on, (codebooks, frames).
        first: the stream's frame that `ids` begins with.
        done: frames whose audio has left.
        after: what the last window said comes after them, float32 (samples,): the next one fades in over it.
        past: what the model keeps of the frames that are done, where it carries that on.
    """

    ids: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    first: int = 0
    done: int = 0
    after: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    past: Past = field(default_factory=Past)

    @property
    def received(self) -> int:
        """Frames that have come so far."""
        return self.first + self.ids.shape[1]


class StreamDecoder:
    """Decode a stream of codes; many may share one codec.

    Audio of a frame leaves when it is decoded with `lookahead` frames after it. Where two windows meet, the next fades
    in over one frame of the last, so that no seam can click.

    Args:
        codec: the model.
        context: frames before a piece that the attention sees, at least 0.
        lookahead: frames after a piece that its window waits for, at least 1, over which the next one fades in.
        chunk: frames decoded at a time, at least 1. More costs less and comes later.
        carry: whether what the decoder made of the past is carried on, where that is possible: with X-Codec2. Else each
            window shows it `context` frames again, which costs more the more they are.

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
        carry: bool = True,
    ) -> None:
        check_windows(context, lookahead, chunk, least_lookahead=1)
        self.codec = codec
        self.context, self.lookahead, self.chunk = context, lookahead, chunk
        model = codec.model
        self.carry = carry and isinstance(model, Xcodec2Model) and model.acoustic_decoder.upsampler is None
        # Before a window, of codes: a decoder of convolutions alone reaches no further than its halo.
        halo = model.acoustic_decoder.halo if isinstance(model, XcodecModel) else context
        self.shown = 0 if self.carry else min(context, halo)
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
        state = self.state
        if state.done == state.received:
            piece = None
        else:
            window = Tile(state.done, state.received, max(state.first, state.done - self.shown), state.received)
            [piece] = decode_windows([(self, window)])
        self.state = DecoderState()
        return piece

    @staticmethod
    def push_many(streams: Sequence["StreamDecoder"], ids: Sequence[Ids]) -> list[Audio | None]:
        """Push to several streams of one codec, decoding their windows as one batch; each gets what it gets alone.

        Raises:
            CodesError: as `push`; no stream has then changed.
            InputError: where the streams do not share one codec, or there are not as many `ids`.
        """
        if len(streams) != len(ids) or len({id(stream.codec) for stream in streams}) > 1:
            raise InputError(f"{len(streams)} streams and {len(ids)} pushes: expected one for each, of one codec")
        for stream, columns in zip(
            streams, [stream._checked(own) for stream, own in zip(streams, ids, strict=True)], strict=True
        ):
            state = stream.state
            state.ids = np.concatenate([state.ids, columns], 1) if state.received else columns
        pieces: list[list[Audio]] = [[] for _ in streams]
        while ready := [(i, window) for i, stream in enumerate(streams) if (window := stream._next_window())]:
            audio = decode_windows([(streams[i], window) for i, window in ready])
            for (i, _), piece in zip(ready, audio, strict=True):
                pieces[i].append(piece)
        return [
            Audio(np.concatenate([piece.samples for piece in own], 1), own[0].sampling_rate) if own else None
            for own in pieces
        ]

    def _checked(self, ids: Ids) -> np.ndarray:
        """Codes as (codebooks, frames), int64."""
        sizes = self.codec.codebook_sizes
        columns = np.asarray(ids)
        if columns.dtype.kind not in "iu" and columns.size:
            raise CodesError(f"expected whole numbers, got {columns.dtype}")
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

    def _next_window(self) -> Tile | None:
        """The next piece, if all that its window shows has come."""
        state = self.state
        stop = state.done + self.chunk
        if stop + self.lookahead > state.received:
            return None
        return Tile(state.done, stop, max(state.first, state.done - self.shown), stop + self.lookahead)

    def _finish(self, window: Tile, samples: np.ndarray) -> Audio:
        """Cut the wanted piece out of a decoded window, fade it in, and forget what is not needed any more."""
        state = self.state
        per_frame = len(samples) // (window.last - window.first)
        kept = window.kept
        piece = samples[kept.start * per_frame : kept.stop * per_frame].copy()
        if fade := len(state.after):
            rising = (np.arange(fade, dtype=np.float32) + 0.5) / fade
            piece[:fade] = rising * piece[:fade] + (1 - rising) * state.after
        state.after = samples[kept.stop * per_frame : (kept.stop + 1) * per_frame].copy()
        state.done = window.stop
        keep_from = max(state.first, state.done - self.shown)
        state.ids, state.first = state.ids[:, keep_from - state.first :], keep_from
        return Audio(piece, round(per_frame * self.codec.frame_rate))


def decode_windows(windows: Sequence[tuple[StreamDecoder, Tile]]) -> list[Audio]:
    """Decode the next windows of streams of one codec, those that can be a batch as one."""
    batches: dict[Hashable, list[int]] = defaultdict(list)
    for i, (stream, window) in enumerate(windows):
        whole = window.start == 0 and window.stop == window.last  # then there is nothing to carry
        alike = (window.last - window.first, window.stop - window.first, stream.context, stream.state.past.overlap)
        batches[alike if stream.carry and not whole else None].append(i)
    pieces: dict[int, Audio] = {}
    for kind, batch in batches.items():
        own = [windows[i] for i in batch]
        decode = decode_again if kind is None else decode_further
        for i, (stream, window), samples in zip(batch, own, decode(own), strict=True):
            pieces[i] = stream._finish(window, samples)
    return [pieces[i] for i in range(len(windows))]


def decode_again(windows: Sequence[tuple[StreamDecoder, Tile]]) -> list[np.ndarray]:
    """Decode all that each window shows."""
    shown = [stream.state.ids[:, slice_of(window, stream.state.first)] for stream, window in windows]
    return windows[0][0].codec.decode_ids(shown)


@torch.inference_mode()
def decode_further(windows: Sequence[tuple[StreamDecoder, Tile]]) -> list[np.ndarray]:
    """Decode new frames, as many in each window, from what the streams carry; and let them carry the final ones too."""
    stream, window = windows[0]
    model = stream.codec.model
    assert isinstance(model, Xcodec2Model)
    codes = torch.tensor(np.concatenate([s.state.ids[:, slice_of(w, s.state.first)] for s, w in windows]))
    latents = model.quantizer.decode(codes.to(stream.codec.device))
    pasts = [s.state.past for s, _ in windows]
    num_final = window.stop - window.start
    samples, after = decode_onwards(model.acoustic_decoder, latents, pasts, num_final, stream.context)
    for (s, _), past in zip(windows, after, strict=True):
        s.state.past = past
    return list(samples.cpu().numpy())


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
        context: int = CONTEXT,
        lookahead: int = LOOKAHEAD,
        chunk: int = CHUNK,
        bandwidth: float | None = None,
    ) -> None:
        check_windows(context, lookahead, chunk, least_lookahead=0)
        self.codec, self.bandwidth = codec, bandwidth
        self.context, self.lookahead, self.chunk = context, lookahead, chunk
        self.hop_length = round(codec.sampling_rate / codec.frame_rate)
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
            ids = self._ids(rest) if len(rest) else self._ids(np.zeros(1, np.float32))
            piece = ids[:, state.done - first :]
        self.state = EncoderState()
        return piece

    def _encode(self, window: Tile) -> np.ndarray:
        state = self.state
        # One sample less than whole hops: every codec then makes one code of each hop.
        span = slice((window.first - state.first) * self.hop_length, (window.last - state.first) * self.hop_length - 1)
        ids = self._ids(state.samples[span])[:, window.kept]
        state.done = window.stop
        keep_from = max(state.first, state.done - self.context)
        state.samples, state.first = state.samples[(keep_from - state.first) * self.hop_length :], keep_from
        return ids

    def _ids(self, samples: np.ndarray) -> np.ndarray:
        codes = self.codec.encode(Audio(samples, self.codec.sampling_rate), bandwidth=self.bandwidth)
        return np.asarray(codes.ids, dtype=np.int64)

    def _nothing(self) -> np.ndarray:
        return np.zeros((len(self.codec.codebook_sizes), 0), np.int64)


def slice_of(window: Tile, first: int) -> slice:
    """Where a window's frames are among those from `first` on."""
    return slice(window.first - first, window.last - first)


def check_windows(context: int, lookahead: int, chunk: int, least_lookahead: int) -> None:
    """Refuse numbers of frames that make no windows."""
    for name, value, least in (("context", context, 0), ("lookahead", lookahead, least_lookahead), ("chunk", chunk, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name}={value!r}: expected a whole number of frames, at least {least}")
