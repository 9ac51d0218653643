"""Self-attention over time: plain, for the decoder, and with relative keys, for Wav2Vec2-BERT.

On the CPU the native kernel computes it without a (time, time) matrix. Elsewhere queries can be taken a block at a
time, so that no such matrix is held for longer than one block.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec import kernels
from xcodec.modules.autocast import precise_on_cpu
from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear, linear

__all__ = ["BlockwiseAttention", "DistanceBias", "RelativeKeySelfAttention", "SelfAttention"]

MOST_PRODUCTS = 1 << 34  # in a block of long clips: about a second, after which progress is told
LEAST_QUERIES = 1024  # all the same
MAX_QUERIES = 512  # in a block that has a mask of its own: more makes nothing faster


@dataclass(frozen=True)
class DistanceBias:
    """What a block of queries adds to its scores by distance, the key's step less the query's.

    Attributes:
        table: the bias of each distance from -left up, shape (batch or 1, block or 1, heads, distances); those beyond
            either end share its entry.
        left: the furthest distance to the left.
        gates: what each query multiplies its biases with, shape (batch, block, heads); None is 1.
    """

    table: Tensor
    left: int
    gates: Tensor | None = None

    def scores(self, start: int, num_queries: int, num_keys: int) -> Tensor:
        """Compute the bias of queries from step `start` on and all keys: (batch or 1, heads, num_queries, num_keys)."""
        left, right = self.left, self.table.shape[3] - 1 - self.left
        by_distance = self.table.transpose(1, 2).expand(-1, -1, num_queries, -1)
        # Only keys near the block have several distances; those to the left of them all have one, to the right another.
        near = slice(max(0, start - left), min(num_keys, start + num_queries + right))
        query = torch.arange(start, start + num_queries, device=by_distance.device)[:, None]
        key = torch.arange(near.start, near.stop, device=by_distance.device)
        distance = (key - query).clamp(-left, right) + left
        scores = by_distance.gather(-1, distance.expand(*by_distance.shape[:2], -1, -1))
        if near != slice(0, num_keys):
            near_scores, scores = scores, by_distance.new_empty(*by_distance.shape[:3], num_keys)
            scores[..., : near.start] = by_distance[..., :1]
            scores[..., near] = near_scores
            scores[..., near.stop :] = by_distance[..., -1:]
        return scores if self.gates is None else scores * self.gates.transpose(1, 2)[..., None]


class BlockwiseAttention(nn.Module, ABC):
    """Self-attention whose queries may come a block at a time.

    A kind of attention is the names of its projections, which are its checkpoints', and what it adds to the scores by
    distance.

    Args:
        head_dim: width of a head.
        dropout: probability of dropping an attention weight in training.
        grouped: whether several queries share a key.
        max_queries: most queries in a block that has a mask; None leaves it to memory alone.

    Attributes:
        window: how many keys a query sees at most, its own the last of them; None where it sees all.
    """

    window: int | None = None

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
        """The linear maps of queries, keys, values and output."""

    def distance_bias(self, x: Tensor, queries: Tensor, biases: Tensor | None) -> DistanceBias | None:  # noqa: ARG002
        """Return what is added to the scores of a block of queries by distance: nothing, unless a kind says otherwise.

        Args:
            x: the steps that the queries were made of, shape (batch, block, hidden_size).
            queries: shape (batch, block, heads, head_dim).
            biases: as given to `forward`.
        """
        return None

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        biases: Tensor | None = None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Attend over `x` of shape (batch, time, hidden_size).

        Args:
            x: the input.
            lengths: valid steps of each clip, shape (batch,).
            biases: what all layers add to their scores by distance, in the kinds that have such.
            rotation: by what `xcodec.modules.rotary` turns each step, in the kinds that do, (batch or 1, time,
                head_dim).
        """
        k, v = self.keys_and_values(x, rotation)
        return self.attend(x, 0, k, v, lengths, biases, rotation)

    def queries(self, x: Tensor, rotation: Tensor | None) -> Tensor:  # noqa: ARG002
        """Project steps `x` of shape (batch, time, hidden_size): (batch, time, heads, head_dim)."""
        queries: Tensor = self.projections[0](x)
        return queries.unflatten(-1, (-1, self.head_dim))

    def keys_and_values(self, x: Tensor, rotation: Tensor | None = None) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Project steps `x` of shape (batch, time, hidden_size): (batch, time, heads * head_dim) each."""
        _, project_k, project_v, _ = self.projections
        return project_k(x), project_v(x)

    def query_width(self, x: Tensor, k: Tensor) -> tuple[int, int | None]:
        """Compute how many numbers a query of `x` has in the widest tensor, and how many queries a block is to have.

        With the kernel that is the query itself; without, its scores over all keys, and as many biases or masks.
        """
        if self._is_native(x, k):
            return max(x.shape[2], k.shape[2]), max(LEAST_QUERIES, MOST_PRODUCTS // k.numel())
        return -(-k.shape[1] * (k.shape[2] // self.head_dim) // 3), self.max_queries  # two of six tensors

    def _is_native(self, *tensors: Tensor) -> bool:
        """Tell whether the kernel serves: on the CPU, where no gradient is asked for and no weight is dropped."""
        if not kernels.serves(tensors[0]) or (self.training and self.dropout > 0):
            return False
        return not (torch.is_grad_enabled() and any(x.requires_grad for x in (*tensors, *self.parameters())))

    def attend(
        self,
        x: Tensor,
        start: int | Tensor,
        k: Tensor,
        v: Tensor,
        lengths: Tensor | None,
        biases: Tensor | None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Attend from a block of steps.

        Args:
            x: the block, (batch, block, hidden_size).
            start: which key is that of its first step: integers (batch,) where the clips' keys are not equally many.
            k: keys (batch, keys, heads * head_dim), as `keys_and_values` gives them.
            v: values likewise.
            lengths: valid keys of each clip, shape (batch,).
            biases: as for `forward`.
            rotation: of the block's steps, as for `forward`.

        Returns:
            The shape of `x`.
        """
        q = self.queries(x, rotation)
        # (batch, keys, heads * head_dim) -> (batch, keys, heads, head_dim)
        k, v = (each.unflatten(-1, (-1, self.head_dim)) for each in (k, v))
        attended: Tensor = self.projections[3](self.weighted(x, q, k, v, start, lengths, biases).flatten(2))
        return attended

    def attend_apart(
        self, x: Tensor, keys: Sequence[Tensor], biases: Tensor | None, rotation: Tensor | None = None
    ) -> Tensor:
        """Attend from the last steps of several clips, each of which has as many keys as it has.

        It is what `attend` gives each clip alone, to the bit on a CPU; what projects steps takes all clips at once.

        Args:
            x: the steps, (batch, block, hidden_size).
            keys: of each clip keys and values, (2, keys, heads * head_dim), those of its block the last.
            biases: as for `forward`.
            rotation: of the block's steps, as for `forward`.

        Returns:
            The shape of `x`.
        """
        q, weighted = self.queries(x, rotation), []
        for j, own in enumerate(keys):
            k, v = own.unflatten(-1, (-1, self.head_dim)).split(1)
            weighted.append(self.weighted(x[j : j + 1], q[j : j + 1], k, v, own.shape[1] - x.shape[1], None, biases))
        attended: Tensor = self.projections[3](torch.cat(weighted).flatten(2))
        return attended

    def weighted(
        self,
        x: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        start: int | Tensor,
        lengths: Tensor | None,
        biases: Tensor | None,
    ) -> Tensor:
        """Give the values (batch, keys, heads, head_dim) as each of `q`, (batch, block, heads, head_dim), weighs them.

        The other arguments are those of `attend`.
        """
        bias = self.distance_bias(x, q, biases)
        first = start if isinstance(start, int) else 0  # which matters to biases alone, and these have no streams
        if self._is_native(q, k, v, *(() if biases is None else (biases,))):
            table, gates, left = (None, None, 0) if bias is None else (bias.table.float(), bias.gates, bias.left)
            gates = None if gates is None else gates.float()
            return kernels.attention(q, k, v, table, gates, left, first, lengths)
        mask = None if lengths is None else valid_steps(lengths, k.shape[1])[:, None, None]
        if bias is not None:
            scores = bias.scores(first, x.shape[1], k.shape[1])
            mask = (scores if mask is None else scores.masked_fill_(~mask, -torch.inf)).to(q.dtype)
        return self.softmax_weighted(q, k, v, mask)

    def softmax_weighted(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """`weighted` by torch, with a mask or scores to add, (batch or 1, heads or 1, queries or 1, keys)."""
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and torch.is_autocast_enabled("cpu"):  # in bfloat16 it is slower, backward above all
            q, k, v = q.float(), k.float(), v.float()
            mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        with precise_on_cpu(q):
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=is_causal, enable_gqa=self.grouped
            )
        return y.transpose(1, 2)


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
        """The linear maps of queries, keys, values and output."""
        return self.q_proj, self.k_proj, self.v_proj, self.o_proj


