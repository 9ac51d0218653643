"""The operator torch.ops.xcodec.attention over the native kernel: attention without a matrix of scores in memory."""

from typing import Any

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import DTYPES, call

__all__ = ["attention"]


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Tensor | None = None,
    gates: Tensor | None = None,
    left: int = 0,
    start: int = 0,
    lengths: Tensor | None = None,
) -> Tensor:
    """Compute softmax(q k^T / sqrt(head_dim) + biases) v over each clip's valid keys, in float32; without gradients.

    Numbers of bfloat16 are multiplied as such where the processor can, softmax weights too, and added up in float32.

    The bias of a key for a query is gates[query] * table[query, distance], where the distance, the key's step less the
    query's, is clamped to the table's ends.

    Args:
        q: float32 or bfloat16 (batch, queries, heads, head_dim), on the CPU.
        k: (batch, keys, key_heads, head_dim) of the same dtype; `heads` is a multiple of `key_heads`.
        v: like `k`.
        table: float32 (batch or 1, queries or 1, heads, distances), finite; None adds nothing.
        gates: float32 (batch, queries, heads); None is ones.
        left: the table's first entry is for the key so many steps to the left of a query.
        start: the step of the first query; that of the first key is 0.
        lengths: valid keys of each clip, integers (batch,); None where all are.

    Returns:
        The shape and dtype of `q`, contiguous; zeros where a clip has no valid key.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    return attention_operator(q, k, v, table, gates, left, start, lengths)


@torch.library.custom_op(
    "xcodec::attention",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor q, Tensor k, Tensor v, Tensor? table, Tensor? gates, SymInt left, SymInt start, Tensor? lengths)"
    " -> Tensor",
)
def attention_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Tensor | None,
    gates: Tensor | None,
    left: int,
    start: int,
    lengths: Tensor | None,
) -> Tensor:
    """`attention`, registered."""
    _check(q, k, v, table, gates, lengths)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    strides, distances = [0, 0, 0], 0
    if table is not None:
        table, distances = table.contiguous(), table.shape[3]
        strides = [0 if size == 1 else stride for size, stride in zip(table.shape, table.stride()[:3], strict=False)]
    gates = None if gates is None else gates.contiguous()
    lengths = None if lengths is None else lengths.long().contiguous()
    y = torch.empty_like(q)
    if y.numel() == 0:
        return y
    sizes = (*q.shape[:2], k.shape[1], q.shape[2], *k.shape[2:])
    is_bfloat16 = int(q.dtype == torch.bfloat16)
    call("xcodec_attention", is_bfloat16, q, k, v, y, table, gates, lengths, *sizes, start, left, distances, *strides)
    return y


def _check(q: Tensor, k: Tensor, v: Tensor, table: Tensor | None, gates: Tensor | None, lengths: Tensor | None) -> None:
    """Check what pointers cannot."""
    if q.ndim != 4 or q.dtype not in DTYPES:
        raise InputError(
            f"expected float32 or bfloat16 (batch, queries, heads, head_dim), got {q.dtype} {tuple(q.shape)}",
            argument="q",
        )
    batch, queries, heads, head_dim = q.shape
    keys, key_heads = k.shape[1:3] if k.ndim == 4 else (0, 0)
    if k.dtype != q.dtype or tuple(k.shape) != (batch, keys, key_heads, head_dim) or not key_heads or heads % key_heads:
        raise InputError(
            f"expected {q.dtype} ({batch}, keys, a divisor of {heads}, {head_dim}), got {k.dtype} {tuple(k.shape)}",
            argument="k",
        )
    if v.dtype != k.dtype or v.shape != k.shape:
        raise InputError(f"expected {k.dtype} {tuple(k.shape)} like k, got {v.dtype} {tuple(v.shape)}", argument="v")
    if table is not None:
        fits = table.ndim == 4 and table.shape[2] == heads and table.shape[3] > 0
        if (
            table.dtype != torch.float32
            or not fits
            or table.shape[0] not in (1, batch)
            or table.shape[1] not in (1, queries)
        ):
            raise InputError(
                f"expected float32 ({batch} or 1, {queries} or 1, {heads}, distances), got {table.dtype} "
                f"{tuple(table.shape)}",
                argument="table",
            )
    if gates is not None and (gates.dtype != torch.float32 or tuple(gates.shape) != (batch, queries, heads)):
        raise InputError(
            f"expected float32 ({batch}, {queries}, {heads}), got {gates.dtype} {tuple(gates.shape)}", argument="gates"
        )
    if lengths is not None and (tuple(lengths.shape) != (batch,) or lengths.is_floating_point()):
        raise InputError(
            f"expected integers ({batch},), got {lengths.dtype} {tuple(lengths.shape)}", argument="lengths"
        )


@attention_operator.register_fake
def _(q: Tensor, *_others: Any) -> Tensor:
    return torch.empty_like(q, memory_format=torch.contiguous_format)
