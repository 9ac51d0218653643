"""RecordingCodec: recordings in, codes out, recordings back, whatever computes them: torch, or ONNX Runtime.

It reads files, resamples, downmixes, batches and cuts, and knows neither of the two.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, overload

import numpy as np

from xcodec.audio import Audio, resampled_length
from xcodec.bandwidth import choose_bandwidth
from xcodec.batching import Array, AudioSource, Clip, batches, is_array
from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import CodesError, InputError, about
from xcodec.progress import shares, told_to
from xcodec.segmentation import cut, segment_starts

__all__ = ["AudioSource", "CodecFormat", "CodesSource", "RecordingCodec"]

CodesSource: TypeAlias = str | os.PathLike[str] | Codes | Array
"""Codes; the path of a file that `Codes.save` wrote; or bare ids of shape (T,) or (K, T), K codebooks by T frames."""

BATCH_SECONDS = 60.0  # padded audio in one batch, unless one clip alone is longer

Progress: TypeAlias = Callable[[float], object]


class CodecFormat(Protocol):
    """What a codec reads and writes."""

    @property
    def sampling_rate(self) -> int:
        """In Hz, of the audio that is encoded."""

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that is decoded."""

    @property
    def hop_length(self) -> int:
        """How many samples of the audio that is encoded make a code."""

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, in Hz."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The number of different codes in each codebook."""

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """In kbit/s, ascending: what can be asked for."""

    @property
    def decodes(self) -> CodecIdentity | None:
        """The model whose codes are decoded, where that is another one."""

    @property
    def lookahead(self) -> int | None:
        """How many codes after its own a code's audio depends on; None where on all that come."""

    @property
    def looks_ahead_once(self) -> bool:
        """Whether a stream makes no more of codes that it looks ahead at than of those to come."""

    def samples_of(self, num_codes: int) -> int:
        """Tell of how many samples so many codes are made, where more audio follows them."""


