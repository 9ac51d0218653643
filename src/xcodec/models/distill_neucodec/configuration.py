"""DistillNeuCodecConfig: NeuCodec's fields for the decoder, and those of smaller encoders."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import HubertConfig

from xcodec.errors import InputError
from xcodec.models.configuration import check_numbers, check_sizes
from xcodec.models.neucodec.configuration import NeuCodecConfig
from xcodec.models.xcodec.configuration import SEMANTIC_ARCHITECTURE, plain

__all__ = ["DistillNeuCodecConfig"]

# Of DistilHuBERT, where it differs from HuBERT.
RELEASED_SEMANTIC: dict[str, Any] = {"num_hidden_layers": 2, "feat_proj_layer_norm": False}
# What decides the codes, beside what NeuCodec's configuration has: sizes all.
ENCODER_ARCHITECTURE = [
    "encoder_depths",
    "pooling_kernel_sizes",
    "branch_hidden_size",
    "local_hidden_size",
    "local_intermediate_size",
    "local_num_hidden_layers",
    "local_num_attention_heads",
    "local_head_dim",
    "local_window_sizes",
    "adapter_hidden_size",
    "acoustic_size",
]


class DistillNeuCodecConfig(NeuCodecConfig):
    """The configuration of `DistillNeuCodecModel`; the defaults are the released size.

    Args:
        encoder_hidden_size: channels after the acoustic encoder's first block; each stride but the last doubles them.
        downsampling_ratios: strides of the acoustic encoder, each at least 2, the last of them between its two local
            transformers; their product is the hop length in samples.
        encoder_depths: convolutional units before each stride but the last, and after these.
        pooling_kernel_sizes: samples over which each branch of the first block pools, odd; 1 pools nothing.
        branch_hidden_size: channels of each of these branches.
        local_hidden_size: width of the local transformers.
        local_intermediate_size: width inside their MLPs.
        local_num_hidden_layers: layers of each of the two.
        local_num_attention_heads: their attention heads.
        local_head_dim: width of one of these.
        local_window_sizes: steps in a window of each of the two.
        semantic_model_config: a `HubertConfig`, a dict of its fields, or None for DistilHuBERT's, whose fields a dict
            may leave out.
        adapter_hidden_size: channels inside the convolutions that follow the semantic model.
        acoustic_size: width to which acoustic latents are projected before they join semantic ones.
        **kwargs: the other fields of `NeuCodecConfig`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "distill_neucodec"
    sub_configs = {"semantic_model_config": HubertConfig}  # noqa: RUF012  (transformers' own spelling)

    def __init__(
        self,
        encoder_hidden_size: int = 32,
        downsampling_ratios: Sequence[int] = (4, 4, 4, 5),
        encoder_depths: Sequence[int] = (1, 1, 1, 2),
        pooling_kernel_sizes: Sequence[int] = (1, 5, 11, 21, 45),
        branch_hidden_size: int = 4,
        local_hidden_size: int = 512,
        local_intermediate_size: int = 1365,
        local_num_hidden_layers: Sequence[int] = (2, 3),
        local_num_attention_heads: int = 6,
        local_head_dim: int = 128,
        local_window_sizes: Sequence[int] = (1500, 300),
        semantic_model_config: HubertConfig | dict[str, Any] | None = None,
        adapter_hidden_size: int = 1024,
        acoustic_size: int = 768,
        **kwargs: Any,
    ) -> None:
        self.encoder_depths = list(encoder_depths)
        self.pooling_kernel_sizes = list(pooling_kernel_sizes)
        self.branch_hidden_size = branch_hidden_size
        self.local_hidden_size = local_hidden_size
        self.local_intermediate_size = local_intermediate_size
        self.local_num_hidden_layers = list(local_num_hidden_layers)
        self.local_num_attention_heads = local_num_attention_heads
        self.local_head_dim = local_head_dim
        self.local_window_sizes = list(local_window_sizes)
        self.adapter_hidden_size = adapter_hidden_size
        self.acoustic_size = acoustic_size
        super().__init__(
            encoder_hidden_size=encoder_hidden_size,
            downsampling_ratios=downsampling_ratios,
            semantic_model_config=semantic_model_config,
            **kwargs,
        )

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return super().num_repeated() | {
            "the sum of local_num_hidden_layers": sum(self.local_num_hidden_layers),
            "the sum of encoder_depths": sum(self.encoder_depths),
        }

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {name: getattr(self, name) for name in ENCODER_ARCHITECTURE}

    def semantic_architecture(self) -> dict[str, Any]:
        """The fields of the semantic model that decide codes."""
        names = [*SEMANTIC_ARCHITECTURE, "feat_proj_layer_norm"]
        return {name: plain(getattr(self.semantic_model_config, name)) for name in names}

    @classmethod
    def semantic_config(cls, config: HubertConfig | dict[str, Any] | None) -> HubertConfig:
        """Turn what a caller or a config.json may give for the semantic model into its configuration."""
        if isinstance(config, HubertConfig):
            return config
        fields = dict(config or {})
        if (model_type := fields.pop("model_type", "hubert")) != "hubert":
            raise InputError(
                f"the semantic model of DistillNeuCodec is 'hubert'; semantic_model_config says {model_type!r}"
            )
        return HubertConfig(**(RELEASED_SEMANTIC | fields))

    def _check(self) -> None:
        check_sizes(self, *ENCODER_ARCHITECTURE)
        super()._check()
        if len(self.encoder_depths) != len(self.downsampling_ratios):
            raise InputError(
                f"expected one for each of downsampling_ratios={self.downsampling_ratios}",
                argument="encoder_depths",
                value=self.encoder_depths,
            )
        for name in ("local_num_hidden_layers", "local_window_sizes"):
            if len(getattr(self, name)) != 2:
                raise InputError("expected one for each of two transformers", argument=name, value=getattr(self, name))
        if any(size % 2 == 0 for size in self.pooling_kernel_sizes):
            raise InputError(
                "expected odd numbers, so that lengths are kept",
                argument="pooling_kernel_sizes",
                value=self.pooling_kernel_sizes,
            )

    def _check_semantic_model(self) -> None:
        semantic = self.semantic_model_config
        check_sizes(semantic, "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        check_sizes(semantic, "conv_dim", "conv_kernel", "conv_stride")
        check_sizes(semantic, "num_conv_pos_embeddings", "num_conv_pos_embedding_groups")
        check_numbers(semantic, "layer_norm_eps")
        if math.prod(semantic.conv_stride) != self.encoder_hop_length:
            raise InputError(
                f"semantic_model_config.conv_stride={list(semantic.conv_stride)} does not keep step with "
                f"downsampling_ratios={self.downsampling_ratios}; their products have to be equal"
            )
