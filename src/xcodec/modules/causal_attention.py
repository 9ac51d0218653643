"""Causal self-attention: every step sees itself and those before it, and knows by rotation how far away they are."""

import torch
from torch import Tensor

from xcodec import kernels
from xcodec.modules.attention import SelfAttention
from xcodec.modules.rotary import rotate

__all__ = ["CausalSelfAttention"]

FEW_QUERIES = 64  # below which torch serves where keys are many more
HIDDEN = -1e30  # the bias of a key that is not seen, which the kernel wants finite: no weight is left beside any other


class CausalSelfAttention(SelfAttention):
    """Attention of every step to itself and the steps before it, with rotary positions.

    What lies past a clip's end comes after all that counts, so lengths change nothing.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads.
        num_key_value_heads: number of heads of keys and values, a divisor of `num_heads`.
        head_dim: width of a head, even.
        bias: whether the projections have biases.
        dropout: probability of dropping an attention weight in training.
        window: how many steps are seen, a step's own included; None is all.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        bias: bool = False,
        dropout: float = 0.0,
        window: int | None = None,
    ) -> None:
        super().__init__(hidden_size, num_heads, num_key_value_heads, head_dim, bias, dropout)
        self.window = window

    def queries(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        """Project steps to rotated queries."""
        return self._rotated(super().queries(x, rotation), rotation)

    def keys_and_values(self, x: Tensor, rotation: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Project steps to rotated keys, and values."""
        k, v = super().keys_and_values(x, rotation)
        return self._rotated(k.unflatten(-1, (-1, self.head_dim)), rotation).flatten(2), v

    def weighted(
        self,
        x: Tensor,  # noqa: ARG002
        q: Tensor,
        k: Tensor,
        v: Tensor,
        start: int | Tensor,
        lengths: Tensor | None,  # noqa: ARG002
        biases: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """`BlockwiseAttention.weighted`, of those keys alone that some query sees."""
        num_queries, all_alike = q.shape[1], isinstance(start, int)
        if isinstance(start, int):
            first = 0 if self.window is None else max(0, start - self.window + 1)
            k, v = k[:, first : start + num_queries], v[:, first : start + num_queries]
            start -= first
        if all_alike and self._is_native(q, k, v) and not is_short(q, k):
            assert isinstance(start, int)
            return kernels.attention(q, k, v, self._bias_table(q), None, self.window or 0, start, None)
        num_keys = k.shape[1]
        if all_alike and (self.window is None or num_keys <= self.window) and num_queries in (1, num_keys):
            is_causal = bool(num_queries > 1)  # of a graph that is traced, a number is a symbol, and so is this
            return self.softmax_weighted(q, k, v, None, is_causal)
        return self.softmax_weighted(q, k, v, self._seen(start, num_queries, num_keys, q.device))

    def _rotated(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        assert rotation is not None, "it is told where its steps are"
        return rotate(x, rotation)

    def _bias_table(self, q: Tensor) -> Tensor:
        """Biases by distance, (1, 1, heads, distances): from too far to the left over 0 to the right."""
        seen = [0.0] if self.window is None else [HIDDEN, *[0.0] * self.window]
        table = torch.tensor([*seen, HIDDEN], device=q.device)
        return table.expand(1, 1, q.shape[2], -1)

    def _seen(self, start: int | Tensor, num_queries: int, num_keys: int, device: torch.device) -> Tensor:
        """Tell which key each query sees: (batch or 1, 1, queries, keys)."""
        starts = start[:, None, None] if isinstance(start, Tensor) else start
        distance = torch.arange(num_keys, device=device) - torch.arange(num_queries, device=device)[:, None] - starts
        seen = distance <= 0 if self.window is None else (distance <= 0) & (distance > -self.window)
        return seen.view(-1, 1, num_queries, num_keys)


def is_short(q: Tensor, k: Tensor) -> bool:
    """Whether these are a few new steps of a stream over many kept keys: a table of biases would cost more than they.

    Args:
        q: shape (batch, queries, heads, head_dim).
        k: shape (batch, keys, heads, head_dim).
    """
    return 4 * q.shape[1] < k.shape[1] and q.shape[1] < FEW_QUERIES
