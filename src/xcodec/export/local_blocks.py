"""DistillNeuCodec's acoustic encoder as a graph computes it: all of a clip at once, by its shape alone.

The models that read a long clip in stretches look at what they computed, or count their windows; a graph does neither.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import channels_last
from xcodec.modules.convnext import ConvNeXtUnit, GlobalResponseNorm
from xcodec.modules.convnext_encoder import ConvEncoder, Stage
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.local_attention import LocalLayer, LocalTransformer
from xcodec.modules.time import WHOLE, Whole

__all__ = ["OnePassConvEncoder", "WindowedTransformer"]


class OnePassConvEncoder(ConvEncoder):
    """Convolutions whose norms have their gains as soon as their unit has seen the clip, which is at once.

    Args:
        encoder: the convolutions.
    """

    def __init__(self, encoder: ConvEncoder) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(encoder.__dict__)

    def forward(self, waveform: Tensor, time: Whole = WHOLE) -> Tensor:
        """`ConvEncoder.forward`."""
        lengths = time.lengths
        x = channels_last(self.branches(waveform, lengths))
        for stage, stride in zip(cast(Any, self.stages), (*self.strides, None), strict=True):
            x = self._staged(stage, x, lengths)
            lengths = lengths if lengths is None or stride is None else lengths // stride
        return x

    def _staged(self, stage: Stage, x: Tensor, lengths: Tensor | None) -> Tensor:
        for unit in stage.units:
            assert isinstance(unit, ConvNeXtUnit)
            wide, energy = unit.widened(x, lengths)
            total = zero_past_end(energy.unsqueeze(1), lengths).sum(2, keepdim=True, dtype=torch.float64)
            x = unit.added(x, wide, GlobalResponseNorm.gain(total))
        return stage.conv(x, lengths)


class WindowedTransformer(LocalTransformer):
    """Local attention of all windows side by side.

    Args:
        transformer: the layers.
    """

    def __init__(self, transformer: LocalTransformer) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(transformer.__dict__)
        with torch.no_grad():
            self.mask = self.distance_bias.mask(self.window_size, 2 * self.window_size)  # no buffer: it stays float32
        self.first_mask = self.mask.clone()  # before the first window there is none
        self.first_mask[..., : self.window_size] = -torch.inf

    def forward(self, x: Tensor, time: Whole = WHOLE) -> Tensor:  # noqa: ARG002
        """`LocalTransformer.forward`."""
        num_steps, size = x.shape[1], self.window_size
        num_windows = (num_steps + size - 1) // size
        # (batch, steps, hidden_size) -> (batch, windows, steps, hidden_size); what is appended comes after all else
        x = F.pad(x, (0, 0, 0, size))[:, : num_windows * size].unflatten(1, (-1, size))
        is_first = (torch.arange(num_windows, device=x.device) == 0).view(-1, 1, 1, 1)
        mask = torch.where(is_first, self.first_mask, self.mask).to(x.dtype)  # (windows, heads, steps, 2 * steps)
        for layer in self.layers:
            x = self._transformed(cast(LocalLayer, layer), x, mask)
        return x.flatten(1, 2)[:, :num_steps]

    def _transformed(self, layer: LocalLayer, x: Tensor, mask: Tensor) -> Tensor:
        attention, normal = layer.self_attn, layer.input_layernorm(x)
        # (batch, windows, steps, heads * head_dim) -> (batch, windows, heads, steps, head_dim)
        q, k, v = (
            project(normal).unflatten(-1, (-1, attention.head_dim)).transpose(2, 3)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        k, v = (torch.cat([F.pad(each, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], each], 3) for each in (k, v))
        masks = mask.unsqueeze(0).expand(x.shape[0], -1, -1, -1, -1)
        y = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), masks.flatten(0, 1))
        # (batch * windows, heads, steps, head_dim) -> (batch, windows, steps, heads * head_dim)
        x = x + attention.o_proj(y.transpose(1, 2).flatten(2).unflatten(0, (x.shape[0], -1)))
        return x + layer.mlp(layer.post_attention_layernorm(x))
