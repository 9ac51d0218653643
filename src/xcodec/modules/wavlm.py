"""WavLM's attention (Chen et al., 2022): scores take a bias by distance, which each query opens or closes by a gate.

The biases are learned for buckets of distances, narrow near by and logarithmic further away, once for all layers: the
first layer holds them.
"""

import math

import torch
from torch import Tensor, nn

from xcodec.modules.attention import MAX_QUERIES, DistanceBias
from xcodec.modules.hubert import HubertAttention
from xcodec.modules.linear import Linear

__all__ = ["GatedRelativeAttention"]


class GatedRelativeAttention(HubertAttention):
    """Self-attention with a gated bias by distance.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads; the head size is hidden_size // num_heads.
        num_buckets: of distances, half of them to each side.
        max_distance: from here on distances share the last bucket.
        has_biases: whether this is the first layer, whose biases all layers use.
    """

    def __init__(self, hidden_size: int, num_heads: int, num_buckets: int, max_distance: int, has_biases: bool) -> None:
        super().__init__(hidden_size, num_heads, max_queries=MAX_QUERIES)
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, num_heads, 1, 1))
        self.gru_rel_pos_linear = Linear(self.head_dim, 8)
        if has_biases:
            self.rel_attn_embed = nn.Embedding(num_buckets, num_heads)

    def distance_biases(self, num_steps: int) -> Tensor:
        """Return the bias of each distance (key - query) from -(num_steps - 1) up: shape (heads, 2 * num_steps - 1)."""
        distances = torch.arange(1 - num_steps, num_steps, device=self.rel_attn_embed.weight.device)
        return self.rel_attn_embed(self._buckets(distances)).T

    def distance_bias(self, x: Tensor, queries: Tensor, biases: Tensor | None) -> DistanceBias:  # noqa: ARG002
        """Return the gated biases; `biases` is what `distance_biases` of the first layer gave for this many steps."""
        assert biases is not None, "the biases come from the first layer"
        return DistanceBias(biases[None, None], biases.shape[1] // 2, self._gates(x))

    def _gates(self, x: Tensor) -> Tensor:
        """Compute how far each query lets the biases in, from its own state: (batch, time, heads)."""
        states = x.unflatten(-1, (-1, self.head_dim))
        gate, reset = self.gru_rel_pos_linear(states).unflatten(-1, (2, 4)).sum(-1).sigmoid().unbind(-1)
        return gate * (reset * self.gru_rel_pos_const.flatten() - 1.0) + 2.0

    def _buckets(self, distances: Tensor) -> Tensor:
        """Return the bucket of each distance, integers of any shape."""
        per_side = self.num_buckets // 2
        exact = per_side // 2  # distances that have a bucket of their own
        far = distances.abs()
        # In float32 as the original computes it: a boundary that fell elsewhere would give another bias.
        logarithmic = torch.log(far.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        coarse = (exact + logarithmic * (per_side - exact)).long().clamp(max=per_side - 1)
        return torch.where(far < exact, far, coarse) + per_side * (distances > 0)
