"""X-Codec's semantic branch: HuBERT or WavLM, and the convolutions before and after the quantizer."""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig, WavLMConfig
from transformers.activations import ACT2FN

from xcodec.errors import InputError
from xcodec.models.acoustic import reach_of
from xcodec.modules.conv import Length, MaskedConv1d, MaskedConvTranspose1d, conv_output_length
from xcodec.modules.hubert import FeatureEncoder, Hubert, HubertAttention
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.wavlm import GatedRelativeAttention

__all__ = ["SemanticDecoder", "SemanticEncoder", "build_semantic_model"]

# Fields of the two configurations that change what is computed in ways that no X-Codec has needed -> their only value.
UNSUPPORTED = {
    "conv_pos_batch_norm": False,
    "adapter_attn_dim": None,
    "add_adapter": False,
}


def build_semantic_model(config: HubertConfig | WavLMConfig, averages: bool = True) -> Hubert:
    """Build the encoder that `config` describes.

    Args:
        config: HuBERT's or WavLM's.
        averages: whether the mean of the hidden states is wanted, or the last of them.

    Raises:
        InputError: where it asks for what is not supported.
    """
    for field, supported in UNSUPPORTED.items():
        if getattr(config, field, supported) != supported:
            raise InputError(
                f"only {supported!r} is supported, which all released X-Codec models have",
                argument=f"semantic_model_config.{field}",
                value=getattr(config, field),
            )
    if config.feat_extract_norm not in ("group", "layer"):
        raise InputError(
            "'group' or 'layer'", argument="semantic_model_config.feat_extract_norm", value=config.feat_extract_norm
        )
    if config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"semantic_model_config.hidden_size={config.hidden_size} is not a multiple of "
            f"num_attention_heads={config.num_attention_heads}"
        )
    if isinstance(config, WavLMConfig) and config.max_bucket_distance <= config.num_buckets // 4:
        raise InputError(
            f"expected more than a quarter of num_buckets={config.num_buckets}, the distances that "
            "have a bucket of their own",
            argument="semantic_model_config.max_bucket_distance",
            value=config.max_bucket_distance,
        )

    def attention(i: int) -> HubertAttention:
        if not isinstance(config, WavLMConfig):
            return HubertAttention(config.hidden_size, config.num_attention_heads)
        return GatedRelativeAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.num_buckets,
            config.max_bucket_distance,
            has_biases=i == 0,
        )

    return Hubert(
        FeatureEncoder(
            config.conv_dim,
            config.conv_kernel,
            config.conv_stride,
            config.conv_bias,
            config.feat_extract_norm,
            ACT2FN[config.feat_extract_activation],
        ),
        frame_size=config.conv_dim[-1],
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        attentions=[attention(i) for i in range(config.num_hidden_layers)],
        num_positions=config.num_conv_pos_embeddings,
        position_groups=config.num_conv_pos_embedding_groups,
        activation=ACT2FN[config.hidden_act],
        position_activation=ACT2FN[config.feat_extract_activation],
        norm_first=config.do_stable_layer_norm,
        layer_norm_eps=config.layer_norm_eps,
        mask_embedding=config.mask_time_prob > 0 or config.mask_feature_prob > 0,
        norm_frames=getattr(config, "feat_proj_layer_norm", True),  # WavLM always does
        averages=averages,
    )


class ResidualUnit(nn.Module):
    """ELU, dilated convolution, ELU, pointwise convolution; added to the input."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2 * dilation
        self.conv1 = MaskedConv1d(channels, channels, kernel_size, padding=padding, dilation=dilation, bias=False)
        self.conv2 = MaskedConv1d(channels, channels, kernel_size=1, bias=False)

    @property
    def reach(self) -> int:
        """How many steps to either side an output depends on."""
        return reach_of(self.conv1) + reach_of(self.conv2)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        return x + self.conv2(F.elu(self.conv1(F.elu(x), lengths)))  # pointwise: no lengths


class EncoderBlock(nn.Module):
    """Residual units, then a convolution that may take strides."""

    def __init__(
        self, channels: int, output_channels: int, stride: int, unit_kernel_size: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.res_units = nn.ModuleList(ResidualUnit(channels, unit_kernel_size, d) for d in dilations)
        kernel_size = 3 if stride == 1 else 2 * stride
        self.conv = MaskedConv1d(channels, output_channels, kernel_size, stride=stride, padding=(kernel_size - 1) // 2)

    @property
    def reach(self) -> int:
        """How many steps of its input to either side an output depends on."""
        return sum(cast(ResidualUnit, unit).reach for unit in self.res_units) + reach_of(self.conv)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, channels, time) to (batch, output_channels, about time / stride)."""
        for unit in self.res_units:
            x = unit(x, lengths)
        return self.conv(x, lengths)


