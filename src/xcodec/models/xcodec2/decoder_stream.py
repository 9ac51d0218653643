"""X-Codec2's decoder over a stream: what it made of the past is carried on, so that only new frames are computed.

Frames come in windows. The first of them become final; the others are there to be looked ahead at, and come again with
the next window. Of the final ones is kept what later frames depend on: the last inputs of every convolution, the sums
of every norm over time, the keys and values of every attention, which has no positions that would move.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.models.xcodec2.modeling import Xcodec2Model
from xcodec.modules.conv import MaskedConv1d, MaskedConvTranspose1d
from xcodec.modules.resnet import MaskedGroupNorm, ResNetBlock
from xcodec.modules.transformer import TransformerLayer
from xcodec.modules.upsampler import Upsampler

__all__ = ["Past", "decode_onwards"]


@dataclass
class Past:
    """What the decoder keeps of the final frames of one stream, each under the name of the part that will need it.

    Attributes:
        steps: the last inputs that a convolution or the inverse STFT reaches, (channels, steps).
        moments: number, sum and sum of squares of what each group of a norm has seen, float64 (3, groups).
        keys: keys and values, (2, frames, width).
    """

    steps: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_known(self) -> int:
        """How many steps the inverse STFT will find before the next: fewer than it reaches where a stream begins."""
        return self.steps["head"].shape[1]


def decode_onwards(
    model: Xcodec2Model, codes: Tensor, pasts: Sequence[Past | None], num_final: int, context: int | None
) -> tuple[Tensor, list[Past]]:
    """Decode the next window of several streams.

    Args:
        model: the codec.
        codes: the frames after those of `pasts`, integers (batch, 1, frames).
        pasts: of each stream, all of one `num_known`, or None for those that begin.
        num_final: how many of the frames become part of the past.
        context: how many frames of the past the attention of later windows will see; None is all of them.

    Returns:
        float32 samples of all these frames, (batch, samples), and what the next window needs of each stream.
    """
    decoder = model.acoustic_decoder
    passage = Passage([past or Past() for past in pasts], num_final, context)
    x = decoder.fc(model.quantizer.decode(codes[:, 0])).transpose(1, 2)  # -> (batch, channels, time)
    x = passage.convolve("embed", decoder.embed, x)
    for i, block in enumerate(decoder.prior_net):
        x = passage.pass_block(f"prior_net.{i}", block, x)
    x = x.transpose(1, 2)  # -> (batch, time, channels)
    for i, layer in enumerate(decoder.layers):
        x = passage.pass_layer(f"layers.{i}", layer, x)
    x = x.transpose(1, 2)  # -> (batch, channels, time)
    for i, block in enumerate(decoder.post_net):
        x = passage.pass_block(f"post_net.{i}", block, x)
    x = decoder.norm(x.transpose(1, 2))  # -> (batch, time, channels)
    if decoder.upsampler is not None:
        x = passage.pass_upsampler("upsampler", decoder.upsampler, x)
    reach = decoder.head.n_fft // decoder.head.hop_length // 2
    # No zeros before the first step: the inverse STFT would take them for frames.
    known = passage.extend("head", x.transpose(1, 2), reach, num_zeros=0).transpose(1, 2)
    samples = decoder.head(known)[:, 0]
    return samples[:, -x.shape[1] * decoder.head.hop_length :], passage.after


class Passage:
    """The next frames of several streams, on their way through the decoder.

    Args:
        before: what is kept of what came before, of each stream.
        num_final: as for `decode_onwards`.
        context: as for `decode_onwards`.

    Attributes:
        after: what the next window needs, as far as this one has come.
        num_final: how many of the present steps become part of the past.
    """

    def __init__(self, before: Sequence[Past], num_final: int, context: int | None) -> None:
        self.before = before
        self.after = [Past() for _ in before]
        self.num_final = num_final
        self.context = context

    def extend(self, name: str, x: Tensor, reach: int, num_zeros: int) -> Tensor:
        """Put `reach` steps of the past before `x` of shape (batch, channels, time); zeros where a stream begins."""
        zeros = x.new_zeros(x.shape[1], num_zeros)
        known = torch.stack([past.steps.get(name, zeros) for past in self.before])
        x = torch.cat([known, x], 2)
        end = known.shape[2] + self.num_final
        for past, own in zip(self.after, x, strict=True):
            past.steps[name] = own[:, max(0, end - reach) : end].clone()
        return x

    def convolve(self, name: str, conv: MaskedConv1d, x: Tensor) -> Tensor:
        """Convolve `x` of shape (batch, channels, time) as it goes on after the past."""
        reach = conv.kernel_size[0] // 2
        return conv(self.extend(name, x, reach, reach))[..., reach:]

    def upsample(self, name: str, conv: MaskedConvTranspose1d, x: Tensor) -> Tensor:
        """Give `x` of shape (batch, channels, time) a transposed convolution's stride as many steps, going on."""
        stride = conv.stride[0]
        reach = (conv.kernel_size[0] - 1 - int(conv.padding[0])) // stride
        y = conv(self.extend(name, x, reach, reach))[..., reach * stride :]
        self.num_final *= stride
        return y

    def normalize(self, name: str, norm: MaskedGroupNorm, x: Tensor) -> Tensor:
        """Normalise `x` of shape (batch, channels, time) by the statistics of all that was seen up to its end."""
        groups = x.double().unflatten(1, (norm.num_groups, -1))  # (batch, groups, channels of a group, time)
        powers = torch.stack([torch.ones_like(groups), groups, groups.square()], 1).sum(3)  # (batch, 3, groups, time)
        nothing = powers.new_zeros(powers.shape[1:3])
        before = torch.stack([past.moments.get(name, nothing) for past in self.before])
        for past, moments in zip(self.after, before + powers[..., : self.num_final].sum(-1), strict=True):
            past.moments[name] = moments.clone()
        count, total, squares = (before + powers.sum(-1)).unbind(1)  # each (batch, groups)
        mean = total / count
        scale = (squares / count - mean.square() + norm.eps).rsqrt()
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
        keys = list(torch.stack([project_k(normal), project_v(normal)], 1))  # of each stream (2, time, width)
        for i, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if name in before.keys:
                keys[i] = torch.cat([before.keys[name], keys[i]], 1)
            end = keys[i].shape[1] - x.shape[1] + self.num_final
            after.keys[name] = keys[i][:, 0 if self.context is None else max(0, end - self.context) : end]
        lengths = [own.shape[1] for own in keys]
        valid = None
        if min(lengths) != max(lengths):
            keys = [F.pad(own, (0, 0, 0, max(lengths) - own.shape[1])) for own in keys]
            valid = torch.tensor(lengths, device=x.device)
        k, v = (keys[0][None] if len(keys) == 1 else torch.stack(keys)).unbind(1)
        x = x + attention.attend(normal, 0, k, v, valid, None)
        return x + layer.mlp(layer.post_attention_layernorm(x))

    def pass_upsampler(self, name: str, upsampler: Upsampler, x: Tensor) -> Tensor:
        """`Upsampler.forward`, going on; `x` has shape (batch, time, size)."""
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for i, (conv, block) in enumerate(zip(upsampler.convs, upsampler.blocks, strict=True)):
            assert isinstance(conv, MaskedConvTranspose1d)
            x = self.pass_block(f"{name}.blocks.{i}", block, self.upsample(f"{name}.convs.{i}", conv, x))
        return F.silu(upsampler.linear(x.transpose(1, 2)))
