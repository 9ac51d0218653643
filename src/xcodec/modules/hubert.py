"""HuBERT (Hsu et al., 2021) and, with another attention, WavLM: a waveform to the mean of all its hidden states.

The modules have the checkpoints' names. Only what a frozen encoder needs is built: dropout, layer drop and SpecAugment
belong to pre-training and are left out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from xcodec.modules.attention import BlockwiseAttention
from xcodec.modules.conv import Length, MaskedConv1d, channels_last, conv_output_length
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.linear import Linear
from xcodec.modules.tiles import join, steps_within, tiled, tiles
from xcodec.modules.wav2vec2_bert import Activation, FeatureProjection, FeedForward
from xcodec.progress import share, shares

__all__ = ["EncoderLayer", "FeatureEncoder", "Hubert", "HubertAttention", "TimeNorm"]

FRAMES_SHARE = 0.3  # of the work of a short clip: the convolutions that make its frames

Moments = tuple[Tensor, Tensor]
"""Mean and variance of each channel over a clip, each of shape (batch, channels, 1), float32."""


class TimeNorm(nn.Module):
    """Zero mean and unit variance of each channel over a clip's own steps: a group norm with one channel a group.

    Its moments are a step of their own, so that a long clip need not be in memory whole.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def moments(self, parts: Iterable[Tensor], lengths: Tensor) -> Moments:
        """Compute mean and variance over consecutive stretches of an input.

        Args:
            parts: each of shape (batch, channels, time).
            lengths: valid steps of each clip over all of them, shape (batch,).
        """
        start = 0
        count, mean, spread = (torch.zeros((), device=lengths.device) for _ in range(3))
        for part in parts:
            own = (lengths - start).clamp(0, part.shape[-1])
            x, num = part.float(), own[:, None, None].float()
            own_mean = zero_past_end(x, own).sum(-1, keepdim=True) / num.clamp(min=1.0)
            own_spread = zero_past_end(x - own_mean, own).square().sum(-1, keepdim=True)
            # Chan's update: the moments of two samples together.
            both = (count + num).clamp(min=1.0)
            delta = own_mean - mean
            mean = mean + delta * (num / both)
            spread = spread + own_spread + delta.square() * (count * num / both)
            count = count + num
            start += part.shape[-1]
        return mean, spread / count.clamp(min=1.0)

    def forward(self, x: Tensor, moments: Moments) -> Tensor:
        """Normalise `x` of shape (batch, channels, time)."""
        mean, variance = moments
        scale = self.weight[:, None] / (variance + self.eps).sqrt()
        return (x.float() * scale + (self.bias[:, None] - mean * scale)).to(x.dtype)