class RecordingCodec(ABC):
    """A codec of recordings; `encode_samples` and `decode_ids` are what computes.

    Attributes:
        name: what to call it.
    """

    name: str

    @property
    @abstractmethod
    def format(self) -> CodecFormat:
        """What the codec reads and writes."""

    @property
    @abstractmethod
    def identity(self) -> CodecIdentity:
        """Which model this is: the hashes of configuration and weights."""

    @abstractmethod
    def encode_samples(self, clips: list[np.ndarray], bandwidth: float | None) -> list[np.ndarray]:
        """Encode bare samples as one batch; `encode` is for recordings.

        Args:
            clips: float32 mono samples of each clip at `sampling_rate`, (samples,).
            bandwidth: in kbit/s, one of `bandwidths`; None means the highest.

        Returns:
            The ids of each clip, integers (codebooks, frames).
        """

    @abstractmethod
    def decode_ids(self, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Decode bare codes as one batch; `decode` is for recordings.

        Args:
            ids: integers (codebooks, frames) of each clip, as many codebooks each.

        Returns:
            float32 mono samples of each clip, (samples,), whole frames of them.
        """

    @property
    def codes_identity(self) -> CodecIdentity:
        """Whose codes it reads and writes, as `codes.codec` tells: its own, or those of the model that it decodes.

        A decoder that was trained for another model's codes says so in its configuration, as `decodes`. The encoder
        beside it, if there is one, is that model's, and so are the codes that it makes.
        """
        return self.format.decodes or self.identity

    def takes_codes_of(self, maker: CodecIdentity) -> bool:
        """Tell whether codes that a model made are codes of this one too."""
        # Its own identity takes a second to compute, and is on codes from before it said whose it decodes.
        return maker.same_model(self.codes_identity) or maker.same_model(self.identity)

    def check_maker(self, maker: CodecIdentity | None, remedy: str) -> None:
        """Refuse codes of a model that this one does not decode; codes of an unknown model are taken.

        Args:
            maker: of the codes.
            remedy: what to do about it.

        Raises:
            CodesError: names both models.
        """
        if maker is None or self.takes_codes_of(maker):
            return
        decoded = self.format.decodes
        also = "" if decoded is None else f", which decodes the codes of {decoded}"
        raise CodesError(f"the codes were made by {maker}, this model is {self.identity}{also}", remedy=remedy)

    @property
    def sampling_rate(self) -> int:
        """In Hz, of the audio that the model reads."""
        return self.format.sampling_rate

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that `decode` gives."""
        return self.format.output_sampling_rate

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, in Hz."""
        return self.format.frame_rate

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The number of different codes in each codebook."""
        return self.format.codebook_sizes

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """In kbit/s, ascending: what `encode` can be asked for. A model of one codebook has one."""
        return self.format.bandwidths

    @overload
    def encode(
        self,
        audio: AudioSource,
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> Codes: ...
    @overload
    def encode(
        self,
        audio: list[Any],
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> list[Codes]: ...
    def encode(
        self,
        audio: AudioSource | list[Any],
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> Codes | list[Codes]:
        """Encode one recording, or a list of them, of any rate and channel count.

        Channels are averaged and the rate is converted to the model's. Of a list, clips of similar length share a
        batch; files are read when their batch comes. In float32 a clip's codes do not depend on the rest of the list.

        Args:
            audio: one of these, or a list of them. A path, or a URL that fsspec knows. An `Audio`. A numpy or torch
                array of shape (samples,) or (channels, samples), floating point with full scale at 1.0 or PCM as int16,
                int32, int8 or uint8; alone, as (array, rate), or as {"array": array, "sampling_rate": rate}. The bytes
                of a file of audio, or a file that is open for reading them. What `datasets` gives of a column of audio,
                decoded or not.
            sampling_rate: in Hz, of arrays that come without a rate; all else knows its own.
            bandwidth: in kbit/s, one of `bandwidths`; None means the highest. X-Codec uses as many of its codebooks.
            segment_seconds: encode longer recordings in segments of at most so many seconds, cut at pauses, at least 1.
                The time that a whole recording takes grows with the square of its length, that of segments does not;
                but each starts anew, so codes near the cuts, and a few elsewhere, are others than those of the whole.
                The cuts are kept in the `Codes`, and `decode` goes by them. None encodes the whole.
            batch_seconds: how much padded audio a batch may hold. A longer clip goes alone.
            on_progress: called with the seconds of audio just finished, within a long recording too; what it raises
                ends the work.

        Returns:
            Codes, or for a list the list of each one's codes in the same order.

        Raises:
            AudioError: where a recording cannot be read, is not one, or is louder than 1000 times full scale; of a
                list, it names which.
            InputError: for something that is no recording, an array without its rate, (rate, array), or a bandwidth
                that the model does not have.
        """
        self.check_bandwidth(bandwidth)
        max_frames = self._frames_per_segment(segment_seconds)
        sources = audio if isinstance(audio, list) else [audio]
        clips = [
            Clip.of(source, sampling_rate, self.sampling_rate, f"inputs[{i}]" if sources is audio else None)
            for i, source in enumerate(sources)
        ]
        results: dict[int, Codes] = {}
        for batch in batches([clip.seconds + 1 / self.frame_rate for clip in clips], batch_seconds):
            loaded = [clips[i].load(self.sampling_rate) for i in batch]
            seconds = sum(audio.duration for audio in loaded)
            rates = [clips[i].source_sampling_rate for i in batch]
            with told_to(on_progress, seconds):
                encoded = self._encode_recordings(loaded, rates, bandwidth, max_frames, batch_seconds)
            results |= zip(batch, encoded, strict=True)
        return [results[i] for i in range(len(sources))] if sources is audio else results[0]

    @overload
    def decode(
        self,
        codes: CodesSource,
        *,
        check_identity: bool = True,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> Audio: ...
    @overload
    def decode(
        self,
        codes: list[Any],
        *,
        check_identity: bool = True,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> list[Audio]: ...
    def decode(
        self,
        codes: CodesSource | list[Any],
        *,
        check_identity: bool = True,
        batch_seconds: float = BATCH_SECONDS,
        on_progress: Progress | None = None,
    ) -> Audio | list[Audio]:
        """Decode codes, or a list of them, to mono audio of the recordings' true lengths.

        Args:
            codes: `Codes`, the path of a file that `Codes.save` wrote, bare ids as a numpy or torch array of integers,
                on any device, of shape (T,) or (K, T), which are taken for whole frames of this model; or a list of
                these.
            check_identity: whether to refuse codes that another model made. Codes that do not say which model made them
                are always taken.
            batch_seconds: how much padded audio a batch may hold. A longer clip goes alone.
            on_progress: called with the seconds of audio just finished, within a long recording too; what it raises
                ends the work.

        Returns:
            Audio, or for a list the list of each one's audio in the same order.

        Raises:
            CodesError: where a file cannot be read, the codes are of another model, or ids have another shape; of a
                list, it names which.
        """
        sources = codes if isinstance(codes, list) else [codes]
        loaded = []
        for i, source in enumerate(sources):
            with about(item=f"inputs[{i}]" if sources is codes else None):
                loaded.append(self.checked_codes(source, check_identity))
        results: dict[int, Audio] = {}
        for depth in sorted({len(item.ids) for item in loaded}):  # codebooks: a batch has as many of each clip
            alike = [i for i, item in enumerate(loaded) if len(item.ids) == depth]
            for group in batches([len(loaded[i]) / self.frame_rate for i in alike], batch_seconds):
                chosen = [loaded[alike[i]] for i in group]
                with told_to(on_progress, sum(codes.duration for codes in chosen)):
                    decoded = self._decode_recordings(chosen, batch_seconds)
                results |= zip((alike[i] for i in group), decoded, strict=True)
        return [results[i] for i in range(len(sources))] if sources is codes else results[0]

    @overload
    def reconstruct(
        self,
        audio: AudioSource,
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
    ) -> Audio: ...
    @overload
    def reconstruct(
        self,
        audio: list[Any],
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
    ) -> list[Audio]: ...
    def reconstruct(
        self,
        audio: AudioSource | list[Any],
        sampling_rate: int | None = None,
        *,
        bandwidth: float | None = None,
        segment_seconds: float | None = None,
    ) -> Audio | list[Audio]:
        """Encode and decode: what the codes of a recording sound like. The arguments are those of `encode`."""
        codes = self.encode(audio, sampling_rate, bandwidth=bandwidth, segment_seconds=segment_seconds)
        return self.decode(codes, check_identity=False)

    def _frames_per_segment(self, seconds: float | None) -> int | None:
        if seconds is None:
            return None
        if not 1 <= seconds < math.inf:
            raise InputError("expected a number of seconds, at least 1", argument="segment_seconds", value=seconds)
        return max(3, math.floor(seconds * self.frame_rate))

    def check_bandwidth(self, bandwidth: float | None) -> None:
        """Refuse a bandwidth in kbit/s that the model does not have; None is the highest.

        Raises:
            InputError: says which there are.
        """
        choose_bandwidth(bandwidth, self.bandwidths, self.name)

    def _encode_recordings(
        self,
        clips: list[Audio],
        source_rates: list[int],
        bandwidth: float | None,
        max_frames: int | None,
        batch_seconds: float,
    ) -> list[Codes]:
        """Encode what may be in memory together, mono at the model's rate, whole or in segments of so many frames."""
        hop_length = self.format.hop_length
        starts = [segment_starts(clip.samples[0], hop_length, max_frames) for clip in clips]
        pieces = [
            piece
            for clip, cuts in zip(clips, starts, strict=True)
            for piece in cut(clip.samples[0], hop_length, cuts, self.format.samples_of)
        ]
        ids: dict[int, np.ndarray] = {}
        for batch in together([len(piece) / self.sampling_rate for piece in pieces], batch_seconds):
            ids |= zip(batch, self.encode_samples([pieces[i] for i in batch], bandwidth), strict=True)
        in_order = iter([ids[i] for i in range(len(pieces))])
        return [
            Codes(
                ids=(whole := np.concatenate([next(in_order) for _ in cuts], 1)),
                frame_rate=self.frame_rate,
                num_samples=clip.num_samples,
                sampling_rate=self.sampling_rate,
                source_sampling_rate=source_rate,
                codebook_sizes=self.codebook_sizes[: len(whole)],
                codec=self.codes_identity,
                segment_starts=cuts,
            )
            for clip, source_rate, cuts in zip(clips, source_rates, starts, strict=True)
        ]

    def _decode_recordings(self, loaded: list[Codes], batch_seconds: float) -> list[Audio]:
        """Decode what may be in memory together, segment by segment."""
        pieces = [piece for codes in loaded for piece in codes.segments]
        samples: dict[int, np.ndarray] = {}
        for batch in together([piece.shape[1] / self.frame_rate for piece in pieces], batch_seconds):
            samples |= zip(batch, self.decode_ids([pieces[i] for i in batch]), strict=True)
        in_order = iter([samples[i] for i in range(len(pieces))])
        decoded = []
        for codes in loaded:
            whole = np.concatenate([next(in_order) for _ in codes.segment_starts])
            rate = self.output_sampling_rate  # which may be another than that of what was encoded
            length = resampled_length(codes.num_samples, codes.sampling_rate, rate)
            # A codec that gives no code of the rest of a hop decodes to less, which is silence then.
            decoded.append(Audio(np.pad(whole[:length], (0, max(0, length - len(whole)))), rate))
        return decoded

    def checked_codes(self, source: CodesSource, check_identity: bool) -> Codes:
        """Give codes from wherever they are, and see that this model can decode them.

        Args:
            source: as for `decode`.
            check_identity: as for `decode`.

        Raises:
            CodesError: as `decode` does.
        """
        path = None
        if isinstance(source, (str, os.PathLike)):
            path, codes = os.fspath(source), Codes.load(source)
        elif isinstance(source, Codes):
            codes = source
        elif is_array(source):
            codes = self._codes_of(source)
        else:
            raise InputError(
                "expected Codes, the path of a file of codes, or a numpy or torch array of ids, "
                f"got {type(source).__name__}"
            )
        given = (codes.codebook_sizes, codes.frame_rate)
        if given != (self.codebook_sizes[: len(codes.ids)], self.frame_rate):  # fewer codebooks: a lower bandwidth
            raise CodesError(
                f"the codes, made by {codes.codec or 'an unknown model'}, have codebooks of {given[0]} at "
                f"{given[1]:g} Hz; this model decodes {self.codebook_sizes} at {self.frame_rate:g} Hz",
                subject=path,
                remedy="load the model that made them",
            )
        if check_identity:
            with about(path):
                self.check_maker(
                    codes.codec,
                    "load the model that made them, or give check_identity=False to decode them nevertheless",
                )
        return codes

    def _codes_of(self, ids: Array) -> Codes:
        """Take bare ids, (T,) or (K, T), for codes of this model that fill their frames."""
        shape, depth = tuple(ids.shape), len(self.codebook_sizes)
        if len(shape) not in (1, 2):
            raise CodesError(
                f"ids of shape {shape}: expected (frames,) or (codebooks, frames) of one recording; for a batch give a "
                "list of them, each without its padding"
            )
        codebooks, frames = (1, *shape)[-2:]
        if codebooks > depth:
            raise CodesError(
                f"ids of shape {shape}: expected (codebooks, frames), and this model has {depth} codebooks"
            )
        return Codes(
            ids=ids,  # type: ignore[arg-type]  # Codes takes tensors too
            frame_rate=self.frame_rate,
            num_samples=round(frames * self.sampling_rate / self.frame_rate),
            sampling_rate=self.sampling_rate,
            source_sampling_rate=self.sampling_rate,
            codebook_sizes=self.codebook_sizes[:codebooks],
        )


def together(seconds: list[float], batch_seconds: float) -> Iterable[list[int]]:
    """The batches of pieces of such lengths, each of which is its seconds' share of what is being done."""
    groups = list(batches(seconds, batch_seconds))
    return shares(groups, [sum(seconds[i] for i in group) for group in groups])
