"""Padding masks, as transformers' interface has them, become the lengths that every block takes."""

import torch
from torch import Tensor

from xcodec.errors import InputError

__all__ = ["mask_lengths", "none_if_all_full"]


def mask_lengths(mask: Tensor, batch: int, num_steps: int, name: str) -> Tensor:
    """Count the valid steps of a padding mask of shape (batch, steps) or (batch, 1, steps), padded on the right."""
    if mask.numel() != batch * num_steps or mask.shape[0] != batch or mask.ndim not in (2, 3):
        raise InputError(
            f"expected shape {(batch, num_steps)} or {(batch, 1, num_steps)}, got {tuple(mask.shape)}", argument=name
        )
    valid = mask.reshape(batch, num_steps) != 0
    if not torch.compiler.is_compiling() and bool((valid[:, 1:] & ~valid[:, :-1]).any() | ~valid[:, 0].all()):
        raise InputError(
            "expected ones, at least one, followed by zeros in every row (padding on the right)", argument=name
        )
    return valid.sum(-1).clamp(min=1)


def none_if_all_full(lengths: Tensor | None, num_steps: int) -> Tensor | None:
    """Give None where every clip fills the batch: single clips take the shortest way (a compiled graph cannot ask)."""
    if lengths is None or torch.compiler.is_compiling():
        return lengths
    return None if bool((lengths == num_steps).all()) else lengths
