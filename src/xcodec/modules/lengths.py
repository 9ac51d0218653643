"""Clips of several lengths in one batch: what lies past a clip's end is as if it did not exist.

Every block that mixes time takes `lengths`, an integer tensor of shape (batch,) with the number of valid steps of each
clip at the block's own rate, or None where every step is valid. Before it mixes, it writes past each end what a clip
alone would see there: zeros (a zero-padded convolution) or the last valid step (a replicating filter).
"""

import torch
from torch import Tensor

__all__ = ["replicate_past_end", "valid_steps", "zero_past_end"]


def valid_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """Mark the steps that belong to each clip.

    Args:
        lengths: valid steps of each clip, integer, shape (batch,).
        num_steps: the length of the padded batch.

    Returns:
        A bool tensor of shape (batch, num_steps), True on valid steps.
    """
    return torch.arange(num_steps, device=lengths.device) < lengths.unsqueeze(1)


def zero_past_end(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Put zeros past each clip's end in `x` of shape (batch, channels, time)."""
    if lengths is None:
        return x
    # Not masked_fill: it would lay a channels-last tensor out anew.
    return torch.where(valid_steps(lengths, x.shape[-1]).unsqueeze(1), x, 0.0)


def replicate_past_end(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Repeat each clip's last valid step past its end in `x` of shape (batch, channels, time)."""
    if lengths is None:
        return x
    last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, x.shape[1], 1)
    return torch.where(valid_steps(lengths, x.shape[-1]).unsqueeze(1), x, x.gather(-1, last))
