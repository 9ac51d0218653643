"""HuBERT (Hsu et al., 2021) and, with another attention, WavLM: a waveform to the mean of its states or the last.

The modules have the checkpoints' names. Only what a frozen encoder needs is built: dropout, layer drop and SpecAugment
belong to pre-training and are left out.
"""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from xcodec.modules.attention import BlockwiseAttention
from xcodec.modules.conv import Length, MaskedConv1d, channels_last, conv_output_length
from xcodec.modules.linear import Linear
from xcodec.modules.norm import TimeNorm
from xcodec.modules.time import WHOLE, Time, Whole
from xcodec.modules.wav2vec2_bert import Activation, FeatureProjection, FeedForward
from xcodec.progress import share, shares

__all__ = ["EncoderLayer", "FeatureEncoder", "Hubert", "HubertAttention"]

FRAMES_SHARE = 0.3  # of the work of a short clip: the convolutions that make its frames


class ConvLayer(nn.Module):
    """A convolution without padding, perhaps a norm over time (None: no norm) or over channels, an activation."""

    def __init__(self, conv: nn.Conv1d, norm: TimeNorm | nn.LayerNorm | None, activation: Activation) -> None:
        super().__init__()
        self.conv = conv
        self.layer_norm = norm
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Transform `x` of shape (batch, channels, time), where there is no norm over time."""
        return self.finish(self.conv(x))

    def finish(self, x: Tensor) -> Tensor:
        """Do what follows the convolution, and the norm over time."""
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        return self.activation(x)


class FeatureEncoder(nn.Module):
    """Convolutions from samples to frames: in all released models seven, to frames of 20 ms.

    Args:
        channels: of each convolution.
        kernels: taps of each.
        strides: of each.
        bias: whether they have biases.
        norm: "group" normalises the first one's output over time, "layer" every one's over channels.
        activation: after each.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernels: Sequence[int],
        strides: Sequence[int],
        bias: bool,
        norm: str,
        activation: Activation,
    ) -> None:
        super().__init__()

        def layer(i: int) -> ConvLayer:
            conv = MaskedConv1d(channels[i - 1] if i else 1, channels[i], kernels[i], strides[i], bias=bias)
            over_time = TimeNorm(channels[i]) if i == 0 else None
            return ConvLayer(conv, nn.LayerNorm(channels[i]) if norm == "layer" else over_time, activation)

        self.conv_layers = nn.ModuleList(layer(i) for i in range(len(channels)))
        # Frame i sees the samples from i * hop to i * hop + span.
        self.hop, self.span = 1, 1
        for kernel, stride in zip(kernels, strides, strict=True):
            self.span += (kernel - 1) * self.hop
            self.hop *= stride

    @property
    def layers(self) -> list[ConvLayer]:
        """The convolutions in order."""
        return cast(list[ConvLayer], list(self.conv_layers))

    def output_length(self, num_samples: Length) -> Length:
        """Compute how many frames so many samples make; below 1 where they are too few."""
        for layer in self.layers:
            num_samples = conv_output_length(layer.conv, num_samples)
        return num_samples

    def forward(self, waveform: Tensor, time: Whole = WHOLE) -> Tensor:
        """Compute frames.

        Nothing is padded and a frame reaches no further than its span, so only a norm over time has to know where a
        clip ends.

        Args:
            waveform: shape (batch, samples).
            time: of the samples.

        Returns:
            Shape (batch, frames, channels).
        """
        first, *others = self.layers
        conv, hop = first.conv, first.conv.stride[0]
        lengths = None if time.lengths is None else conv_output_length(conv, time.lengths)
        x = time.unstored(
            lambda part, _: channels_last(conv(part)),
            waveform[:, None],
            channels=conv.out_channels,
            reach=(0, forward_reach(conv.kernel_size[0], hop)),
            down=hop,
            steps=conv_output_length(conv, waveform.shape[1]),
        )
        time = time.of(lengths)
        if isinstance(first.layer_norm, TimeNorm):
            x = time.normalized(first.layer_norm, x)

        def frames(part: Tensor, _: Tensor | None) -> Tensor:
            part = first.finish(part)
            for layer in others:
                part = layer(part)
            return part

        down = self.hop // hop  # steps of the first convolution, which makes the most
        return time.map(
            frames,
            x,
            width=down * conv.out_channels,
            reach=(0, forward_reach((self.span - conv.kernel_size[0]) // hop + 1, down)),
            dim=2,
            down=down,
            steps=self.output_length(waveform.shape[1]),
            told=True,
        ).transpose(1, 2)


def forward_reach(span: int, hop: int) -> int:
    """Compute how many hops beyond its own an output sees, whose span of inputs begins with its hop."""
    return -(-span // hop) - 1


class PositionalConv(nn.Module):
    """A grouped convolution over 128 steps that tells each step where it stands among its neighbours.

    Its weight is stored as magnitude and direction, one magnitude for each tap.
    """

    def __init__(self, channels: int, kernel_size: int, groups: int, activation: Activation) -> None:
        super().__init__()
        conv = MaskedConv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups)
        self.conv = weight_norm(conv, name="weight", dim=2)
        self.reach = kernel_size // 2  # steps to either side that an output depends on
        self.surplus = 1 - kernel_size % 2  # an even kernel, padded alike on both sides, makes one step too many
        self.activation = activation

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map `x` of shape (batch, time, channels); `lengths` counts valid steps, shape (batch,)."""
        y = self.conv(x.transpose(1, 2), lengths)  # -> (batch, channels, time)
        return self.activation(y[..., : y.shape[-1] - self.surplus]).transpose(1, 2)


class HubertAttention(BlockwiseAttention):
    """Multi-head self-attention of every step to every valid step."""

    def __init__(self, hidden_size: int, num_heads: int, max_queries: int | None = None) -> None:
        super().__init__(hidden_size // num_heads, max_queries=max_queries)
        self.k_proj = Linear(hidden_size, hidden_size)
        self.v_proj = Linear(hidden_size, hidden_size)
        self.q_proj = Linear(hidden_size, hidden_size)
        self.out_proj = Linear(hidden_size, hidden_size)

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The linear maps of queries, keys, values and output."""
        return self.q_proj, self.k_proj, self.v_proj, self.out_proj

    def distance_biases(self, num_steps: int) -> Tensor | None:  # noqa: ARG002
        """Return what all layers add to their scores by distance: nothing here."""
        return None


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each added to its input, with norms after (`norm_first` false) or before them."""

    def __init__(
        self, hidden_size: int, attention: HubertAttention, feed_forward: FeedForward, eps: float, norm_first: bool
    ) -> None:
        super().__init__()
        self.attention = attention
        self.layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.feed_forward = feed_forward
        self.final_layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.norm_first = norm_first

    def forward(self, x: Tensor, time: Time = WHOLE, biases: Tensor | None = None) -> Tensor:
        """Transform.

        Args:
            x: shape (batch, time, hidden_size), which may be overwritten.
            time: of `x`.
            biases: what all layers add to their attention's scores by distance, if anything.
        """
        width = self.feed_forward.intermediate_dense.out_features
        if self.norm_first:
            x = time.attend(self.attention, x, self.layer_norm, biases)
            return time.each(lambda part: part + self.feed_forward(self.final_layer_norm(part)), x, width=width)

        def finished(part: Tensor) -> Tensor:
            part = self.layer_norm(part)
            return self.final_layer_norm(part + self.feed_forward(part))

        return time.each(finished, time.attend(self.attention, x, as_it_is, biases), width=width)


def as_it_is(x: Tensor) -> Tensor:
    """Change nothing."""
    return x


class HubertEncoder(nn.Module):
    """Positions, and a stack of layers.

    Where the layers put their norms first, `layer_norm` follows the last of them. No other hidden state has passed it,
    so it is not applied where their mean is taken; checkpoints hold it.
    """

    def __init__(
        self,
        positions: PositionalConv,
        layers: Sequence[EncoderLayer],
        hidden_size: int,
        eps: float,
        norm_first: bool,
        averages: bool,
    ) -> None:
        super().__init__()
        self.pos_conv_embed = positions
        self.layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.layers = nn.ModuleList(layers)
        self.norm_first = norm_first
        self.averages = averages

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Compute the mean of all hidden states, the first layer's input among them, or the last of them.

        Args:
            x: shape (batch, time, hidden_size).
            time: of `x`.

        Returns:
            Shape (batch, time, hidden_size).
        """
        layers = cast(list[EncoderLayer], list(self.layers))
        biases = layers[0].attention.distance_biases(x.shape[1])
        width = x.shape[2]

        def placed(part: Tensor, lengths: Tensor | None) -> Tensor:
            part = part + self.pos_conv_embed(part, lengths)
            return part if self.norm_first else self.layer_norm(part)

        x = time.map(placed, x, reach=self.pos_conv_embed.reach, width=width)
        if not self.averages:
            for layer in shares(layers):
                x = layer(x, time, biases)
            return time.each(self.layer_norm, x, width=width) if self.norm_first else x
        total = x.clone()  # a layer may overwrite its input
        for layer in shares(layers):
            x = layer(x, time, biases)
            total = time.add(lambda part, _: part, x, onto=total, width=width)
        return time.each(lambda part: part / (len(layers) + 1), total, width=width)


class Hubert(nn.Module):
    """A waveform in, the mean of all hidden states out, or the last of them.

    Args:
        feature_encoder: samples to frames.
        frame_size: channels of the frames.
        hidden_size: width of the states.
        intermediate_size: width inside the feed-forwards.
        attentions: one for each layer.
        num_positions: taps of the positional convolution.
        position_groups: its groups.
        activation: of the feed-forwards.
        position_activation: of the positional convolution.
        norm_first: whether layers normalise their input, as large models do, rather than their output.
        layer_norm_eps: added to variances.
        mask_embedding: whether the checkpoint carries `masked_spec_embed`, a vector that only pre-training uses.
        norm_frames: whether frames are normalised over channels before they are projected.
        averages: whether the mean of the hidden states is wanted, or the last of them.
    """

    def __init__(
        self,
        feature_encoder: FeatureEncoder,
        frame_size: int,
        hidden_size: int,
        intermediate_size: int,
        attentions: Sequence[HubertAttention],
        num_positions: int,
        position_groups: int,
        activation: Callable[[Tensor], Tensor],
        position_activation: Callable[[Tensor], Tensor],
        norm_first: bool = False,
        layer_norm_eps: float = 1e-5,
        mask_embedding: bool = True,
        norm_frames: bool = True,
        averages: bool = True,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_encoder
        self.feature_projection = FeatureProjection(frame_size, hidden_size, layer_norm_eps, 0.0, norm_frames)
        if mask_embedding:
            self.masked_spec_embed = nn.Parameter(torch.empty(hidden_size).uniform_())
        positions = PositionalConv(hidden_size, num_positions, position_groups, position_activation)
        layers = [
            EncoderLayer(
                hidden_size,
                attention,
                FeedForward(hidden_size, intermediate_size, activation, 0.0, 0.0),
                layer_norm_eps,
                norm_first,
            )
            for attention in attentions
        ]
        self.encoder = HubertEncoder(positions, layers, hidden_size, layer_norm_eps, norm_first, averages)

    def output_length(self, num_samples: Length) -> Length:
        """Compute how many frames so many samples make; below 1 where they are too few."""
        return self.feature_extractor.output_length(num_samples)

    def forward(self, waveform: Tensor, time: Whole = WHOLE) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, samples), at least one frame.
            time: of the samples; every clip has at least one frame.

        Returns:
            The hidden states' mean, or the last, (batch, frames, hidden_size); past a clip's end it means nothing.
        """
        frame_lengths = None if time.lengths is None else self.output_length(time.lengths)
        with share(FRAMES_SHARE):
            frames = self.feature_projection(self.feature_extractor(waveform, time))
        with share(1 - FRAMES_SHARE):
            return self.encoder(frames, time.of(frame_lengths))
