"""Codec: recordings in, codes out, recordings back. It resamples, downmixes, batches and picks the device."""

import math
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, TypeAlias, overload

import numpy as np
import torch

from xcodec.audio import Audio, resampled_length
from xcodec.batching import AudioSource, Clip, batches
from xcodec.codes import CodecIdentity, Codes
from xcodec.device import Precision, choose_device, choose_precision, memory_size
from xcodec.errors import CodesError, InputError, about
from xcodec.loading import load_checkpoint
from xcodec.models.checkpoint import HUB_ARGUMENTS, public_name
from xcodec.models.codec_model import CodecModel
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.identity import fingerprint_model
from xcodec.modules.int8 import is_int8, quantize_linear_maps
from xcodec.progress import shares, told_to
from xcodec.segmentation import cut, segment_starts

__all__ = ["AudioSource", "Codec", "CodesSource"]

CodesSource: TypeAlias = str | os.PathLike[str] | Codes | np.ndarray | torch.Tensor
"""Codes; the path of a file that `Codes.save` wrote; or bare ids of shape (T,) or (K, T), K codebooks by T frames."""

BATCH_SECONDS = 60.0  # padded audio in one batch, unless one clip alone is longer
COMPILED_SECONDS = 1.1 * BATCH_SECONDS  # of padded audio at most, in one batch of compiled layers

Progress: TypeAlias = Callable[[float], object]


