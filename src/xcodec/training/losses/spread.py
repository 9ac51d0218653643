"""What keeps a quantizer's inputs where its codes are."""

import torch
from torch import Tensor

__all__ = ["spread_loss"]


def spread_loss(projected: Tensor) -> Tensor:
    """Measure how far the quantizer's inputs are from zero mean, unit variance and no correlation between dimensions.

    Rounding passes gradients straight through, so nothing else calls latents back once they have drifted to where all
    of them round to the same code.

    Args:
        projected: (clips, codes, dimensions), before bounding.

    Returns:
        the mean square of the means, plus the mean square of (covariance - identity).
    """
    points = projected.flatten(0, 1)
    mean = points.mean(0)
    centred = points - mean
    covariance = centred.T @ centred / len(points)
    identity = torch.eye(len(mean), device=projected.device)
    return mean.square().mean() + (covariance - identity).square().mean()
