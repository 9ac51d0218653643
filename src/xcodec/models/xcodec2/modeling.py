"""Xcodec2Model: waveforms and features to codes, and codes to waveforms."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from xcodec.errors import InputError
from xcodec.models.acoustic import AcousticEncoder, EncoderBlock
from xcodec.models.codec_model import Clips, SemanticStates, check_latents
from xcodec.models.masks import mask_lengths, none_if_all_full
from xcodec.models.pretrained import reject_unknown_kwargs
from xcodec.models.semantic import FRAME_SHIFT, SemanticAdapter, SemanticFeatures, build_semantic_encoder
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.models.xcodec2.decoder import AcousticDecoder
from xcodec.models.xcodec2.pretrained import Xcodec2PreTrainedModel
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

    encoder_output: type[Xcodec2EncoderOutput] = Xcodec2EncoderOutput
    decoder_output: type[Xcodec2DecoderOutput] = Xcodec2DecoderOutput
    output: type[Xcodec2Output] = Xcodec2Output
    decoder_class: type[nn.Module] = AcousticDecoder
    acoustic_decoder: AcousticDecoder
    semantic_part = "semantic_encoder"
    appended_samples = 1
    feature_margin = FRAME_SHIFT  # zeros on both sides of a clip, for its filter bank alone
    encoder_parts: tuple[str, ...] = ("semantic_encoder", "semantic_adapter", "acoustic_encoder", "fc_encoder")
    decoder_parts = ("acoustic_decoder",)
    repeated_layers: tuple[type[nn.Module], ...] = (ConformerLayer, TransformerLayer, ResNetBlock)
    single_blocks: tuple[type[nn.Module], ...] = (EncoderBlock,)

    def __init__(self, config: Xcodec2Config, encoder_only: bool = False, decoder_only: bool = False) -> None:
        super().__init__(config)
        self._choose_half(encoder_only, decoder_only)
        self._check_widths(config)
        self.latents_per_code = config.latent_pooling
        if config.has_encoder and config.hidden_size % 32:
            raise InputError(
                f"hidden_size={config.hidden_size}; expected a multiple of 32, the groups of the GroupNorms"
            )
        if self.has_encoder:
            self._build_encoder(config)
        self.quantizer = FSQ(config.quantization_dim, tuple(config.quantization_levels), config.has_encoder)
        if self.has_decoder:
            self._build_decoder()
        self.post_init()  # type: ignore[no-untyped-call]

    def _build_encoder(self, config: Xcodec2Config) -> None:
        """Make the parts that only encoding needs."""
        semantic = config.semantic_model_config
        width = semantic.feature_projection_input_dim
        self.semantic_features = SemanticFeatures(
            config.sampling_rate, width, config.encoder_hop_length, self.feature_margin
        )
        self.semantic_encoder = build_semantic_encoder(semantic)
        self.semantic_adapter = SemanticAdapter(semantic.hidden_size)
        self._build_acoustic_encoder()
        self.fc_encoder = Linear(config.quantization_dim, config.quantization_dim)

    def _build_acoustic_encoder(self) -> None:
        config = self.config
        self.acoustic_encoder: nn.Module = AcousticEncoder(
            config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size
        )

    def _build_decoder(self) -> None:
        self.add_module("acoustic_decoder", self.decoder_class(self.config))

    def _check_widths(self, config: Xcodec2Config) -> None:
        """Refuse branches that together are not as wide as the latents."""
        width = config.semantic_model_config.hidden_size
        if config.has_encoder and config.quantization_dim != config.hidden_size + width:
            raise InputError(
                f"quantization_dim={config.quantization_dim}; expected "
                "hidden_size + semantic_model_config.hidden_size = "
                f"{config.hidden_size} + {width} = {config.hidden_size + width}"
            )

    @property
    def hop_length(self) -> int:
        """How many samples of the audio that is encoded make a code."""
        return self.config.code_hop_length

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of the audio that is decoded."""
        return self.config.output_sampling_rate

    @property
    def quantization_levels(self) -> tuple[int, ...]:
        """How many levels each dimension of a code has."""
        return tuple(self.config.quantization_levels)

    @property
    def quantization_width(self) -> int:
        """How many numbers a code takes at most while it is quantized."""
        return self.config.quantization_dim

    def output_length(self, num_samples: int) -> int:
        """How many samples the decoder writes for so many that were encoded."""
        config = self.config
        return -(-num_samples * config.output_sampling_rate // config.sampling_rate)

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        config = self.config
        width = max(config.hidden_size, config.decoder_width, config.semantic_model_config.hidden_size)
        channels = config.quantization_dim + 3 * width
        samples = 4 * self.latent_hop_length  # four copies of them, as float32
        return channels * self._dtype.itemsize + samples * 4

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
        reject_unknown_kwargs(kwargs)
        encoded = self.encode_clips(
            input_values, padding_mask, input_features, input_features_mask, output_latents=output_latents
        )
        output = self.encoder_output(
            audio_codes=encoded.codes,
            latents=None if encoded.latents is None else encoded.latents.transpose(1, 2),
            audio_codes_mask=encoded.codes_mask,
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
        reject_unknown_kwargs(kwargs)
        if audio_codes is not None:
            audio_values = self.decode_clips(audio_codes, audio_codes_mask)
        elif latents is not None:
            audio_values = self._decode_latents(latents, audio_codes_mask)
        else:
            raise InputError("neither `audio_codes` nor `latents` was given; decode needs one of them")
        return self._as_asked(self.decoder_output(audio_values=audio_values), return_dict)

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
        reject_unknown_kwargs(kwargs)
        self._needs("decoder")
        encoded = self.encode_clips(
            input_values, padding_mask, input_features, input_features_mask, output_latents=True
        )
        assert encoded.latents is not None, "they were asked for"
        audio_values = self._synthesize_latents(encoded.latents, encoded.lengths)
        output = self.output(
            audio_values=audio_values[..., : self.output_length(input_values.shape[-1])],
            audio_codes=encoded.codes,
            latents=encoded.latents.transpose(1, 2) if output_latents else None,
            audio_codes_mask=encoded.codes_mask,
        )
        return self._as_asked(output, return_dict)

    def features(self, clips: Clips) -> Tensor:
        """Compute the filter-bank features of waveforms: float32 (batch, latents, features)."""
        waveform = clips.waveform[:, 0]
        lengths = clips.lengths
        if lengths is None:
            num_latents = waveform.shape[-1] // self.latent_hop_length - self.uncoded_hops
            lengths = torch.full((waveform.shape[0],), num_latents, device=waveform.device)
        features: Tensor = self.semantic_features(waveform, lengths)
        return features

    def semantic_states(self, clips: Clips, input_features: Tensor | None = None) -> SemanticStates:
        """Compute Wav2Vec2-BERT's states, of which each latent has one, from filter-bank features."""
        batch, _, num_samples = clips.waveform.shape
        num_latents = num_samples // self.latent_hop_length - self.uncoded_hops
        features = self.features(clips) if input_features is None else input_features
        width = self.config.semantic_model_config.feature_projection_input_dim
        if tuple(features.shape) != (batch, num_latents, width):
            raise InputError(
                f"expected shape {(batch, num_latents, width)} for waveforms of {num_samples} samples, got "
                f"{tuple(features.shape)}",
                argument="input_features",
            )
        with share(self._semantic_share(num_latents)):
            states = self.semantic_encoder(features.to(self._dtype), self.time_of(clips.lengths, batch * num_latents))
        return SemanticStates(states, clips.lengths)

    def semantic(self, states: SemanticStates) -> Tensor:
        """Adapt semantic states: (batch, channels, latents)."""
        batch, num_latents, _ = states.values.shape
        time = self.time_of(states.lengths, batch * num_latents)
        adapted: Tensor = self.semantic_adapter(states.values.transpose(1, 2), time)
        return adapted

    def acoustic(self, clips: Clips, num_latents: int) -> Tensor:
        """Encode waveforms acoustically: (batch, channels, latents)."""
        hops = None if clips.lengths is None else clips.lengths + self.uncoded_hops
        time = self.time_of(hops, clips.waveform.shape[0] * num_latents)
        encoded: Tensor = self.acoustic_encoder(clips.waveform.to(self.waveform_dtype), time.at(self.latent_hop_length))
        return encoded[..., :num_latents]

    def fuse(self, semantic: Tensor, acoustic: Tensor) -> Tensor:
        """Make what is quantized of both branches: two times (batch, latents, channels) to (batch, codes, channels)."""
        latents: Tensor = self.fc_encoder(torch.cat([semantic, acoustic], -1))
        if self.latents_per_code == 1:
            return latents
        whole = latents.shape[1] // self.latents_per_code * self.latents_per_code  # a rest makes no code
        return latents[:, :whole].unflatten(1, (-1, self.latents_per_code)).mean(2)

    def quantize(self, latents: Tensor, num_quantizers: int, output_latents: bool) -> tuple[Tensor, Tensor | None]:
        """Quantize latents; see `CodecModel.quantize`."""
        assert num_quantizers == 1, "there is one codebook"
        quantized, codes = self.quantizer(latents)
        check_latents(quantized, "samples or features")
        return codes[..., None], quantized if output_latents else None

    def synthesize(self, codes: Tensor, time: Time) -> Tensor:
        """Decode codes at any kind of time: integers (batch, 1, codes) to samples (batch, 1, samples)."""
        samples: Tensor = self.acoustic_decoder(self.quantizer.decode(codes[:, 0]), time)
        return samples

    def _decode_latents(self, latents: Tensor, codes_mask: Tensor | None) -> Tensor:
        """Quantized latents (batch, quantization_dim, codes), as a user gives them, to samples."""
        self._needs("decoder")
        if latents.ndim != 3 or latents.shape[1] != self.config.quantization_dim or latents.numel() == 0:
            raise InputError(
                f"expected shape (batch, {self.config.quantization_dim}, codes), got {tuple(latents.shape)}",
                argument="latents",
            )
        batch, _, num_codes = latents.shape
        lengths = None if codes_mask is None else mask_lengths(codes_mask, batch, num_codes, "audio_codes_mask")
        return self._synthesize_latents(latents.transpose(1, 2).to(self._dtype), none_if_all_full(lengths, num_codes))

    def _synthesize_latents(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, codes, quantization_dim) -> samples (batch, 1, codes * hop_length)."""
        samples: Tensor = self.acoustic_decoder(latents, self.time_of(lengths, latents.shape[0] * latents.shape[1]))
        return samples

    @property
    def waveform_dtype(self) -> torch.dtype:
        """What the acoustic encoder reads."""
        return self._dtype

    @property
    def _dtype(self) -> torch.dtype:
        """Of activations, whatever weights linear maps have."""
        return self.quantizer.project_out.weight.dtype

    def _semantic_share(self, num_latents: int) -> float:
        """Estimate what part of encoding the semantic encoder is, by products; acoustic ones take twice as long."""
        config = self.config.semantic_model_config
        width, inner = config.hidden_size, config.intermediate_size
        semantic = config.num_hidden_layers * width * (7 * width + 4 * inner + 2 * num_latents)
        return semantic / (semantic + 2 * self._acoustic_products())

    def _acoustic_products(self) -> int:
        """About how many the acoustic encoder takes for a latent."""
        ratios = self.config.downsampling_ratios
        rates = [math.prod(ratios[i:]) for i in range(len(ratios))]
        return 28 * sum((self.config.encoder_hidden_size * 2**i) ** 2 * rate for i, rate in enumerate(rates))

    def _as_asked(self, output: Any, return_dict: bool | None) -> Any:
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()