class Codec:
    """A codec model with all that surrounds it.

    Args:
        model: the codec's model; it is put into evaluation mode.
        feature_extractor: its feature extractor.
        identity: which model this is, as `codes.codec` will tell, or what works it out when it is first needed; None
            hashes the model's configuration and weights then.
        name: what to call it; None means the last name of where the model came from.
    """

    def __init__(
        self,
        model: CodecModel,
        feature_extractor: WaveformFeatureExtractor,
        identity: CodecIdentity | Callable[[], CodecIdentity] | None = None,
        name: str | None = None,
    ) -> None:
        self.model: CodecModel = model.train(False)
        self.feature_extractor = feature_extractor
        self.name = (public_name(model.name_or_path) or type(model).__name__) if name is None else name
        self._identity = partial(fingerprint_model, model, self.name) if identity is None else identity

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
        max_memory: int | str | None = None,
        compile: bool = False,
        pack: bool = True,
        encoder_only: bool = False,
        decoder_only: bool = False,
        decoder: str | os.PathLike[str] | None = None,
        **hub_arguments: Any,
    ) -> "Codec":
        """Load a checkpoint.

        Args:
            name_or_path: a folder, a hub id such as "HKUSTAudio/xcodec2-hf" or "hf-audio/xcodec-hubert-general", or
                None for the small model, `mini`, that comes with the package. Checkpoints in their authors' own layout,
                folders, files or hub ids such as "neuphonic/neucodec", are converted in memory each time; `xcodec
                convert` does so once for all.
            device: such as "cpu", "cuda", "cuda:1" or "mps". None and "auto" take a CUDA device if there is one, and
                the CPU if not.
            dtype: of weights and activations: float32, bfloat16 or float16, by torch's name or as a string; or int8,
                for linear maps in int8 and the rest in float32, on a CPU. Only float32 gives the reference's codes
                exactly.
            max_memory: what intermediate results may take beyond the weights, in bytes or such as "4GiB"; less makes
                long recordings a little slower and changes no result. What is as long as a recording, about 1.3 MB a
                second with the released X-Codec2, is needed in any case. None takes half a GiB beyond that on a CPU, a
                quarter of the memory on a GPU.
            compile: compile the model's layers with torch's compiler at the first clips, each kind once for every
                length. Compiled layers have no tiles, whatever `max_memory` says; batches of more than a minute run as
                without it.
            pack: on an x86 CPU, bring weights into the order in which its products read them, at a tenth more speed in
                float32 and more in bfloat16, with equal codes. They are copied for it, which a single short clip does
                not repay, and are no longer a file's memory that processes share. See
                `CodecModel.pack_weights`.
            encoder_only: build and read only what `encode` needs; for X-Codec2 as released 442M of 629M parameters.
            decoder_only: build and read only what `decode` needs: 187M of them.
            decoder: of an X-Codec, a Vocos decoder in place of its own: "vocal" or "instrumental" of those that YuE's,
                "m-a-p/xcodec_mini_infer", comes with, or the file of one. It writes 44.1 kHz from the same codes.
            **hub_arguments: `revision`, `cache_dir`, `token`, `local_files_only` and `force_download`, for a hub id;
                and `subfolder`, for a checkpoint that lies in a folder of it, which "OWNER/NAME/FOLDER" says too.

        Raises:
            CheckpointError: where the checkpoint is not found, incomplete or of another kind.
            InputError: for an unknown or unavailable device, dtype or argument.
        """
        if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
            raise InputError(
                f"Codec.from_pretrained has no argument {', '.join(unknown)}; it has device, dtype, "
                f"max_memory, compile, pack, encoder_only, decoder_only, decoder, {', '.join(HUB_ARGUMENTS)}"
            )
        chosen_device, precision = choose_device(device), choose_precision(dtype)
        max_bytes = None if max_memory is None else memory_size(max_memory)
        half = {"encoder_only": encoder_only, "decoder_only": decoder_only}
        loaded = load_checkpoint(name_or_path, hub_arguments, decoder, dtype=precision.floating_point, **half)
        model = loaded.model
        model.max_memory = max_bytes
        torch.nn.Module.to(model, chosen_device)
        if precision is Precision.INT8:
            quantize_linear_maps(model)
        if compile:
            model.compile_layers()
        if pack:
            model.pack_weights()
        return cls(model, loaded.feature_extractor, loaded.identity, loaded.name)

    def __repr__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        return (
            f"Codec({self.name}: {millions:.1f}M parameters, {self.sampling_rate} Hz, {self.frame_rate:g} codes/s of "
            f"{self.codebook_sizes}, on {self.device} in {self.precision.value})"
        )

    @cached_property
    def identity(self) -> CodecIdentity:
        """Which model this is: the hashes of configuration and weights, computed once (about a second for 2.5 GB)."""
        return self._identity() if callable(self._identity) else self._identity

    @property
    def codes_identity(self) -> CodecIdentity:
        """Whose codes it reads and writes, as `codes.codec` tells: its own, or those of the model that it decodes.

        A decoder that was trained for another model's codes says so in its configuration, as `decodes`. The encoder
        beside it, if there is one, is that model's, and so are the codes that it makes.
        """
        return self.model.decodes or self.identity

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
        decoded = self.model.decodes
        also = "" if decoded is None else f", which decodes the codes of {decoded}"
        raise CodesError(f"the codes were made by {maker}, this model is {self.identity}{also}", remedy=remedy)

    @property
    def sampling_rate(self) -> int:
        """In Hz, of the audio that the model reads."""
        return self.model.sampling_rate

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that `decode` gives."""
        return self.model.output_sampling_rate

    @property
    def frame_rate(self) -> float:
        """Frames of codes per second, in Hz."""
        return self.model.frame_rate

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The number of different codes in each codebook."""
        return self.model.codebook_sizes

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """In kbit/s, ascending: what `encode` can be asked for. A model of one codebook has one."""
        return self.model.bandwidths

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's activations, and of its weights but for those in int8."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def precision(self) -> Precision:
        """What decides how exact codes and audio are: int8 where linear maps are, and else the dtype."""
        return Precision.INT8 if is_int8(self.model) else choose_precision(self.dtype)

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
        if bandwidth is not None and not any(math.isclose(bandwidth, offered) for offered in self.bandwidths):
            offers = ", ".join(f"{offered:g}" for offered in self.bandwidths)
            raise InputError(f"{self.name} has {offers} kbit/s", argument="bandwidth", value=bandwidth)

    def _encode_recordings(
        self,
        clips: list[Audio],
        source_rates: list[int],
        bandwidth: float | None,
        max_frames: int | None,
        batch_seconds: float,
    ) -> list[Codes]:
        """Encode what may be in memory together, mono at the model's rate, whole or in segments of so many frames."""
        hop_length = self.model.hop_length
        starts = [segment_starts(clip.samples[0], hop_length, max_frames) for clip in clips]
        pieces = [
            piece
            for clip, cuts in zip(clips, starts, strict=True)
            for piece in cut(clip.samples[0], hop_length, cuts, self.model.samples_of)
        ]
        ids: dict[int, np.ndarray] = {}
        for batch in together([len(piece) / self.sampling_rate for piece in pieces], batch_seconds):
            ids |= zip(batch, self._encode_batch([pieces[i] for i in batch], bandwidth), strict=True)
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

    @torch.inference_mode()
    def _encode_batch(self, clips: list[np.ndarray], bandwidth: float | None) -> list[np.ndarray]:
        """Mono samples at the model's rate -> the ids (codebooks, frames) of each clip."""
        inputs = self.feature_extractor(
            audio=clips, sampling_rate=self.sampling_rate, return_tensors="pt", device=self.device
        ).to(self.device)
        inputs["input_values"] = inputs["input_values"].to(self.dtype)
        with self._graphs_for(inputs["input_values"].numel() / self.sampling_rate):
            encoded = self.model.encode_clips(**inputs, bandwidth=bandwidth)
        assert encoded.codes_mask is not None, "the feature extractor gives a mask"
        lengths = encoded.codes_mask[:, 0].sum(-1).tolist()
        return [ids[:, :length] for ids, length in zip(encoded.codes.cpu().numpy(), lengths, strict=True)]

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

    @torch.inference_mode()
    def decode_ids(self, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Decode bare codes as one batch; `decode` is for recordings.

        Args:
            ids: integers (codebooks, frames) of each clip, as many codebooks each.

        Returns:
            float32 mono samples of each clip, (samples,), whole frames of them.
        """
        lengths = [clip.shape[1] for clip in ids]
        padded = torch.zeros(len(ids), len(ids[0]), max(lengths), dtype=torch.int64)
        mask = torch.zeros(len(ids), 1, max(lengths), dtype=torch.int32)
        for i, clip in enumerate(ids):
            padded[i, :, : lengths[i]] = torch.tensor(clip)
            mask[i, :, : lengths[i]] = 1
        with self._graphs_for(mask.numel() / self.frame_rate):
            samples = self.model.decode_clips(padded.to(self.device), mask.to(self.device))
        values = samples[:, 0].float().cpu().numpy()
        per_frame = values.shape[-1] // max(lengths)
        return [row[: length * per_frame] for row, length in zip(values, lengths, strict=True)]

    def _graphs_for(self, seconds: float) -> AbstractContextManager[None]:
        """Leave compiled layers aside for a batch of so many seconds where it is too long for them: they have no tiles.

        torch knows this for the whole process only, other threads and models included, until the batch is done.
        """
        too_long = self.model.has_compiled_layers and seconds > COMPILED_SECONDS
        return torch.compiler.set_stance("force_eager") if too_long else nullcontext()

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
        elif isinstance(source, (np.ndarray, torch.Tensor)):
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

    def _codes_of(self, ids: np.ndarray | torch.Tensor) -> Codes:
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