class RelativeKeySelfAttention(BlockwiseAttention):
    """Attention whose scores add q . e(distance), with one learned vector per clamped distance (Shaw et al., 2018).

    Distances (key position - query position) are clamped to [-left_max, right_max], so all that is ever needed of the
    position scores is q E^T over left_max + right_max + 1 distinct distances.

    Args:
        hidden_size: width of the input and output.
        num_heads: number of heads; the head size is hidden_size // num_heads.
        left_max: distances further to the left share one vector (64 in w2v-BERT 2.0).
        right_max: distances further to the right share one vector (8 in w2v-BERT 2.0).
        dropout: probability of dropping an attention weight, and likewise what comes out, in training.
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
        self.output_dropout = nn.Dropout(dropout)

    @property
    def projections(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The linear maps of queries, keys, values and output."""
        return self.linear_q, self.linear_k, self.linear_v, self.linear_out

    def distance_bias(self, x: Tensor, queries: Tensor, biases: Tensor | None) -> DistanceBias:  # noqa: ARG002
        """Scaled q . e(distance)."""
        vectors = self.distance_embedding.weight * self.head_dim**-0.5
        return DistanceBias(linear(queries, vectors.to(queries.dtype)), self.left_max)

    def attend(
        self,
        x: Tensor,
        start: int | Tensor,
        k: Tensor,
        v: Tensor,
        lengths: Tensor | None,
        biases: Tensor | None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """`BlockwiseAttention.attend`."""
        return self.output_dropout(super().attend(x, start, k, v, lengths, biases, rotation))