class ConvLayer(nn.Module):
    """A convolution without padding, perhaps a norm over time (None: no norm) or over channels, an activation."""

    def __init__(self, conv: nn.Conv1d, norm: TimeNorm | nn.LayerNorm | None, activation: Activation) -> None:
        super().__init__()
        self.conv = conv
        self.layer_norm = norm
        self.activation = activation

    def forward(self, x: Tensor, moments: Moments | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time)."""
        return self.finish(self.conv(x), moments)

    def finish(self, x: Tensor, moments: Moments | None) -> Tensor:
        """Do what follows the convolution."""
        if isinstance(self.layer_norm, TimeNorm):
            x = self.layer_norm(x, moments)
        elif self.layer_norm is not None:
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
        """How many frames so many samples make; below 1 where they are too few."""
        for layer in self.layers:
            num_samples = conv_output_length(layer.conv, num_samples)
        return num_samples

    def forward(self, waveform: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Compute frames, in tiles with the exact samples that each needs.

        Nothing is padded and a frame reaches no further than its span, so only a norm over time has to know where a
        clip ends.

        Args:
            waveform: shape (batch, samples).
            lengths: valid samples of each clip, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.

        Returns:
            Shape (batch, frames, channels).
        """
        first, *others = self.layers
        x = waveform[:, None]
        num_frames = self.output_length(x.shape[-1])
        size = num_frames
        if max_bytes is not None:
            steps_per_frame = self.hop // first.conv.stride[0]  # of the first convolution, which makes the most
            per_frame = 4 * steps_per_frame * first.conv.out_channels * x.element_size()
            size = steps_within(max_bytes, x.shape[0] * per_frame)
        if num_frames <= size:
            x = channels_last(first.conv(x))
            x = first.finish(x, self._moments([x], x.shape[-1], lengths))
            return in_turn(others, x).transpose(1, 2)
        moments = self._moments(self._first_convolution(x, size), conv_output_length(first.conv, x.shape[-1]), lengths)

        def parts() -> Iterator[Tensor]:
            for tile in shares(list(tiles(num_frames, size))):
                samples = x[..., tile.start * self.hop : (tile.stop - 1) * self.hop + self.span]
                yield in_turn(others, first.finish(channels_last(first.conv(samples)), moments)).transpose(1, 2)

        return join(parts(), num_frames)

    def _moments(self, parts: Iterable[Tensor], num_steps: int, lengths: Tensor | None) -> Moments | None:
        """Of the first convolution's output, where it is normalised over time; `lengths` are in samples."""
        first = self.layers[0]
        if not isinstance(first.layer_norm, TimeNorm):
            return None
        device = first.conv.weight.device
        own = torch.tensor([num_steps], device=device) if lengths is None else conv_output_length(first.conv, lengths)
        return first.layer_norm.moments(parts, own)

    def _first_convolution(self, x: Tensor, num_frames: int) -> Iterator[Tensor]:
        """Its output in stretches of so many frames, none of which is kept."""
        conv = self.layers[0].conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        for tile in tiles(conv_output_length(conv, x.shape[-1]), num_frames * self.hop // stride):
            yield conv(x[..., tile.start * stride : (tile.stop - 1) * stride + kernel])


def in_turn(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Apply one layer after the other."""
    for layer in layers:
        x = layer(x)
    return x


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
        """Of queries, keys, values and output."""
        return self.q_proj, self.k_proj, self.v_proj, self.out_proj

    def distance_biases(self, num_steps: int) -> Tensor | None:  # noqa: ARG002
        """What all layers add to their scores by distance: nothing here."""
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

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        biases: Tensor | None = None,
        max_bytes: int | None = None,
    ) -> Tensor:
        """Transform.

        Args:
            x: shape (batch, time, hidden_size).
            lengths: valid steps of each clip, shape (batch,).
            biases: what all layers add to their attention's scores by distance, if anything.
            max_bytes: for a tile of time; the result is then written over `x`. None computes all at once.
        """
        if tiled(max_bytes):
            return self._in_place(x, lengths, biases, max_bytes)
        if self.norm_first:
            x = x + self.attention(self.layer_norm(x), lengths, biases)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, lengths, biases))
        return self.final_layer_norm(x + self.feed_forward(x))

    def _in_place(self, x: Tensor, lengths: Tensor | None, biases: Tensor | None, max_bytes: int) -> Tensor:
        def as_it_is(own: Tensor) -> Tensor:
            return own

        first = self.layer_norm if self.norm_first else as_it_is
        for steps, y in self.attention.in_blocks(x, first, lengths, max_bytes, biases):
            x[:, steps] += y
        channels = self.feed_forward.channels_at_once + 2 * x.shape[2]
        for tile in tiles(x.shape[1], steps_within(max_bytes, channels * x.shape[0] * x.element_size())):
            own = x[:, tile.wanted]
            if self.norm_first:
                own += self.feed_forward(self.final_layer_norm(own))
            else:
                attended = self.layer_norm(own)
                own.copy_(self.final_layer_norm(attended + self.feed_forward(attended)))
        return x


class Encoder(nn.Module):
    """Positions, and a stack of layers.

    Where the layers put their norms first, `layer_norm` would follow the last of them. No hidden state has passed it,
    so it is not applied; checkpoints hold it.
    """

    def __init__(
        self, positions: PositionalConv, layers: Sequence[EncoderLayer], hidden_size: int, eps: float, norm_first: bool
    ) -> None:
        super().__init__()
        self.pos_conv_embed = positions
        self.layer_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.layers = nn.ModuleList(layers)
        self.norm_first = norm_first

    def forward(self, x: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Compute the mean of all hidden states, the first layer's input among them: (batch, time, hidden_size).

        Args:
            x: shape (batch, time, hidden_size).
            lengths: valid steps of each clip, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.
        """
        layers = cast(list[EncoderLayer], list(self.layers))
        biases = layers[0].attention.distance_biases(x.shape[1])
        x = self._placed(x, lengths, max_bytes)
        if max_bytes is None:
            total = x
            for layer in layers:
                x = layer(x, lengths, biases)
                total = total + x
            return total / (len(layers) + 1)
        total = x.clone()
        for layer in shares(layers):
            x = layer(x, lengths, biases, max_bytes)
            total += x
        return total.div_(len(layers) + 1)

    def _placed(self, x: Tensor, lengths: Tensor | None, max_bytes: int | None) -> Tensor:
        """The first hidden state: the input with its positions."""
        reach = self.pos_conv_embed.reach
        batch, time, width = x.shape
        size = time if max_bytes is None else steps_within(max_bytes, 8 * batch * width * x.element_size(), reach)

        def parts() -> Iterator[Tensor]:
            for tile in tiles(time, size, reach, reach):
                own = tile.lengths(lengths)
                placed = x[:, tile.wanted] + self.pos_conv_embed(x[:, tile.read], own)[:, tile.kept]
                yield placed if self.norm_first else self.layer_norm(placed)

        return join(parts(), time)


class Hubert(nn.Module):
    """A waveform in, the mean of all hidden states out.

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
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_encoder
        self.feature_projection = FeatureProjection(frame_size, hidden_size, layer_norm_eps, dropout=0.0)
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
        self.encoder = Encoder(positions, layers, hidden_size, layer_norm_eps, norm_first)

    def output_length(self, num_samples: Length) -> Length:
        """How many frames so many samples make; below 1 where they are too few."""
        return self.feature_extractor.output_length(num_samples)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, samples), at least one frame.
            lengths: valid samples of each clip, at least one frame, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.

        Returns:
            The mean of all hidden states, shape (batch, frames, hidden_size); past a clip's end it means nothing.
        """
        own = None if lengths is None else self.output_length(lengths)
        with share(FRAMES_SHARE):
            frames = self.feature_projection(self.feature_extractor(waveform, lengths, max_bytes))
        with share(1 - FRAMES_SHARE):
            return self.encoder(frames, own, max_bytes)
