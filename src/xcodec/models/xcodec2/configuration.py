"""What describes an X-Codec2 model: the fields, names and defaults of transformers' Xcodec2Config."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import Wav2Vec2BertConfig

from xcodec.errors import InputError
from xcodec.models.configuration import (
    CodecConfig,
    check_booleans,
    check_fractions,
    check_numbers,
    check_sampling_rate,
    check_sizes,
)

__all__ = ["TRANSFORMER_FIELDS", "Xcodec2Config"]

# What decides the outputs of a model, and so whether two models read and write the same codes.
ARCHITECTURE = [
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "attention_bias",
    "encoder_hidden_size",
    "downsampling_ratios",
    "sampling_rate",
    "quantization_dim",
    "quantization_levels",
]
SEMANTIC_ARCHITECTURE = [
    "model_type",
    "feature_projection_input_dim",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "conv_depthwise_kernel_size",
    "left_max_position_embeddings",
    "right_max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
]
# What a decoder has that writes at another rate than the encoder reads; the others have the defaults.
OUTPUT_ARCHITECTURE = ["decoder_hop_length", "upsampling_ratios", "upsampling_kernel_sizes"]
TRANSFORMER_FIELDS = (
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "attention_bias",
)
DECODER_ARCHITECTURE = [*TRANSFORMER_FIELDS, "output_sampling_rate"]
RELEASED_SEMANTIC_LAYERS = 16  # of w2v-BERT 2.0's 24: the later ones are never used


class Xcodec2Config(CodecConfig):
    """Configuration of `Xcodec2Model`; the defaults are the released size, 629M parameters.

    Args:
        hidden_size: width of the acoustic latents and of the decoder, a multiple of 32.
        intermediate_size: width inside the decoder's MLPs.
        num_hidden_layers: transformer layers of the decoder.
        num_attention_heads: attention heads of the decoder.
        num_key_value_heads: key and value heads of the decoder; None means as many as attention heads.
        hidden_act: activation of the decoder's MLPs, by transformers' name.
        max_position_embeddings: unused, since the decoder has no positions; kept for interchange.
        initializer_range: standard deviation of randomly initialised weights.
        rms_norm_eps: added to mean squares in the decoder's RMSNorms.
        pad_token_id: unused; kept for interchange.
        tie_word_embeddings: unused; kept for interchange.
        rope_parameters: unused, since the rotation cancels out (see `xcodec.modules.attention`); kept for interchange.
        attention_bias: whether the decoder's attention projections have biases.
        attention_dropout: probability of dropping an attention weight in training.
        head_dim: width of one attention head; None means hidden_size // num_attention_heads.
        encoder_hidden_size: channels after the acoustic encoder's first convolution.
        downsampling_ratios: strides of the acoustic encoder, each at least 2; their product is the hop length in
            samples. Where that is no multiple of 160, the filter bank's frames do not keep step with the codes, and the
            model reads `input_features` that were computed elsewhere.
        semantic_model_config: a `Wav2Vec2BertConfig`, a dict of its fields, or None for w2v-BERT 2.0's first 16 layers.
        sampling_rate: of the audio, in Hz.
        activation_dropout: probability of dropping an activation in the decoder's ResNet blocks in training.
        quantization_dim: width of the quantized latents: hidden_size + semantic_model_config.hidden_size.
        quantization_levels: FSQ levels per dimension; their product is the size of the codebook.
        latent_pooling: how many latents, one for each of the encoders' hops, are averaged to one that becomes a code.
        decoder_hop_length: samples that each step of the inverse STFT writes; None means the hop length. 480 is 24 kHz.
        upsampling_ratios: steps that each stage between the decoder's transformer and its inverse STFT makes of one.
        upsampling_kernel_sizes: taps of these stages; None means twice the ratio, and one more if that is odd.
        **kwargs: further fields of `PreTrainedConfig`.

    Raises:
        InputError: where the sizes do not fit together.
    """

    model_type = "xcodec2"
    decoder_fields = (*DECODER_ARCHITECTURE, *OUTPUT_ARCHITECTURE)
    sub_configs = {"semantic_model_config": Wav2Vec2BertConfig}  # noqa: RUF012  (transformers' own spelling)

    def __init__(
        self,
        hidden_size: int = 1024,
        intermediate_size: int = 4096,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 16,
        num_key_value_heads: int | None = 16,
        hidden_act: str = "silu",
        max_position_embeddings: int = 4096,
        initializer_range: float = 0.02,
        rms_norm_eps: float = 1e-6,
        pad_token_id: int | None = None,
        tie_word_embeddings: bool = False,
        rope_parameters: dict[str, Any] | None = None,
        attention_bias: bool = False,
        attention_dropout: float | None = 0.0,
        head_dim: int | None = 64,
        encoder_hidden_size: int = 48,
        downsampling_ratios: Sequence[int] = (2, 2, 4, 4, 5),
        semantic_model_config: Wav2Vec2BertConfig | dict[str, Any] | None = None,
        sampling_rate: int = 16000,
        activation_dropout: float = 0.1,
        quantization_dim: int = 2048,
        quantization_levels: Sequence[int] = (4, 4, 4, 4, 4, 4, 4, 4),
        latent_pooling: int = 1,
        decoder_hop_length: int | None = None,
        upsampling_ratios: Sequence[int] = (),
        upsampling_kernel_sizes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        check_sizes(self, "hidden_size", "num_attention_heads")  # what is divided below
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_key_value_heads = num_attention_heads if num_key_value_heads is None else num_key_value_heads
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.rms_norm_eps = rms_norm_eps
        self.pad_token_id = pad_token_id
        self.rope_parameters = rope_parameters
        self.attention_bias = attention_bias
        self.attention_dropout = attention_dropout
        self.head_dim = hidden_size // num_attention_heads if head_dim is None else head_dim
        self.encoder_hidden_size = encoder_hidden_size
        self.downsampling_ratios = list(downsampling_ratios)
        self.semantic_model_config = self.semantic_config(semantic_model_config)
        self.sampling_rate = sampling_rate
        self.activation_dropout = activation_dropout
        self.quantization_dim = quantization_dim
        self.quantization_levels = list(quantization_levels)
        self.latent_pooling = latent_pooling
        self.decoder_hop_length = decoder_hop_length
        self.upsampling_ratios = list(upsampling_ratios)
        self.upsampling_kernel_sizes = (
            [2 * ratio + ratio % 2 for ratio in upsampling_ratios]
            if upsampling_kernel_sizes is None
            else list(upsampling_kernel_sizes)
        )
        self._check()
        super().__init__(**({"tie_word_embeddings": tie_word_embeddings} | kwargs))

    @property
    def decoder_width(self) -> int:
        """Numbers of a step in the decoder's layers."""
        return self.hidden_size

    @property
    def encoder_hop_length(self) -> int:
        """Samples per latent that the encoders read."""
        return math.prod(self.downsampling_ratios)

    @property
    def code_hop_length(self) -> int:
        """Samples per code that the encoders read."""
        return self.encoder_hop_length * self.latent_pooling

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.code_hop_length

    @property
    def output_hop_length(self) -> int:
        """Samples that the decoder's inverse STFT writes of a step."""
        return self.hop_length if self.decoder_hop_length is None else self.decoder_hop_length

    @property
    def n_fft(self) -> int:
        """Samples in a frame of the decoder's inverse STFT."""
        return 4 * self.output_hop_length

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of what the decoder writes."""
        return round(self.frame_rate * self.output_hop_length * math.prod(self.upsampling_ratios))

    @property
    def frame_rate(self) -> float:
        """Codes per second, in Hz."""
        return self.sampling_rate / self.code_hop_length

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return math.prod(self.quantization_levels)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide the outputs; the others concern training, interchange or who wrote the file."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in ARCHITECTURE}
        if self.decoder_hop_length is not None or self.upsampling_ratios:
            fields |= {name: getattr(self, name) for name in OUTPUT_ARCHITECTURE}
        if self.latent_pooling != 1:  # so that the others are known as before there was this field
            fields["latent_pooling"] = self.latent_pooling
        return fields | {"semantic_model_config": self.semantic_architecture()}

    def semantic_architecture(self) -> dict[str, Any]:
        """The fields of the semantic encoder that decide codes."""
        return {name: getattr(self.semantic_model_config, name) for name in SEMANTIC_ARCHITECTURE}

    @classmethod
    def semantic_config(cls, config: Any) -> Any:
        """Turn what a caller or a config.json may give for the semantic encoder into its configuration."""
        if config is None:
            return Wav2Vec2BertConfig(num_hidden_layers=RELEASED_SEMANTIC_LAYERS)
        if isinstance(config, dict):
            fields = dict(config)
            model_type = fields.pop("model_type", "wav2vec2-bert")
            if model_type != "wav2vec2-bert":
                raise InputError(
                    f"the semantic encoder of X-Codec2 is 'wav2vec2-bert'; semantic_model_config says {model_type!r}"
                )
            return Wav2Vec2BertConfig(**({"num_hidden_layers": RELEASED_SEMANTIC_LAYERS} | fields))
        return config

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return {
            "num_hidden_layers": self.num_hidden_layers,
            "semantic_model_config.num_hidden_layers": self.semantic_model_config.num_hidden_layers,
        }

    def _check(self) -> None:
        check_sizes(
            self,
            "intermediate_size",
            "num_hidden_layers",
            "num_key_value_heads",
            "head_dim",
            "encoder_hidden_size",
            "quantization_dim",
            "latent_pooling",
        )
        # A convolution with a stride of 1 has an even kernel, and would make a step more than it reads.
        check_sizes(self, "downsampling_ratios", "quantization_levels", at_least=2)
        if self.upsampling_ratios:
            check_sizes(self, "upsampling_ratios", "upsampling_kernel_sizes")
        if self.decoder_hop_length is not None:
            check_sizes(self, "decoder_hop_length")
        check_sampling_rate("sampling_rate", self.sampling_rate)
        check_numbers(self, "initializer_range", "rms_norm_eps")
        check_fractions(self, "attention_dropout", "activation_dropout")
        check_booleans(self, "attention_bias")
        self._check_semantic_model()
        if self.decoder_width % self.num_attention_heads:
            raise InputError(
                f"hidden_size={self.decoder_width} is not a multiple of num_attention_heads={self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"num_attention_heads={self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        stages = list(zip(self.upsampling_ratios, self.upsampling_kernel_sizes, strict=False))
        if len(self.upsampling_kernel_sizes) != len(self.upsampling_ratios) or any(
            (k - u) % 2 or k < u for u, k in stages
        ):
            raise InputError(
                f"expected one for each of upsampling_ratios={self.upsampling_ratios}, larger by an even number",
                argument="upsampling_kernel_sizes",
                value=self.upsampling_kernel_sizes,
            )
        if self.upsampling_ratios and self.hidden_size % (32 * 2 ** len(self.upsampling_ratios)):
            raise InputError(
                f"with {len(self.upsampling_ratios)} upsampling stages expected a multiple of "
                f"{32 * 2 ** len(self.upsampling_ratios)}, which each halves, for norms of 32 groups",
                argument="hidden_size",
                value=self.hidden_size,
            )

    def _check_semantic_model(self) -> None:
        """Check those sizes of the semantic encoder that transformers does not."""
        semantic = self.semantic_model_config
        check_sizes(
            semantic,
            "feature_projection_input_dim",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "conv_depthwise_kernel_size",
        )
        check_sizes(semantic, "left_max_position_embeddings", "right_max_position_embeddings", at_least=0)
        check_numbers(semantic, "layer_norm_eps")
