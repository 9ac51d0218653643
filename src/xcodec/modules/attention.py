"""Self-attention over time: plain, for the decoder, and with relative keys, for Wav2Vec2-BERT.

Queries can be taken a block at a time, so that no (time, time) matrix is held for longer than one block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear
from xcodec.modules.tiles import Tile, join, steps_within, tiled, tiles

__all__ = ["BlockwiseAttention", "RelativeKeySelfAttention", "SelfAttention"]

MASK_BYTES = 1 << 27  # of one block where gradients are taken
MAX_QUERIES = 512  # in a block that has a mask of its own: more makes nothing faster


class BlockwiseAttention(nn.Module, ABC):
    """Self-attention that takes its queries a block at a time.

    A kind of attention is the names of its projections, which are its checkpoints', and the mask that it adds to the
    scores.

    Args:
        head_dim: width of a head.
        dropout: probability of dropping an attention weight in training.
        grouped: whether several queries share a key.
        max_queries: most queries in a block; None leaves it to memory alone.
    """

    def __init__(
        self, head_dim: int, dropout: float = 0.0, grouped: bool = False, max_queries: int | None = None
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.dropout = dropout
        self.grouped = grouped
        self.max_queries = max_queries

    @property
    @abstractmethod
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """Of queries, keys, values and output."""

    @abstractmethod
    def mask(
        self, x: Tensor, queries: Tensor, start: int, num_keys: int, lengths: Tensor | None, biases: Tensor | None
    ) -> Tensor | None:
        """What is added to the scores of a block of queries (or False where there is no attention).

        Args:
            x: the steps that the queries were made of, shape (batch, block, hidden_size).
            queries: shape (batch, heads, block, head_dim).
            start: the block's first step.
            num_keys: steps in all.
            lengths: valid steps of each clip, shape (batch,).
            biases: as given to `forward`.

        Returns:
            What broadcasts to (batch, heads, block, num_keys); None where nothing is added.
        """

    def forward(self, x: Tensor, lengths: Tensor | None = None, biases: Tensor | None = None) -> Tensor:
        """Attend over `x` of shape (batch, time, hidden_size).

        Args:
            x: the input.
            lengths: valid steps of each clip, shape (batch,).
            biases: what all layers add to their scores by distance, in the kinds that have such.
        """
        _, project_k, project_v, _ = self.projections
        k, v = project_k(x), project_v(x)
        blocks = [
            self._attend(x[:, block.wanted], block.start, k, v, lengths, biases)
            for block in self._blocks(k, MASK_BYTES)
        ]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1)

    def in_blocks(
        self,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        lengths: Tensor | None,
        max_bytes: int,
        biases: Tensor | None = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Attend over norm(x) a block of steps at a time; once a block has come, its steps of `x` may be overwritten.

        Args:
            x: shape (batch, time, hidden_size).
            norm: what every step passes first.
            lengths: as for `forward`.
            max_bytes: what a block's intermediate results may come to.
            biases: as for `forward`.

        Yields:
            A block's steps, and their output of shape (batch, block, hidden_size).
        """
        _, project_k, project_v, _ = self.projections
        batch, time, width = x.shape
        rows = list(tiles(time, steps_within(max_bytes, 6 * batch * width * x.element_size())))
        k, v = (join((project(norm(x[:, tile.wanted])) for tile in rows), time) for project in (project_k, project_v))
        for block in self._blocks(k, max_bytes):
            own = norm(x[:, block.wanted])
            yield block.wanted, self._attend(own, block.start, k, v, lengths, biases)

    def _blocks(self, k: Tensor, max_bytes: int) -> Iterator[Tile]:
        """Blocks of queries whose scores by themselves, and a mask as large, take so many bytes; one in a graph."""
        batch, time, width = k.shape
        if not tiled(max_bytes):
            return iter([Tile(0, time, 0, time)])
        size = steps_within(max_bytes, 2 * batch * (width // self.head_dim) * time * k.element_size())
        return tiles(time, min(size, self.max_queries or size))

    def _attend(
        self, x: Tensor, start: int, k: Tensor, v: Tensor, lengths: Tensor | None, biases: Tensor | None
    ) -> Tensor:
        """(batch, block, hidden_size) -> the same, by keys and values of shape (batch, time, heads * head_dim)."""
        project_q, _, _, project_out = self.projections
        # (batch, time, heads * head_dim) -> (batch, heads, time, head_dim)
        q, k, v = (each.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for each in (project_q(x), k, v))
        mask = self.mask(x, q, start, k.shape[2], lengths, biases)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, enable_gqa=self.grouped)
        return project_out(y.transpose(1, 2).flatten(2))


class SelfAttention(BlockwiseAttention):
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
        super().__init__(head_dim, dropout, grouped=num_key_value_heads != num_heads)
        self.q_proj = Linear(hidden_size, num_heads * head_dim, bias=bias)
        self.k_proj = Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.v_proj = Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.o_proj = Linear(num_heads * head_dim, hidden_size, bias=bias)

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """Of queries, keys, values and output."""
        return self.q_proj, self.k_proj, self.v_proj, self.o_proj

    def mask(
        self,
        x: Tensor,  # noqa: ARG002
        queries: Tensor,  # noqa: ARG002
        start: int,  # noqa: ARG002
        num_keys: int,
        lengths: Tensor | None,
        biases: Tensor | None,  # noqa: ARG002
    ) -> Tensor | None:
        """True on valid steps: (batch, 1, 1, num_keys)."""
        return None if lengths is None else valid_steps(lengths, num_keys)[:, None, None]


class RelativeKeySelfAttention(BlockwiseAttention):
    """Attention whose scores add q . e(distance), with one learned vector per clamped distance (Shaw et al., 2018).

    Distances (key position - query position) are clamped to [-left_max, right_max], so all that is ever needed of the
    position scores is q E^T over left_max + right_max + 1 distinct distances; they are laid out as the mask of one
    block of queries at a time.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads; the head size is hidden_size // num_heads.
        left_max: distances further to the left share one vector (64 in w2v-BERT 2.0).
        right_max: distances further to the right share one vector (8 in w2v-BERT 2.0).
        dropout: probability of dropping an attention weight in training.
    """

    def __init__(self, hidden_size: int, num_heads: int, left_max: int, right_max: int, dropout: float = 0.0) -> None:
        super().__init__(hidden_size // num_heads, dropout, max_queries=MAX_QUERIES)
        self.left_max = left_max
        self.right_max = right_max
        self.linear_q = Linear(hidden_size, hidden_size)
        self.linear_k = Linear(hidden_size, hidden_size)
        self.linear_v = Linear(hidden_size, hidden_size)
        self.linear_out = Linear(hidden_size, hidden_size)
        self.distance_embedding = nn.Embedding(left_max + right_max + 1, self.head_dim)

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """Of queries, keys, values and output."""
        return self.linear_q, self.linear_k, self.linear_v, self.linear_out

    def mask(
        self,
        x: Tensor,  # noqa: ARG002
        queries: Tensor,
        start: int,
        num_keys: int,
        lengths: Tensor | None,
        biases: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """Scaled q . e(key - query), and minus infinity past each clip's end: (batch, heads, block, num_keys)."""
        by_distance = queries * self.head_dim**-0.5 @ self.distance_embedding.weight.to(queries.dtype).T
        num_queries = queries.shape[2]
        # Only keys near the block have several distances; those to the left of them all have one, to the right another.
        near = slice(max(0, start - self.left_max), min(num_keys, start + num_queries + self.right_max))
        query = torch.arange(start, start + num_queries, device=queries.device)[:, None]
        key = torch.arange(near.start, near.stop, device=queries.device)
        distance = (key - query).clamp(-self.left_max, self.right_max) + self.left_max
        scores = by_distance.gather(-1, distance.expand(*queries.shape[:2], -1, -1))
        if near != slice(0, num_keys):
            near_scores, scores = scores, by_distance.new_empty(*queries.shape[:3], num_keys)
            scores[..., : near.start] = by_distance[..., :1]
            scores[..., near] = near_scores
            scores[..., near.stop :] = by_distance[..., -1:]
        if lengths is None:
            return scores
        return scores.masked_fill_(~valid_steps(lengths, num_keys)[:, None, None], -torch.inf)
