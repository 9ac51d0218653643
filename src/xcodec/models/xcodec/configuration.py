"""What describes an X-Codec model: the fields, names and defaults of transformers' XcodecConfig."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from transformers import AutoConfig, DacConfig, HubertConfig, WavLMConfig

from xcodec.errors import InputError
from xcodec.models.configuration import CodecConfig, check_numbers, check_sampling_rate, check_sizes, is_number

__all__ = ["XcodecConfig"]

# The acoustic model of all released checkpoints: 16 kHz, 320 samples a code.
RELEASED_ACOUSTIC: dict[str, Any] = {
    "encoder_hidden_size": 64,
    "downsampling_ratios": [8, 5, 4, 2],
    "decoder_hidden_size": 1024,
    "upsampling_ratios": [8, 5, 4, 2],
    "hidden_size": 256,
}
# What decides the outputs of a model, and so whether two models read and write the same codes.
ARCHITECTURE = [
    "model_type",
    "target_bandwidths",
    "sample_rate",
    "kernel_size",
    "channel_ratios",
    "strides",
    "block_dilations",
    "unit_kernel_size",
    "codebook_size",
    "codebook_dim",
]
ACOUSTIC_ARCHITECTURE = [
    "encoder_hidden_size",
    "decoder_hidden_size",
    "hidden_size",
    "downsampling_ratios",
    "upsampling_ratios",
]
SEMANTIC_ARCHITECTURE = [
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "feat_extract_norm",
    "feat_extract_activation",
    "conv_dim",
    "conv_stride",
    "conv_kernel",
    "conv_bias",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "do_stable_layer_norm",
]
WAVLM_ARCHITECTURE = [*SEMANTIC_ARCHITECTURE, "num_buckets", "max_bucket_distance"]
SEMANTIC_CONFIGS: dict[str, type[HubertConfig] | type[WavLMConfig]] = {"hubert": HubertConfig, "wavlm": WavLMConfig}


class XcodecConfig(CodecConfig):
    """Configuration of `XcodecModel`; the defaults are the released size.

    Args:
        target_bandwidths: in kbit/s, ascending; the last one says how many codebooks there are.
        sample_rate: of the audio, in Hz; also readable as `sampling_rate`.
        kernel_size: taps of the semantic convolutions' outer layers, odd.
        channel_ratios: width of each semantic block, relative to the semantic model's states.
        strides: of each semantic block.
        block_dilations: of the residual units in each semantic block.
        unit_kernel_size: taps of the residual units, odd.
        codebook_size: codes in each codebook.
        codebook_dim: width of the code vectors; None means that of the latents, acoustic and semantic together.
        initializer_range: standard deviation of randomly initialised weights.
        acoustic_model_config: a `DacConfig`, a dict of its fields, or None for the released model's. Fields that a dict
            leaves out are the released model's.
        semantic_model_config: a `HubertConfig` or `WavLMConfig`, or a dict of its fields with a `model_type`, 'hubert'
            if there is none; None means HuBERT's base size.
        **kwargs: further fields of `PreTrainedConfig`.

    Raises:
        InputError: where a nested configuration is of another kind, or sizes do not fit together.
    """

    model_type = "xcodec"
    sub_configs = {"acoustic_model_config": DacConfig, "semantic_model_config": AutoConfig}  # noqa: RUF012
    attribute_map = {"sampling_rate": "sample_rate"}  # noqa: RUF012
    renewed_parts: ClassVar[tuple[str, ...]] = ("acoustic_decoder.", "fc1.", "fc2.", "decoder_semantic.")

    def __init__(
        self,
        target_bandwidths: Sequence[float] = (0.5, 1, 1.5, 2, 4),
        sample_rate: int = 16000,
        kernel_size: int = 3,
        channel_ratios: Sequence[float] = (1, 1),
        strides: Sequence[int] = (1, 1),
        block_dilations: Sequence[int] = (1, 1),
        unit_kernel_size: int = 3,
        codebook_size: int = 1024,
        codebook_dim: int | None = None,
        initializer_range: float = 0.02,
        acoustic_model_config: DacConfig | dict[str, Any] | None = None,
        semantic_model_config: HubertConfig | WavLMConfig | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.target_bandwidths = list(target_bandwidths)
        self.sample_rate = sample_rate
        self.kernel_size = kernel_size
        self.channel_ratios = list(channel_ratios)
        self.strides = list(strides)
        self.block_dilations = list(block_dilations)
        self.unit_kernel_size = unit_kernel_size
        self.codebook_size = codebook_size
        self.initializer_range = initializer_range
        self.acoustic_model_config = acoustic_config(acoustic_model_config)
        self.semantic_model_config = semantic_config(semantic_model_config)
        self._check_sizes()
        self.codebook_dim = self.hidden_size if codebook_dim is None else codebook_dim
        self._check()
        super().__init__(**kwargs)

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return math.prod(self.acoustic_model_config.downsampling_ratios)

    @property
    def frame_rate(self) -> int:
        """Frames of codes per second, in Hz, rounded up."""
        return math.ceil(self.sample_rate / self.hop_length)

    @property
    def semantic_hidden_size(self) -> int:
        """Width of the semantic model's states."""
        return int(self.semantic_model_config.hidden_size)

    @property
    def hidden_size(self) -> int:
        """Width of the latents, acoustic and semantic together."""
        return int(self.acoustic_model_config.hidden_size) + self.semantic_hidden_size

    @property
    def codebook_nbits(self) -> int:
        """Bits that a code takes."""
        return math.ceil(math.log2(self.codebook_size))

    @property
    def num_quantizers(self) -> int:
        """Number of codebooks."""
        return int(1000 * self.target_bandwidths[-1] // (self.frame_rate * self.codebook_nbits))

    def architecture(self) -> dict[str, Any]:
        """The fields that decide the outputs; the others concern training, interchange or who wrote the file."""
        semantic = self.semantic_model_config
        semantic_fields = WAVLM_ARCHITECTURE if isinstance(semantic, WavLMConfig) else SEMANTIC_ARCHITECTURE
        fields = {name: plain(getattr(self, name)) for name in ARCHITECTURE}
        return fields | {
            "acoustic_model_config": {
                name: plain(getattr(self.acoustic_model_config, name)) for name in ACOUSTIC_ARCHITECTURE
            },
            "semantic_model_config": {name: plain(getattr(semantic, name)) for name in semantic_fields},
        }

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return {
            "the number of codebooks at the last of target_bandwidths": self.num_quantizers,
            "semantic_model_config.num_hidden_layers": self.semantic_model_config.num_hidden_layers,
        }

    def _check_sizes(self) -> None:
        check_sizes(self, "codebook_size", at_least=2)
        check_sizes(self, "kernel_size", "unit_kernel_size")
        for name in ("strides", "block_dilations"):
            if getattr(self, name):
                check_sizes(self, name)
        check_sampling_rate("sample_rate", self.sample_rate)
        check_numbers(self, "initializer_range")
        acoustic, semantic = self.acoustic_model_config, self.semantic_model_config
        check_sizes(acoustic, "encoder_hidden_size", "decoder_hidden_size", "hidden_size")
        check_sizes(acoustic, "downsampling_ratios", "upsampling_ratios", at_least=2)
        check_sizes(semantic, "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        check_sizes(semantic, "conv_dim", "conv_kernel", "conv_stride")
        check_sizes(semantic, "num_conv_pos_embeddings", "num_conv_pos_embedding_groups")
        check_numbers(semantic, "layer_norm_eps")

    def _check(self) -> None:
        rates = self.target_bandwidths
        if not rates or not all(is_number(rate) and 0 < rate < math.inf for rate in rates) or rates != sorted(rates):
            raise InputError(
                "expected kbit/s above 0, ascending", argument="target_bandwidths", value=self.target_bandwidths
            )
        if self.num_quantizers < 1:
            raise InputError(
                f"{self.target_bandwidths[-1]} kbit/s is less than one codebook of {self.codebook_size} "
                f"codes at {self.frame_rate} Hz takes",
                argument="target_bandwidths",
                value=self.target_bandwidths,
            )
        if len(self.strides) != len(self.channel_ratios):
            raise InputError(
                f"strides={self.strides} and channel_ratios={self.channel_ratios}: expected one of each per block"
            )
        for name in ("kernel_size", "unit_kernel_size"):
            if getattr(self, name) % 2 == 0:
                raise InputError(
                    "expected an odd number, so that lengths are kept", argument=name, value=getattr(self, name)
                )
        width = self.semantic_hidden_size
        if self.channel_ratios and int(width * self.channel_ratios[-1]) != width:
            raise InputError(
                f"expected 1 as the last one, so that the latents are {self.hidden_size} wide",
                argument="channel_ratios",
                value=self.channel_ratios,
            )
        self._check_codebook_dim()

    def _check_codebook_dim(self) -> None:
        """Refuse code vectors of another width than the latents, between which nothing projects."""
        if self.codebook_dim != self.hidden_size:
            raise InputError(
                f"codebook_dim={self.codebook_dim}; expected acoustic_model_config.hidden_size + "
                f"semantic_model_config.hidden_size = {self.hidden_size}"
            )


def plain(value: Any) -> Any:
    """Lists instead of tuples, and whole numbers as integers, as JSON may spell either."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def acoustic_config(config: DacConfig | dict[str, Any] | None) -> DacConfig:
    """Turn what a caller or a config.json may give for the acoustic model into its configuration."""
    if isinstance(config, DacConfig):
        return config
    fields = RELEASED_ACOUSTIC | dict(config or {})
    if (model_type := fields.pop("model_type", "dac")) != "dac":
        raise InputError(f"the acoustic model of X-Codec is 'dac'; acoustic_model_config says {model_type!r}")
    return DacConfig(**fields)


def semantic_config(config: HubertConfig | WavLMConfig | dict[str, Any] | None) -> HubertConfig | WavLMConfig:
    """Turn what a caller or a config.json may give for the semantic model into its configuration."""
    if config is None or isinstance(config, dict):
        fields = dict(config or {})
        model_type = fields.pop("model_type", "hubert")
        if model_type in SEMANTIC_CONFIGS:
            return SEMANTIC_CONFIGS[model_type](**fields)
    else:
        model_type = config.model_type
        if isinstance(config, HubertConfig | WavLMConfig):
            return config
    raise InputError(
        f"the semantic model of X-Codec is {' or '.join(map(repr, SEMANTIC_CONFIGS))}; "
        f"semantic_model_config says {model_type!r}"
    )
