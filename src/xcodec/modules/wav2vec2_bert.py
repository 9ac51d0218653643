"""Wav2Vec2-BERT: the conformer of w2v-BERT 2.0 (Seamless, Meta, 2023), with the checkpoint's names.

Only inference and plain fine-tuning are built: layer drop and SpecAugment belong to its pre-training and are left out.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.attention import RelativeKeySelfAttention
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.linear import Linear, PointwiseConv
from xcodec.modules.time import WHOLE, Time
from xcodec.progress import shares

__all__ = ["ConformerLayer", "Wav2Vec2Bert"]

Activation = Callable[[Tensor], Tensor]


class FeatureProjection(nn.Module):
    """LayerNorm, perhaps, and a linear map from frames to the hidden size."""

    def __init__(self, input_size: int, hidden_size: int, eps: float, dropout: float, has_norm: bool = True) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(input_size, eps=eps) if has_norm else None
        self.projection = Linear(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, input_size) to (batch, time, hidden_size)."""
        return self.dropout(self.projection(x if self.layer_norm is None else self.layer_norm(x)))


class FeedForward(nn.Module):
    """Two linear layers around an activation."""

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        activation: Activation,
        activation_dropout: float,
        hidden_dropout: float,
    ) -> None:
        super().__init__()
        self.intermediate_dense = Linear(hidden_size, intermediate_size)
        self.output_dense = Linear(intermediate_size, hidden_size)
        self.activation = activation
        self.intermediate_dropout = nn.Dropout(activation_dropout)
        self.output_dropout = nn.Dropout(hidden_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., hidden_size)."""
        x = self.intermediate_dropout(self.activation(self.intermediate_dense(x)))
        return self.output_dropout(self.output_dense(x))


class ConvolutionModule(nn.Module):
    """Gated pointwise convolution, causal depthwise convolution, pointwise convolution.

    Being causal it never sees past a clip's end, so it needs no lengths.
    """

    def __init__(self, hidden_size: int, kernel_size: int, eps: float, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.pointwise_conv1 = PointwiseConv(hidden_size, 2 * hidden_size)
        self.depthwise_conv = MaskedConv1d(hidden_size, hidden_size, kernel_size, groups=hidden_size, bias=False)
        self.depthwise_layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.pointwise_conv2 = PointwiseConv(hidden_size, hidden_size)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    @property
    def reach(self) -> int:
        """How many steps before its own an output depends on."""
        return self.depthwise_conv.kernel_size[0] - 1

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x` of shape (batch, time, hidden_size)."""
        x = F.glu(self.pointwise_conv1(self.layer_norm(x)), -1)
        x = F.pad(x, (0, 0, self.reach, 0))
        # (batch, time, hidden_size) -> (batch, hidden_size, time), which lies channels-last, and back
        x = self.depthwise_conv(x.transpose(1, 2)).transpose(1, 2)
        x = self.activation(self.depthwise_layer_norm(x))
        return self.dropout(self.pointwise_conv2(x))


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, LayerNorm (Gulati et al., 2020)."""

    def __init__(
        self,
        hidden_size: int,
        attention: RelativeKeySelfAttention,
        convolution: ConvolutionModule,
        make_feed_forward: Callable[[], FeedForward],
        eps: float,
    ) -> None:
        super().__init__()
        self.ffn1_layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.ffn1 = make_feed_forward()
        self.self_attn_layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.self_attn = attention
        self.conv_module = convolution
        self.ffn2_layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.ffn2 = make_feed_forward()
        self.final_layer_norm = nn.LayerNorm(hidden_size, eps=eps)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, time, hidden_size), which may be overwritten."""
        hidden, inner = x.shape[2], self.ffn1.intermediate_dense.out_features
        x = time.each(lambda part: part + 0.5 * self.ffn1(self.ffn1_layer_norm(part)), x, width=inner)
        x = time.attend(self.self_attn, x, self.self_attn_layer_norm)
        reach = (self.conv_module.reach, 0)
        x = time.add(lambda part, _: self.conv_module(part), x, onto=x, reach=reach, width=2 * hidden)

        def last(part: Tensor) -> Tensor:
            return self.final_layer_norm(part + 0.5 * self.ffn2(self.ffn2_layer_norm(part)))

        return time.each(last, x, width=inner)


class Wav2Vec2BertEncoder(nn.Module):
    """A stack of conformer layers."""

    def __init__(self, layers: list[ConformerLayer], dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, time, hidden_size), which may be overwritten."""
        x = self.dropout(x)
        for layer in shares([*self.layers]):
            x = layer(x, time)
        return x


class Wav2Vec2Bert(nn.Module):
    """Filter-bank features in, hidden states of the last layer out.

    Args:
        input_size: features per step (two stacked frames of 80 mel bins: 160).
        hidden_size: width of the states.
        intermediate_size: width inside the feed-forwards.
        num_layers: conformer layers to build.
        num_heads: attention heads.
        conv_kernel_size: taps of the causal depthwise convolution, odd.
        left_max_position: furthest distinct distance to the left.
        right_max_position: furthest distinct distance to the right.
        activation: of the feed-forwards and the convolution.
        layer_norm_eps: added to variances.
        mask_embedding: whether the checkpoint carries `masked_spec_embed`, a vector that only pre-training uses; it is
            kept so that a checkpoint loads and saves completely.
        feature_dropout: on the projected features; like the other probabilities, in training only.
        hidden_dropout: at the input and after each feed-forward.
        activation_dropout: inside the feed-forwards.
        attention_dropout: on attention weights and attention output.
        conv_dropout: after each convolution module.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        num_heads: int,
        conv_kernel_size: int,
        left_max_position: int,
        right_max_position: int,
        activation: Activation,
        layer_norm_eps: float = 1e-5,
        mask_embedding: bool = True,
        feature_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        conv_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature_projection = FeatureProjection(input_size, hidden_size, layer_norm_eps, feature_dropout)
        if mask_embedding:
            self.masked_spec_embed = nn.Parameter(torch.empty(hidden_size).uniform_())

        def feed_forward() -> FeedForward:
            return FeedForward(hidden_size, intermediate_size, activation, activation_dropout, hidden_dropout)

        layers = [
            ConformerLayer(
                hidden_size,
                RelativeKeySelfAttention(
                    hidden_size, num_heads, left_max_position, right_max_position, attention_dropout
                ),
                ConvolutionModule(hidden_size, conv_kernel_size, layer_norm_eps, activation, conv_dropout),
                feed_forward,
                layer_norm_eps,
            )
            for _ in range(num_layers)
        ]
        self.encoder = Wav2Vec2BertEncoder(layers, hidden_dropout)

    def forward(self, features: Tensor, time: Time = WHOLE) -> Tensor:
        """Encode features.

        Args:
            features: shape (batch, time, input_size).
            time: of the features.

        Returns:
            Hidden states of the last layer, shape (batch, time, hidden_size); past a clip's end they mean nothing.
        """
        return self.encoder(self.feature_projection(features), time)