class SemanticEncoder(nn.Module):
    """Convolutions between the semantic model's states and the quantizer.

    Args:
        channels: width of the input.
        channel_ratios: width of each block's output, relative to the input's.
        strides: of each block.
        kernel_size: of the first convolution, odd.
        unit_kernel_size: of the residual units, odd.
        dilations: of each block's residual units.
    """

    def __init__(
        self,
        channels: int,
        channel_ratios: Sequence[float],
        strides: Sequence[int],
        kernel_size: int,
        unit_kernel_size: int,
        dilations: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [channels, *(int(channels * ratio) for ratio in channel_ratios)]
        self.conv = MaskedConv1d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.conv_blocks = nn.ModuleList(
            EncoderBlock(width, wider, stride, unit_kernel_size, dilations)
            for width, wider, stride in zip(widths, widths[1:], strides, strict=False)
        )

    def output_length(self, num_steps: Length) -> Length:
        """How many steps so many make."""
        for block in self.conv_blocks:
            assert isinstance(block, EncoderBlock)
            num_steps = conv_output_length(block.conv, num_steps)
        return num_steps

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, channels, time)."""
        reach, stride, widest = reach_of(self.conv), 1, self.conv.out_channels
        for block in self.conv_blocks:
            assert isinstance(block, EncoderBlock)
            reach += block.reach * stride
            stride *= block.conv.stride[0]
            widest = max(widest, block.conv.out_channels)
        return time.map(
            self._encoded,
            x,
            width=widest * stride,
            reach=-(-reach // stride),
            dim=2,
            down=stride,
            steps=self.output_length(x.shape[2]),
        )

    def _encoded(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.conv(x, lengths)
        for block in self.conv_blocks:
            assert isinstance(block, EncoderBlock)
            x = block(x, lengths)
            lengths = None if lengths is None else conv_output_length(block.conv, lengths)
        return x


class DecoderBlock(nn.Module):
    """A convolution that may upsample, then residual units."""

    def __init__(
        self, channels: int, output_channels: int, stride: int, unit_kernel_size: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.conv: nn.Module = (
            MaskedConv1d(channels, output_channels, kernel_size=3, padding=1)
            if stride == 1
            else MaskedConvTranspose1d(
                channels,
                output_channels,
                kernel_size=2 * stride,
                stride=stride,
                padding=(stride + 1) // 2,
                output_padding=stride % 2,
                bias=False,
            )
        )
        self.stride = stride
        self.res_units = nn.ModuleList(ResidualUnit(output_channels, unit_kernel_size, d) for d in dilations)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, channels, time) to (batch, output_channels, time * stride); `lengths` counts input steps."""
        x = self.conv(x, lengths)
        for unit in self.res_units:
            x = unit(x, None if lengths is None else lengths * self.stride)
        return x


class SemanticDecoder(nn.Module):
    """Convolutions from quantized latents back to the semantic model's states.

    Only the semantic reconstruction loss of training uses it. The arguments are those of `SemanticEncoder`.
    """

    def __init__(
        self,
        channels: int,
        channel_ratios: Sequence[float],
        strides: Sequence[int],
        kernel_size: int,
        unit_kernel_size: int,
        dilations: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [*(int(channels * ratio) for ratio in channel_ratios), channels]
        self.conv1 = MaskedConv1d(channels, widths[0], kernel_size, padding=kernel_size // 2, bias=False)
        self.conv_blocks = nn.ModuleList(
            DecoderBlock(width, narrower, stride, unit_kernel_size, dilations)
            for width, narrower, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.conv2 = MaskedConv1d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        x = self.conv1(x, lengths)
        for block in self.conv_blocks:
            assert isinstance(block, DecoderBlock)
            x = block(x, lengths)
            lengths = None if lengths is None else lengths * block.stride
        return self.conv2(x, lengths)
