"""Xcodec2Model: waveforms and features to codes, and codes to waveforms."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput

from xcodec.errors import InputError
from xcodec.models.acoustic import AcousticEncoder, EncoderBlock
from xcodec.models.masks import mask_lengths, unless_full
from xcodec.models.pretrained import refuse_wishes
from xcodec.models.semantic import (
    SemanticAdapter,
    SemanticFeatures,
    build_semantic_encoder,
)
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.models.xcodec2.decoder import AcousticDecoder
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel
from xcodec.modules.lengths import valid_steps, zero_past_end
from xcodec.modules.linear import Linear
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.time import Time
from xcodec.modules.transformer import TransformerLayer
from xcodec.modules.wav2vec2_bert import ConformerLayer
from xcodec.progress import share
from xcodec.quantizers.fsq import FSQ

__all__ = ["Xcodec2DecoderOutput", "Xcodec2EncoderOutput", "Xcodec2Model", "Xcodec2Output"]


@dataclass
class Xcodec2EncoderOutput(ModelOutput):
    """What `Xcodec2Model.encode` returns.

    Attributes:
        audio_codes: int64 (batch, 1, codes), each in [0, codebook_size); 0 past a clip's end.
        latents: quantized latents (batch, quantization_dim, codes), where `output_latents` asked for them.
        audio_codes_mask: int32 (batch, 1, codes), one on every code that the clip alone would give; None where no mask
            was given.
    """

    audio_codes: Tensor | None = None
    latents: Tensor | None = None
    audio_codes_mask: Tensor | None = None


@dataclass
class Xcodec2DecoderOutput(ModelOutput):
    """What `Xcodec2Model.decode` returns.

    Attributes:
        audio_values: float32 samples (batch, 1, codes * hop_length), or as many more as the decoder's rate is higher;
            zeros past a clip's end.
    """

    audio_values: Tensor | None = None


@dataclass
class Xcodec2Output(ModelOutput):
    """What `Xcodec2Model.forward` returns.

    Attributes:
        audio_values: float32 samples (batch, 1, samples), lasting as long as the input, zeros past a clip's end.
        audio_codes: as in `Xcodec2EncoderOutput`.
        latents: as in `Xcodec2EncoderOutput`.
        audio_codes_mask: as in `Xcodec2EncoderOutput`.
    """

    audio_values: Tensor | None = None
    audio_codes: Tensor | None = None
    latents: Tensor | None = None
    audio_codes_mask: Tensor | None = None


class Xcodec2Model(Xcodec2PreTrainedModel):
    """The X-Codec2 codec (Ye et al., "Llasa", 2025), with the interface and the checkpoints of transformers' class.

    A clip of n samples, prepared by `Xcodec2FeatureExtractor`, gives n // hop_length + 1 codes, the same whatever else
    is in its batch.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    encoder_parts = ("semantic_encoder", "semantic_adapter", "acoustic_encoder", "fc_encoder")
    decoder_parts = ("acoustic_decoder",)
    repeated_layers = (ConformerLayer, TransformerLayer, ResNetBlock)
    single_blocks = (EncoderBlock,)

    def __init__(self, config: Xcodec2Config, encoder_only: bool = False, decoder_only: bool = False) -> None:
        super().__init__(config)
        self._choose_half(encoder_only, decoder_only)
        semantic = config.semantic_model_config
        if config.quantization_dim != config.hidden_size + semantic.hidden_size:
            raise InputError(
                f"quantization_dim={config.quantization_dim}; expected "
                "hidden_size + semantic_model_config.hidden_size = "
                f"{config.hidden_size} + {semantic.hidden_size} = {config.hidden_size + semantic.hidden_size}"
            )
        if config.hidden_size % 32:
            raise InputError(
                f"hidden_size={config.hidden_size}; expected a multiple of 32, the groups of the GroupNorms"
            )
        if self.has_encoder:
            width = semantic.feature_projection_input_dim
            self.semantic_features = SemanticFeatures(config.sampling_rate, width, config.hop_length)
            self.semantic_encoder = build_semantic_encoder(semantic)
            self.semantic_adapter = SemanticAdapter(semantic.hidden_size)
            self.acoustic_encoder = AcousticEncoder(
                config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size
            )
            self.fc_encoder = Linear(config.quantization_dim, config.quantization_dim)
        self.quantizer = FSQ(config.quantization_dim, tuple(config.quantization_levels))
        if self.has_decoder:
            self.acoustic_decoder = AcousticDecoder(config)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.config.hop_length

    def output_length(self, num_samples: int) -> int:
        """How many samples the decoder writes for so many that were encoded."""
        config = self.config
        return -(-num_samples * config.output_sampling_rate // config.sampling_rate)

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        width = max(self.config.hidden_size, self.config.semantic_model_config.hidden_size)
        channels = self.config.quantization_dim + 3 * width
        samples = 4 * self.hop_length  # four copies of them, as float32
        return channels * self.quantizer.project_in.weight.element_size() + samples * 4

    def encode(
        self,
        input_values: Tensor,
        input_features: Tensor | None = None,
        padding_mask: Tensor | None = None,
        input_features_mask: Tensor | None = None,
        output_latents: bool = False,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Xcodec2EncoderOutput | tuple[Tensor, ...]:
        """Encode waveforms.

        Args:
            input_values: samples at the config's rate, full scale at 1.0, shape (batch, 1, samples). Zeros are appended
                up to a multiple of the hop length; the feature extractor has done so already.
            input_features: filter-bank features of the same clips, (batch, codes, 160); None computes them here.
            padding_mask: nonzero on each clip's own samples, (batch, samples) or (batch, 1, samples); None means that
                every sample counts (or as `input_features_mask` says).
            input_features_mask: nonzero on each clip's own features, (batch, codes); read where there is no
                `padding_mask`.
            output_latents: whether to return the quantized latents as well.
            return_dict: False returns a tuple of the fields that are not None; None does as the config says.
            **kwargs: `output_attentions` and `output_hidden_states`, which change nothing, as in transformers; and what
                else it passes around, where it is False or None.

        Raises:
            InputError: where a shape does not fit, or samples are not numbers; it says which and what was expected.
        """
        refuse_wishes(kwargs)
        self._needs("encoder")
        latents, codes, codes_mask, _ = self._encode(
            input_values, input_features, padding_mask, input_features_mask, output_latents
        )
        output = Xcodec2EncoderOutput(
            audio_codes=codes[:, None],
            latents=None if latents is None else latents.transpose(1, 2),
            audio_codes_mask=codes_mask,
        )
        return self._as_asked(output, return_dict)

    def decode(
        self,
        audio_codes: Tensor | None = None,
        latents: Tensor | None = None,
        audio_codes_mask: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Xcodec2DecoderOutput | tuple[Tensor, ...]:
        """Decode codes, or quantized latents, to samples.

        Args:
            audio_codes: integers (batch, 1, codes) in [0, codebook_size); past a clip's end they may be anything.
            latents: quantized latents (batch, quantization_dim, codes), read where no codes are given.
            audio_codes_mask: nonzero on each clip's own codes, (batch, 1, codes) or (batch, codes), as `encode` returns
                it; None means that every code counts. (transformers has no such argument, and its padded batches
                decode to other audio than single clips.)
            return_dict: False returns a tuple; None does as the config says.
            **kwargs: as in `encode`.

        Raises:
            InputError: where neither is given, or a shape, dtype or code does not fit.
        """
        refuse_wishes(kwargs)
        self._needs("decoder")
        lengths = None
        if audio_codes is not None:
            check_code_shape(audio_codes)
            codes = audio_codes[:, 0].long()
            if audio_codes_mask is not None:
                lengths = mask_lengths(audio_codes_mask, codes.shape[0], codes.shape[1], "audio_codes_mask")
                codes = codes.masked_fill(~valid_steps(lengths, codes.shape[1]), 0)
            self._check_codes(codes)
            quantized = self.quantizer.decode(codes)
        elif latents is not None:
            if latents.ndim != 3 or latents.shape[1] != self.config.quantization_dim or latents.numel() == 0:
                raise InputError(
                    f"latents: expected shape (batch, {self.config.quantization_dim}, codes), "
                    f"got {tuple(latents.shape)}"
                )
            quantized = latents.transpose(1, 2).to(self.quantizer.project_in.weight.dtype)
            if audio_codes_mask is not None:
                lengths = mask_lengths(audio_codes_mask, quantized.shape[0], quantized.shape[1], "audio_codes_mask")
        else:
            raise InputError("neither `audio_codes` nor `latents` was given; decode needs one of them")
        lengths = unless_full(lengths, quantized.shape[1])
        output = Xcodec2DecoderOutput(audio_values=self._synthesized(quantized, lengths))
        return self._as_asked(output, return_dict)

    def forward(
        self,
        input_values: Tensor,
        input_features: Tensor | None = None,
        padding_mask: Tensor | None = None,
        input_features_mask: Tensor | None = None,
        output_latents: bool = False,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Xcodec2Output | tuple[Tensor, ...]:
        """Encode and decode; the arguments are those of `encode`, and gradients pass the quantizer straight through."""
        refuse_wishes(kwargs)
        self._needs("encoder")
        self._needs("decoder")
        latents, codes, codes_mask, lengths = self._encode(
            input_values, input_features, padding_mask, input_features_mask, True
        )
        assert latents is not None, "they were wanted"
        output = Xcodec2Output(
            audio_values=self._synthesized(latents, lengths)[..., : self.output_length(input_values.shape[-1])],
            audio_codes=codes[:, None],
            latents=latents.transpose(1, 2) if output_latents else None,
            audio_codes_mask=codes_mask,
        )
        return self._as_asked(output, return_dict)

    def _encode(
        self,
        input_values: Tensor,
        input_features: Tensor | None,
        padding_mask: Tensor | None,
        input_features_mask: Tensor | None,
        wants_latents: bool,
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """Latents (batch, codes, dim), codes (batch, codes), their mask (batch, 1, codes) and lengths, if not full."""
        if not isinstance(input_values, Tensor):
            raise InputError(f"input_values: expected a torch tensor, got {type(input_values).__name__}")
        wrong = input_values.ndim != 3 or input_values.shape[1] != 1 or input_values.numel() == 0
        if wrong or not input_values.is_floating_point():
            raise InputError(
                "input_values: expected floating-point samples of shape (batch, 1, samples), at least one, got "
                f"{input_values.dtype} {tuple(input_values.shape)}"
            )
        batch, _, num_samples = input_values.shape
        num_codes = -(-num_samples // self.hop_length)
        lengths = own_samples = None
        if padding_mask is not None:
            own_samples = mask_lengths(padding_mask, batch, num_samples, "padding_mask")
            lengths = (own_samples + self.hop_length - 1) // self.hop_length
        elif input_features_mask is not None:
            lengths = mask_lengths(input_features_mask, batch, num_codes, "input_features_mask")
            own_samples = lengths * self.hop_length
        codes_mask = None if lengths is None else valid_steps(lengths, num_codes)[:, None].int()
        lengths = unless_full(lengths, num_codes)

        waveform = zero_past_end(input_values, own_samples)
        if num_samples % self.hop_length:  # what has whole hops is not copied
            waveform = F.pad(waveform, (0, -num_samples % self.hop_length))
        if input_features is None:
            every = torch.full((batch,), num_codes, device=waveform.device) if lengths is None else lengths
            input_features = self.semantic_features(waveform[:, 0], every)
        width = self.config.semantic_model_config.feature_projection_input_dim
        if tuple(input_features.shape) != (batch, num_codes, width):
            raise InputError(
                f"input_features: expected shape {(batch, num_codes, width)} for input_values of shape "
                f"{tuple(input_values.shape)}, got {tuple(input_features.shape)}"
            )

        time = self.time_of(lengths, batch * num_codes)
        dtype = self.quantizer.project_in.weight.dtype
        with share(self._semantic_share(num_codes)):
            semantic = self.semantic_encoder(input_features.to(dtype), time)
        semantic = self.semantic_adapter(semantic.transpose(1, 2), time)  # (batch, channels, codes)
        acoustic = self.acoustic_encoder(waveform.to(dtype), time.at(self.hop_length))
        latents, codes = self._quantized(semantic, acoustic, wants_latents, time)
        if lengths is not None:
            past_end = ~valid_steps(lengths, num_codes)
            codes = codes.masked_fill(past_end, 0)
            latents = None if latents is None else latents.masked_fill(past_end[..., None], 0.0)
        return latents, codes, codes_mask, lengths

    def _semantic_share(self, num_codes: int) -> float:
        """Of the work of encoding so many codes, by products; those of the acoustic encoder take twice as long."""
        config = self.config.semantic_model_config
        width, inner = config.hidden_size, config.intermediate_size
        semantic = config.num_hidden_layers * width * (7 * width + 4 * inner + 2 * num_codes)
        rates = [math.prod(self.config.downsampling_ratios[i:]) for i in range(len(self.config.downsampling_ratios))]
        acoustic = 28 * sum((self.config.encoder_hidden_size * 2**i) ** 2 * rate for i, rate in enumerate(rates))
        return semantic / (semantic + 2 * acoustic)

    def _quantized(
        self, semantic: Tensor, acoustic: Tensor, wants_latents: bool, time: Time
    ) -> tuple[Tensor | None, Tensor]:
        """Two times (batch, channels, codes) -> latents (batch, codes, quantization_dim), if wanted, and codes."""

        def quantized(*parts: Tensor) -> tuple[Tensor, ...]:
            latents, codes = self.quantizer(self.fc_encoder(torch.cat(parts[:2], -1)))
            self._check_latents(latents)
            return (codes, latents) if wants_latents else (codes,)

        both = (semantic.transpose(1, 2), acoustic.transpose(1, 2))
        codes, *latents = time.map(quantized, *both, width=self.config.quantization_dim)
        return (latents[0] if latents else None), codes

    def _check_latents(self, latents: Tensor) -> None:
        if not torch.compiler.is_compiling() and not bool(latents.isfinite().all()):
            raise InputError(
                "the input gives no codes: it holds samples or features that are NaN, infinite, or so far beyond full "
                f"scale (1.0) that {self.quantizer.project_in.weight.dtype} overflows"
            )

    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: integers (batch, 1, codes) to samples (batch, 1, samples)."""
        return self.acoustic_decoder(self.quantizer.decode(codes[:, 0]), time)

    def _synthesized(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, codes, quantization_dim) -> samples (batch, 1, codes * hop_length)."""
        return self.acoustic_decoder(latents, self.time_of(lengths, latents.shape[0] * latents.shape[1]))

    def _check_codes(self, codes: Tensor) -> None:
        if torch.compiler.is_compiling():
            return
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= self.quantizer.codebook_size:
            raise InputError(
                f"audio_codes: expected values in [0, {self.quantizer.codebook_size}), got {low} to {high}"
            )

    def _as_asked(self, output: Any, return_dict: bool | None) -> Any:
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


def check_code_shape(codes: Tensor) -> None:
    """Refuse what cannot be codes of one codebook."""
    wrong = codes.ndim != 3 or codes.shape[1] != 1 or codes.numel() == 0
    if wrong or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise InputError(
            f"audio_codes: expected integers of shape (batch, 1, codes), got {codes.dtype} {tuple(codes.shape)}"
        )
