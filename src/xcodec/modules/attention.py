"""Self-attention over time: plain, for the decoder, and with relative keys, for Wav2Vec2-BERT.

In inference neither holds a (time, time) matrix for longer than one block of queries.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear

__all__ = ["RelativeKeySelfAttention", "SelfAttention", "query_blocks"]

MAX_QUERY_BLOCK = 512
BIAS_BUDGET = 1 << 25  # elements of one block's bias, 128 MiB in float32


def query_blocks(num_queries: int, bias_per_query: int) -> Iterator[tuple[int, int]]:
    """Begin and end of blocks of queries whose biases, so many elements for each query, may be in memory together."""
    block = max(1, min(MAX_QUERY_BLOCK, BIAS_BUDGET // bias_per_query))
    for start in range(0, num_queries, block):
        yield start, min(start + block, num_queries)


class SelfAttention(nn.Module):
    """Multi-head (or grouped-query) attention of every step to every valid step, with no position at all.

    X-Codec2 nominally rotates queries and keys, but by an angle that depends on the head and not on time (the rotary
    module of the original counts positions on the head axis). Rotating both by one angle leaves every score as it was,
    so the rotation is left out here; the difference is rounding. The decoder's sense of order comes from its
    convolutions alone.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        bias: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.dropout = dropout
        self.grouped = num_key_value_heads != num_heads
        self.q_proj = Linear(hidden_size, num_heads * head_dim, bias=bias)
        self.k_proj = Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.v_proj = Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.o_proj = Linear(num_heads * head_dim, hidden_size, bias=bias)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Attend over `x` of shape (batch, time, hidden_size); `lengths` counts valid steps, shape (batch,)."""
        # (batch, time, heads * head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mask = None if lengths is None else valid_steps(lengths, x.shape[1])[:, None, None]
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, enable_gqa=self.grouped)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class RelativeKeySelfAttention(nn.Module):
    """Attention whose scores add q . e(distance), with one learned vector per clamped distance (Shaw et al., 2018).

    Distances (key position - query position) are clamped to [-left_max, right_max], so all that is ever needed of the
    position scores is q E^T over left_max + right_max + 1 distinct distances; they are gathered into a bias for one
    block of queries at a time.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads; the head size is hidden_size // num_heads.
        left_max: distances further to the left share one vector (64 in w2v-BERT 2.0).
        right_max: distances further to the right share one vector (8 in w2v-BERT 2.0).
        dropout: probability of dropping an attention weight in training.
    """

    def __init__(self, hidden_size: int, num_heads: int, left_max: int, right_max: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.head_dim = hidden_size // num_heads
        self.left_max = left_max
        self.right_max = right_max
        self.dropout = dropout
        self.linear_q = Linear(hidden_size, hidden_size)
        self.linear_k = Linear(hidden_size, hidden_size)
        self.linear_v = Linear(hidden_size, hidden_size)
        self.linear_out = Linear(hidden_size, hidden_size)
        self.distance_embedding = nn.Embedding(left_max + right_max + 1, self.head_dim)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Attend over `x` of shape (batch, time, hidden_size); `lengths` counts valid steps, shape (batch,)."""
        batch, time, _ = x.shape
        # (batch, time, heads * head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.linear_q, self.linear_k, self.linear_v)
        )
        past_end = None if lengths is None else ~valid_steps(lengths, time)[:, None, None]
        dropout = self.dropout if self.training else 0.0
        blocks = []
        for start, end in query_blocks(time, batch * q.shape[1] * time):
            queries = q[:, :, start:end]
            bias = self._position_scores(queries, start, time)
            if past_end is not None:
                bias = bias.masked_fill(past_end, -torch.inf)
            blocks.append(F.scaled_dot_product_attention(queries, k, v, attn_mask=bias, dropout_p=dropout))
        y = blocks[0] if len(blocks) == 1 else torch.cat(blocks, 2)
        return self.linear_out(y.transpose(1, 2).flatten(2))

    def _position_scores(self, queries: Tensor, start: int, num_keys: int) -> Tensor:
        """Scaled q . e(key - query) for queries of shape (batch, heads, block, head_dim) beginning at step `start`."""
        by_distance = queries * self.head_dim**-0.5 @ self.distance_embedding.weight.to(queries.dtype).T
        query = torch.arange(start, start + queries.shape[2], device=queries.device)[:, None]
        key = torch.arange(num_keys, device=queries.device)
        distance = (key - query).clamp(-self.left_max, self.right_max) + self.left_max
        return by_distance.gather(-1, distance.expand(*queries.shape[:2], -1, -1))
