"""X-Codec2's decoder over a stream: what it made of the past is carried on, so that only new frames are computed.

Frames come in windows, the first of which become final while the others are there to be looked ahead at; those come
again with the next window. Of the final ones is kept what later frames depend on: the last inputs of every convolution,
the sums of every norm over time, the keys and values of every attention, which has no positions that would move.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.models.xcodec2.decoder import AcousticDecoder
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.resnet import MaskedGroupNorm, ResNetBlock
from xcodec.modules.transformer import TransformerLayer

__all__ = ["Past", "decode_onwards"]


@dataclass
class Past:
    """What the decoder keeps of the final frames of one stream, each under the name of the part that will need it.

    Attributes:
        steps: the last ones that a convolution or the inverse STFT reaches, (channels, steps).
        moments: number, sum and sum of squares of what each group of a norm has seen, float64 (3, groups).
        keys: keys and values, (2, frames, width).
    """

    steps: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, Tensor] = field(default_factory=dict)

    @property
    def overlap(self) -> int:
        """How many frames are kept for the inverse STFT: less than it reaches where there are no more."""
        return self.steps["head"].shape[1] if "head" in self.steps else 0


def decode_onwards(
    decoder: AcousticDecoder, latents: Tensor, pasts: Sequence[Past], num_final: int, context: int
) -> tuple[Tensor, list[Past]]:
    """Decode the next window of several streams.

    Args:
        decoder: one without an upsampler.
        latents: the frames after `pasts`, shape (batch, time, quantization_dim).
        pasts: of each stream, all of one `overlap`.
        num_final: how many of the frames become part of the past.
        context: how many frames of the past the attention of the next windows will see.

    Returns:
        float32 samples of the window, shape (batch, time * hop_length), and what the next one needs.
    """
    window = Window(pasts, num_final, context)
    x = window.convolve("embed", decoder.embed, decoder.fc(latents).transpose(1, 2))  # -> (batch, channels, time)
    for i, block in enumerate(decoder.prior_net):
        x = window.pass_block(f"prior_net.{i}", block, x)
    x = x.transpose(1, 2)  # -> (batch, time, channels)
    for i, layer in enumerate(decoder.layers):
        x = window.pass_layer(f"layers.{i}", layer, x)
    x = x.transpose(1, 2)  # -> (batch, channels, time)
    for i, block in enumerate(decoder.post_net):
        x = window.pass_block(f"post_net.{i}", block, x)
    x = decoder.norm(x.transpose(1, 2)).transpose(1, 2)
    known = window.extend("head", x, decoder.head.n_fft // decoder.head.hop_length // 2)
    samples = decoder.head(known.transpose(1, 2))[:, 0]
    return samples[:, -x.shape[2] * decoder.head.hop_length :], window.after


class Window:
    """The next frames of several streams, on their way through the decoder."""

    def __init__(self, before: Sequence[Past], num_final: int, context: int) -> None:
        self.before = before
        self.after = [Past() for _ in before]
        self.num_final = num_final
        self.context = context

    def extend(self, name: str, x: Tensor, reach: int) -> Tensor:
        """Put up to `reach` steps of the past before `x` of shape (batch, channels, time)."""
        if name in self.before[0].steps:
            x = torch.cat([torch.stack([past.steps[name] for past in self.before]), x], 2)
            num_known = self.before[0].steps[name].shape[1] + self.num_final
        else:
            num_known = self.num_final
        for past, own in zip(self.after, x, strict=True):
            past.steps[name] = own[:, max(0, num_known - reach) : num_known].clone()
        return x

    def convolve(self, name: str, conv: MaskedConv1d, x: Tensor) -> Tensor:
        """Convolve `x` of shape (batch, channels, time) as it goes on after the past."""
        time = x.shape[2]
        return conv(self.extend(name, x, conv.kernel_size[0] // 2))[..., -time:]

    def normalize(self, name: str, norm: MaskedGroupNorm, x: Tensor) -> Tensor:
        """Normalise `x` of shape (batch, channels, time) by the statistics of all that was seen up to its end."""
        groups = x.double().unflatten(1, (norm.num_groups, -1))  # (batch, groups, channels of a group, time)
        powers = torch.stack([torch.ones_like(groups), groups, groups.square()], 1).sum(3)  # (batch, 3, groups, time)
        before = [past.moments.get(name, powers.new_zeros(())) for past in self.before]
        for past, known, own in zip(self.after, before, powers, strict=True):
            past.moments[name] = known + own[..., : self.num_final].sum(-1)
        moments = torch.stack([known + own.sum(-1) for known, own in zip(before, powers, strict=True)])
        count, mean, square = moments.unbind(1)  # each (batch, groups)
        mean, square = mean / count, square / count
        scale = (square - mean.square() + norm.eps).rsqrt()
        normal = ((groups - mean[..., None, None]) * scale[..., None, None]).flatten(1, 2).to(x.dtype)
        return normal * norm.weight[:, None] + norm.bias[:, None]

    def pass_block(self, name: str, block: nn.Module, x: Tensor) -> Tensor:
        """`ResNetBlock.forward`, going on."""
        assert isinstance(block, ResNetBlock)
        y = self.convolve(f"{name}.conv1", block.conv1, F.silu(self.normalize(f"{name}.norm1", block.norm1, x)))
        return x + self.convolve(f"{name}.conv2", block.conv2, F.silu(self.normalize(f"{name}.norm2", block.norm2, y)))

    def pass_layer(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        """`TransformerLayer.forward`, going on; `x` has shape (batch, time, hidden_size)."""
        assert isinstance(layer, TransformerLayer)
        attention = layer.self_attn
        normal = layer.input_layernorm(x)
        _, project_k, project_v, _ = attention.projections
        own = torch.stack([project_k(normal), project_v(normal)], 1)  # (batch, 2, time, width)
        known = [past.keys.get(name, own[0, :, :0]) for past in self.before]
        for past, old, new in zip(self.after, known, own, strict=True):
            kept = torch.cat([old, new[:, : self.num_final]], 1)
            past.keys[name] = kept[:, max(0, kept.shape[1] - self.context) :].clone()
        # Keys have no order: the window's stand before those of the past, which end where each stream's do.
        lengths = [old.shape[1] for old in known]
        longest = max(lengths)
        padded = torch.stack([F.pad(old, (0, 0, 0, longest - old.shape[1])) for old in known])
        keys, values = torch.cat([own, padded], 2).unbind(1)
        valid = None if min(lengths) == longest else x.shape[1] + torch.tensor(lengths, device=x.device)
        x = x + attention.attend(normal, 0, keys, values, valid, None)
        return x + layer.mlp(layer.post_attention_layernorm(x))
