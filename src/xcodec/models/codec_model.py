r"""CodecModel: the type of every codec here. Its stages by name, and the way through them, which all codecs share.

    waveform -> semantic_states -> semantic \
             -> acoustic ------------------- fuse -> quantize -> codes -> synthesize -> waveform

A family says what each stage does. What all have in common is written here: inputs are checked, masks become lengths,
what lies past a clip's end is as if it did not exist, and tiles bound the memory.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.bandwidth import find_bandwidth
from xcodec.codes import CodecIdentity
from xcodec.errors import InputError
from xcodec.models.masks import mask_lengths, none_if_all_full
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.modules.lengths import valid_steps, zero_past_end
from xcodec.modules.time import Time

__all__ = ["Clips", "CodecModel", "Encoded", "SemanticStates", "check_latents"]


@dataclass(frozen=True)
class Clips:
    """A padded batch of waveforms, as the encoders read it.

    Attributes:
        waveform: samples at the model's rate, full scale at 1.0, (batch, 1, samples), zeros past each clip's end.
        lengths: latents of each clip, which are its codes unless several make one, (batch,); None where every clip
            fills the batch.
        codes_mask: int32 (batch, 1, codes), one on every code that the clip alone would give; None where no mask was
            given.
    """

    waveform: Tensor
    lengths: Tensor | None = None
    codes_mask: Tensor | None = None


@dataclass(frozen=True)
class SemanticStates:
    """What the semantic model makes of a batch.

    Attributes:
        values: (batch, frames, channels).
        lengths: frames of each clip, (batch,); None where every clip fills the batch.
    """

    values: Tensor
    lengths: Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """What a batch of clips is encoded to.

    Attributes:
        codes: int64 (batch, codebooks, codes), each in [0, codebook size); 0 past a clip's end.
        latents: the quantized latents (batch, codes, channels), zeros past a clip's end; None unless asked for.
        codes_mask: as in `Clips`.
        lengths: codes of each clip, (batch,); None where every clip fills the batch.
    """

    codes: Tensor
    latents: Tensor | None
    codes_mask: Tensor | None
    lengths: Tensor | None


class CodecModel(StrictPreTrainedModel, ABC):
    """A codec: clips to codes and codes to clips, each the same whatever else is in its batch.

    `encode`, `decode` and `forward` of a family are transformers' interface, and differ between families.
    `encode_clips`, `decode_clips` and `synthesize` are the same for all.
    """

    # The part that may be read from a checkpoint of its own, as of w2v-BERT or HuBERT.
    semantic_part: str

    # Zeros that the feature extractor appends to a clip before it fills up the hop.
    appended_samples: int = 0

    # Hops at the end of a clip that was filled up so which give no code.
    uncoded_hops: int = 0

    # How many latents, steps of both branches, make a code; those that are left at a clip's end make none.
    latents_per_code: int = 1

    # Whether waveforms without a mask get zeros up to whole hops, as those with one always do.
    pads_to_whole_hops: bool = True

    # Whether a stream makes no more of codes that it looks ahead at than of those to come: one at a time is then no
    # more work than many.
    looks_ahead_once: bool = False

    # What it reads and writes

    @property
    def sampling_rate(self) -> int:
        """In Hz, of the audio that is encoded."""
        return int(self.config.sampling_rate)

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that is decoded."""
        return self.sampling_rate

    @property
    def hop_length(self) -> int:
        """How many samples of the audio that is encoded make a code."""
        return int(self.config.hop_length)

    @property
    def latent_hop_length(self) -> int:
        """How many samples of the audio that is encoded make a latent."""
        return self.hop_length // self.latents_per_code

    @property
    def frame_rate(self) -> float:
        """In Hz: how many codes of each codebook a second of audio makes."""
        return float(self.config.frame_rate)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many different codes each codebook has."""
        return (int(self.config.codebook_size),)

    @property
    def quantization_levels(self) -> tuple[int, ...]:
        """How many levels each dimension of a code has, where a code is such a grid's point; else empty."""
        return ()

    @property
    @abstractmethod
    def quantization_width(self) -> int:
        """How many numbers a code takes at most while it is quantized."""

    @property
    def decodes(self) -> CodecIdentity | None:
        """The model whose codes it reads and writes, as its configuration says; None where these are its own."""
        return None if self.config.decodes is None else CodecIdentity(**self.config.decodes)

    @property
    def lookahead(self) -> int | None:
        """How many codes after its own a code's audio depends on; None where on all that come."""
        return None

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """In kbit/s, ascending: what `encode_clips` can be asked for. A model of one codebook has one."""
        return (self.frame_rate * sum(math.log2(size) for size in self.codebook_sizes) / 1000,)

    def num_quantizers_at(self, bandwidth: float | None) -> int:
        """Tell how many codebooks, the first so many, a bandwidth in kbit/s uses; None means the highest.

        Raises:
            InputError: as `bandwidth_at`.
        """
        self.bandwidth_at(bandwidth)
        return len(self.codebook_sizes)

    def bandwidth_at(self, bandwidth: float | None) -> float:
        """Return that of `bandwidths` which is meant, in kbit/s; None means the highest.

        Raises:
            InputError: where the model does not have it; in transformers' words.
        """
        chosen = find_bandwidth(bandwidth, self.bandwidths)
        if chosen is None:
            raise InputError(
                f"This model doesn't support the bandwidth {bandwidth}. Select one of "
                f"{', '.join(f'{offered:g}' for offered in self.bandwidths)} (kbit/s)"
            )
        return chosen

    def num_codes_of(self, num_samples: int) -> int:
        """Tell how many codes a clip of so many samples makes, prepared by the feature extractor."""
        num_latents = -(-(num_samples + self.appended_samples) // self.latent_hop_length) - self.uncoded_hops
        return max(0, num_latents // self.latents_per_code)

    def samples_of(self, num_codes: int) -> int:
        """Tell of how many samples so many codes are made, where more audio follows them.

        Of whole hops less one every codec makes a code each, reading a zero in its place. One that gives no code of the
        last hop reads that one whole.
        """
        return num_codes * self.hop_length - (self.uncoded_hops == 0)

    # Stages

    @abstractmethod
    def semantic_states(self, clips: Clips, input_features: Tensor | None = None) -> SemanticStates:
        """Compute the states of the semantic model.

        Args:
            clips: the waveforms.
            input_features: what the semantic model reads instead of them, computed elsewhere, where it reads features.
        """

    @abstractmethod
    def semantic(self, states: SemanticStates) -> Tensor:
        """Bring semantic states to the rate of the latents: (batch, channels, latents)."""

    @abstractmethod
    def acoustic(self, clips: Clips, num_latents: int) -> Tensor:
        """Encode waveforms acoustically: (batch, channels, latents), as many as the semantic branch gives."""

    @abstractmethod
    def fuse(self, semantic: Tensor, acoustic: Tensor) -> Tensor:
        """Make what is quantized of both branches: two times (batch, latents, channels) to (batch, codes, channels).

        It mixes no steps of time but those that make a code.
        """

    @abstractmethod
    def quantize(self, latents: Tensor, num_quantizers: int, output_latents: bool) -> tuple[Tensor, Tensor | None]:
        """Quantize latents (batch, codes, channels), of which no step has to do with another.

        Returns:
            Codes, int64 (batch, codes, codebooks), and the quantized latents (batch, codes, channels) with
            straight-through gradients, if these are wanted.
        """

    @abstractmethod
    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: whole clips, tiles of them, or the next stretch of a stream.

        Args:
            codes: integers (batch, codebooks, codes).
            time: of the codes.

        Returns:
            Samples (batch, 1, samples) at `output_sampling_rate`, zeros past each clip's end. Of a stream those of the
            steps that become final, and perhaps of those that are looked ahead at.
        """

    # The way through them

    def encode_clips(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        input_features: Tensor | None = None,
        input_features_mask: Tensor | None = None,
        *,
        bandwidth: float | None = None,
        output_latents: bool = False,
    ) -> Encoded:
        """Encode a padded batch of waveforms.

        Args:
            input_values: samples at `sampling_rate`, full scale at 1.0, (batch, 1, samples).
            padding_mask: nonzero on each clip's own samples, (batch, samples) or (batch, 1, samples); None means that
                every sample counts, or as `input_features_mask` says.
            input_features: what the feature extractor makes for the semantic model; None has it made here.
            input_features_mask: nonzero on each clip's own features, (batch, codes).
            bandwidth: in kbit/s, one of `bandwidths`; None means the highest.
            output_latents: whether to give the quantized latents as well.

        Raises:
            InputError: where a shape or the bandwidth does not fit, samples are not numbers, or the model was loaded
                with `decoder_only=True`.
        """
        self._needs("encoder")
        num_quantizers = self.num_quantizers_at(bandwidth)
        clips = self.clips(input_values, padding_mask, input_features_mask)
        states = self.semantic_states(clips, input_features)
        semantic = self.semantic(states)
        del states
        num_latents = semantic.shape[-1]
        num_codes = num_latents // self.latents_per_code
        if clips.codes_mask is not None and num_codes != clips.codes_mask.shape[-1]:
            raise InputError(
                f"{clips.waveform.shape[-1]} samples give {num_codes} semantic frames, for "
                f"{clips.codes_mask.shape[-1]} hops of {self.hop_length} samples; a padded batch needs a config whose "
                "two encoders keep step"
            )
        acoustic = self.acoustic(clips, num_latents)
        codes, latents = self._quantized(semantic, acoustic, num_quantizers, output_latents)
        if clips.lengths is None:
            return Encoded(codes, latents, clips.codes_mask, None)
        lengths = clips.lengths // self.latents_per_code
        past_end = ~valid_steps(lengths, num_codes)
        codes = codes.masked_fill(past_end[:, None], 0)
        latents = None if latents is None else latents.masked_fill(past_end[..., None], 0.0)
        return Encoded(codes, latents, clips.codes_mask, none_if_all_full(lengths, num_codes))

    def decode_clips(self, codes: Tensor, codes_mask: Tensor | None = None) -> Tensor:
        """Decode a padded batch of codes.

        Args:
            codes: integers (batch, k, codes) of the first k codebooks; past a clip's end they may be anything.
            codes_mask: nonzero on each clip's own codes, (batch, 1, codes) or (batch, codes); None means that every
                code counts.

        Returns:
            Samples (batch, 1, samples) at `output_sampling_rate`, zeros past each clip's end.

        Raises:
            InputError: where a shape, dtype or code does not fit, or the model was loaded with `encoder_only=True`.
        """
        self._needs("decoder")
        self._check_codes_shape(codes)
        codes = codes.long()
        batch, _, num_codes = codes.shape
        lengths = None
        if codes_mask is not None:
            lengths = mask_lengths(codes_mask, batch, num_codes, "audio_codes_mask")
            codes = codes.masked_fill(~valid_steps(lengths, num_codes)[:, None], 0)
            lengths = none_if_all_full(lengths, num_codes)
        self._check_codes_range(codes)
        return self.synthesize(codes, self.time_of(lengths, batch * num_codes))

    def clips(
        self, input_values: Tensor, padding_mask: Tensor | None, input_features_mask: Tensor | None = None
    ) -> Clips:
        """Check waveforms and masks; the arguments are those of `encode_clips`."""
        check_waveform(input_values)
        batch, _, num_samples = input_values.shape
        hop, together = self.latent_hop_length, self.latents_per_code
        num_latents = -(-num_samples // hop) - self.uncoded_hops
        lengths = num_valid = codes_mask = None
        if padding_mask is not None:
            num_valid = mask_lengths(padding_mask, batch, num_samples, "padding_mask")
            lengths = (num_valid + hop - 1) // hop - self.uncoded_hops
        elif input_features_mask is not None:
            lengths = mask_lengths(input_features_mask, batch, num_latents, "input_features_mask")
            num_valid = (lengths + self.uncoded_hops) * hop
        self._check_lengths(num_latents, lengths)
        if lengths is not None:
            codes_mask = valid_steps(lengths // together, num_latents // together)[:, None].int()
        waveform = zero_past_end(input_values, num_valid)
        if num_samples % hop and (self.pads_to_whole_hops or lengths is not None):
            waveform = F.pad(waveform, (0, -num_samples % hop))
        return Clips(waveform, none_if_all_full(lengths, num_latents), codes_mask)

    def _check_lengths(self, num_latents: int, lengths: Tensor | None) -> None:
        """Refuse clips that make no code at all."""
        if (not self.uncoded_hops and self.latents_per_code == 1) or torch.compiler.is_compiling():
            return
        if num_latents < self.latents_per_code or (lengths is not None and int(lengths.min()) < self.latents_per_code):
            raise InputError(
                f"a clip makes no code; expected at least {self.samples_of(1)} samples in each, and one "
                "more, or as many as the feature extractor makes of them",
                argument="input_values",
            )

    def _quantized(
        self, semantic: Tensor, acoustic: Tensor, num_quantizers: int, output_latents: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Make codes (batch, codebooks, codes), and maybe latents, of two branches (batch, channels, latents)."""

        def quantized(*parts: Tensor) -> tuple[Tensor, ...]:
            codes, rounded = self.quantize(self.fuse(*parts[:2]), num_quantizers, output_latents)
            return (codes,) if rounded is None else (codes, rounded)

        together, num_codes = self.latents_per_code, semantic.shape[-1] // self.latents_per_code
        # (batch, channels, latents) -> (batch, latents, channels), of whole codes
        both = [branch[..., : num_codes * together].transpose(1, 2) for branch in (semantic, acoustic)]
        time = self.time_of(None, semantic.shape[0] * semantic.shape[-1])
        width = together * self.quantization_width
        codes, *rounded = time.map(quantized, *both, width=width, down=together, steps=num_codes)
        return codes.transpose(1, 2).contiguous(), (rounded[0] if rounded else None)

    def _check_codes_shape(self, codes: Tensor) -> None:
        most = len(self.codebook_sizes)
        wrong = codes.ndim != 3 or not 1 <= codes.shape[1] <= most or codes.numel() == 0
        if wrong or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise InputError(
                f"expected integers of shape (batch, {'1' if most == 1 else f'1 to {most}'}, codes), got "
                f"{codes.dtype} {tuple(codes.shape)}",
                argument="audio_codes",
            )

    def _check_codes_range(self, codes: Tensor) -> None:
        if torch.compiler.is_compiling():
            return
        low, high, size = int(codes.min()), int(codes.max()), self.codebook_sizes[0]
        if low < 0 or high >= size:
            raise InputError(f"expected values in [0, {size}), got {low} to {high}", argument="audio_codes")


def check_waveform(input_values: Tensor) -> None:
    """Refuse what is no batch of mono waveforms."""
    if not isinstance(input_values, Tensor):
        raise InputError(f"expected a torch tensor, got {type(input_values).__name__}", argument="input_values")
    if input_values.ndim == 3 and input_values.shape[1] > 1:
        raise InputError(
            f"expected floating-point samples of shape (batch, 1, samples), got {input_values.dtype} "
            f"{tuple(input_values.shape)}. Audio must be mono, but got {input_values.shape[1]} "
            "channels",
            argument="input_values",
            remedy="downmix it first",
        )
    if input_values.ndim != 3 or input_values.numel() == 0 or not input_values.is_floating_point():
        raise InputError(
            "expected floating-point samples of shape (batch, 1, samples), at least one, got "
            f"{input_values.dtype} {tuple(input_values.shape)}",
            argument="input_values",
        )


def check_latents(latents: Tensor, what: str) -> None:
    """Refuse latents that are not numbers; a compiled graph cannot ask.

    Args:
        latents: of any shape.
        what: the model reads, for the message.
    """
    if not torch.compiler.is_compiling() and not bool(latents.isfinite().all()):
        raise InputError(
            f"the input gives no codes: it holds {what} that are NaN, infinite, or so far beyond full scale (1.0) that "
            f"{latents.dtype} overflows"
        )
