"""Rotary positions (Su et al., 2021): queries and keys are turned by their steps, so that scores know the distance."""

import torch
from torch import Tensor

__all__ = ["rotate", "rotations"]


def rotations(positions: Tensor, head_dim: int, base: float) -> Tensor:
    """Compute by what queries and keys are turned.

    Args:
        positions: of the steps, integers of any shape.
        head_dim: width of a head, even: pairs of its numbers are turned, each pair slower than the one before.
        base: the last pair turns about so many times slower than the first.

    Returns:
        float32 (..., head_dim): the cosines, then the sines, of the pairs.
    """
    # In float64: the angles of the steps of an hour are too large for float32 to tell their place in a turn.
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device)
    angles = positions[..., None] * base ** (-pairs / head_dim)
    return torch.cat([angles.cos(), angles.sin()], -1).float()


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """Turn heads.

    Args:
        x: shape (batch, time, heads, head_dim); of each head the first half goes with the second, number by number.
        by: as `rotations` gives it, (batch or 1, time, head_dim).

    Returns:
        The shape and dtype of `x`.
    """
    cosines, sines = by[:, :, None].chunk(2, -1)
    first, second = x.float().chunk(2, -1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1).to(x.dtype)
