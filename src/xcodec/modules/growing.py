"""Sequences that grow at their end, in memory that has room for what comes."""

from torch import Tensor

__all__ = ["extended"]


def extended(known: Tensor | None, new: Tensor) -> Tensor:
    """Put steps behind others, in the same memory where there is room.

    So what is known is copied once in a while, and not for every few steps that come. What lay behind `known`, such as
    steps that were looked ahead at, is written over; `known` itself stays.

    Args:
        known: what an earlier call gave, or its steps from one to another: (2, steps, width). None is no steps.
        new: shape (2, steps, width).

    Returns:
        Both, (2, steps, width).
    """
    if known is None:
        return new.clone()
    num_known, num_new, width = known.shape[1], new.shape[1], known.shape[2]
    total, capacity = num_known + num_new, known.stride(0) // width
    first = known.storage_offset() // width % capacity
    if first + total > capacity:
        room = known.new_empty(2, total + max(total // 2, num_new), width)
        room[:, :num_known] = known
        whole = room[:, :total]
    else:
        whole = known.as_strided((2, total, width), known.stride(), known.storage_offset())
    whole[:, num_known:] = new
    return whole
