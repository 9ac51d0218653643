"""Convolutions that are to look ahead otherwise than those that their weights are of: taps find new places."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d, conv_reach

__all__ = ["taps_moved"]


def taps_moved(weights: Mapping[str, Tensor], theirs: nn.Module, ours: nn.Module) -> dict[str, Tensor]:
    """Give a model's weights as another one of its kind needs them, whose convolutions look ahead otherwise.

    Each step is then seen by the tap that saw it. Those that saw steps which are not seen any more are added to the
    nearest tap, since steps that follow one another are alike.

    Args:
        weights: of `theirs`, by name.
        theirs: the model.
        ours: the other one.
    """
    moved = dict(weights)
    for name, conv in ours.named_modules():
        weight = moved.get(f"{name}.weight")
        if isinstance(conv, MaskedConv1d) and weight is not None and weight.shape == conv.weight.shape:
            other = theirs.get_submodule(name)
            assert isinstance(other, MaskedConv1d), "where names and shapes are the same, so is the kind"
            steps = conv_reach(other)[1] - conv_reach(conv)[1]
            if steps and conv.stride == conv.dilation == other.dilation == (1,):
                moved[f"{name}.weight"] = later(weight, steps)
    return moved


def later(weight: Tensor, steps: int) -> Tensor:
    """Move the taps of a kernel (..., taps) towards its end, or by a negative number of steps to its beginning."""
    last = weight.shape[-1] - 1
    places = (torch.arange(last + 1, device=weight.device) + steps).clamp(0, last)
    return torch.zeros_like(weight).index_add_(-1, places, weight)
