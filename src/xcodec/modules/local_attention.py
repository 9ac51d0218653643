"""Local causal attention: a step sees its own window up to itself, and the window before, with a bias by distance.

The bias is made by a small network of the distance alone (Wu et al., CrossFormer, 2022). Since nothing reaches further
back than a window, a stack of layers passes over a clip window by window and keeps no more than their keys and values.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.linear import Linear
from xcodec.modules.time import WHOLE, Whole

__all__ = ["DistanceNetwork", "LocalAttention", "LocalLayer", "LocalTransformer"]

MAX_QUERIES = 256  # that are scored at once


class KeysAndValues(NamedTuple):
    """Of one window, (batch, heads, steps, head_dim) each."""

    keys: Tensor
    values: Tensor


class DistanceNetwork(nn.Module):
    """From the distance between two steps to what each head adds to their score.

    Args:
        hidden_size: width of the two hidden layers.
        num_heads: heads of the attention.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(1, hidden_size)
        self.fc2 = nn.Linear(hidden_size, hidden_size)
        self.fc3 = nn.Linear(hidden_size, num_heads)

    def forward(self, num_distances: int) -> Tensor:
        """Compute the biases of the distances from 0 up: float32 (heads, num_distances).

        Half precision holds no distances beyond 256, so it is widened.
        """
        x = torch.arange(num_distances, dtype=torch.float32, device=self.fc1.weight.device)[:, None]
        for layer in (self.fc1, self.fc2, self.fc3):
            x = x if layer is self.fc1 else F.silu(x)
            x = F.linear(x, layer.weight.float(), layer.bias.float())
        return x.T

    def mask(self, num_queries: int, num_keys: int) -> Tensor:
        """Compute what the last queries add to their scores over all keys, minus infinity over those that come later.

        Args:
            num_queries: at most as many as keys.
            num_keys: the last of which are the queries' own steps.

        Returns:
            float32 (heads, num_queries, num_keys).
        """
        by_distance = self(num_keys).flip(1)  # the last query's row
        later = by_distance.new_full((len(by_distance), num_queries - 1), -torch.inf)
        # Every row is the one below it, moved by a step: (heads, num_keys + num_queries - 1) -> one stretch per query.
        return torch.cat([by_distance, later], 1).unfold(1, num_keys, 1).flip(1)


class LocalAttention(nn.Module):
    """Multi-head attention of a window's steps to those before them in it, and to the window before.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads.
        head_dim: width of a head.
    """

    def __init__(self, hidden_size: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = Linear(hidden_size, num_heads * head_dim, bias=False)
        self.k_proj = Linear(hidden_size, num_heads * head_dim, bias=False)
        self.v_proj = Linear(hidden_size, num_heads * head_dim, bias=False)
        self.o_proj = Linear(num_heads * head_dim, hidden_size, bias=False)

    def forward(self, x: Tensor, before: KeysAndValues | None, mask: Tensor) -> tuple[Tensor, KeysAndValues]:
        """Attend.

        Args:
            x: one window, or what there is of the last, (batch, steps, hidden_size).
            before: of the window before; None where this is the first.
            mask: as `DistanceNetwork.mask` gives it, of as many queries as are scored at once.

        Returns:
            Shape (batch, steps, hidden_size), and the window's own keys and values.
        """
        # (batch, steps, heads * head_dim) -> (batch, heads, steps, head_dim)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        own = KeysAndValues(k, v)
        if before is not None:
            k, v = torch.cat([before.keys, k], 2), torch.cat([before.values, v], 2)
        end, parts = k.shape[2] - q.shape[2], []
        for part in q.split(mask.shape[1], 2):
            end += part.shape[2]
            seen = mask[:, mask.shape[1] - part.shape[2] :, mask.shape[2] - end :].to(q.dtype)
            parts.append(F.scaled_dot_product_attention(part, k[:, :, :end], v[:, :, :end], attn_mask=seen[None]))
        y = parts[0] if len(parts) == 1 else torch.cat(parts, 2)
        return self.o_proj(y.transpose(1, 2).flatten(2)), own


class GatedMLP(nn.Module):
    """down(up(x) * gelu(gate(x))), without biases."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.up_proj = Linear(hidden_size, intermediate_size, bias=False)
        self.gate_proj = Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., hidden_size)."""
        return self.down_proj(self.up_proj(x) * F.gelu(self.gate_proj(x)))


class LocalLayer(nn.Module):
    """Local attention and a gated MLP, each behind a LayerNorm and around a residual."""

    def __init__(self, hidden_size: int, intermediate_size: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.self_attn = LocalAttention(hidden_size, num_heads, head_dim)
        self.mlp = GatedMLP(hidden_size, intermediate_size)
        self.input_layernorm = nn.LayerNorm(hidden_size)
        self.post_attention_layernorm = nn.LayerNorm(hidden_size)

    def forward(
        self, x: Tensor, before: KeysAndValues | None, mask: Tensor, time: Whole = WHOLE
    ) -> tuple[Tensor, KeysAndValues]:
        """Transform a window; the arguments and results are those of `LocalAttention.forward`."""
        y, own = self.self_attn(self.input_layernorm(x), before, mask)
        width = 3 * self.mlp.up_proj.out_features
        return time.each(lambda part: part + self.mlp(self.post_attention_layernorm(part)), x + y, width=width), own


class LocalTransformer(nn.Module):
    """A stack of layers of local attention, which share their biases.

    Args:
        num_layers: how many.
        hidden_size: width of the states.
        intermediate_size: width inside the MLPs.
        num_heads: heads of the attention.
        head_dim: width of a head.
        window_size: in steps.
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        intermediate_size: int,
        num_heads: int,
        head_dim: int,
        window_size: int,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.distance_bias = DistanceNetwork(hidden_size // 2, num_heads)
        self.layers = nn.ModuleList(
            LocalLayer(hidden_size, intermediate_size, num_heads, head_dim) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, time: Whole = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, time, hidden_size), which may be overwritten.

        Being causal it never sees past a clip's end, so it needs no lengths.
        """
        num_keys = min(x.shape[1], 2 * self.window_size)
        mask = self.distance_bias.mask(min(num_keys, MAX_QUERIES), num_keys)
        before: list[KeysAndValues | None] = [None] * len(self.layers)

        def transformed(window: Tensor) -> Tensor:
            for i, layer in enumerate(self.layers):
                window, before[i] = layer(window, before[i], mask, time)
            return window

        return time.in_turn(transformed, x, self.window_size)
