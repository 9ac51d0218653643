"""Least-squares adversarial losses (Mao et al., 2017) and feature matching (Larsen et al., 2016)."""

import torch
from torch import Tensor

from xcodec.training.discriminators.feature_maps import FeatureMaps

__all__ = ["adversarial_loss", "discriminator_loss", "feature_matching_loss"]


def discriminator_loss(real: FeatureMaps, fake: FeatureMaps) -> Tensor:
    """Measure how far scores are from 1 on recordings and from 0 on reconstructions: mean squares over all parts."""
    losses = [
        (1 - yes[-1].float()).square().mean() + no[-1].float().square().mean()
        for yes, no in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(fake: FeatureMaps) -> Tensor:
    """Measure how far the scores of reconstructions are from 1: mean squares, averaged over the parts."""
    return torch.stack([(1 - part[-1].float()).square().mean() for part in fake]).mean()


def feature_matching_loss(real: FeatureMaps, fake: FeatureMaps) -> Tensor:
    """Compute the mean absolute difference of the layers before the scores, averaged over layers and parts."""
    distances = [
        (wanted.detach().float() - given.float()).abs().mean()
        for one, other in zip(real, fake, strict=True)
        for wanted, given in zip(one[:-1], other[:-1], strict=True)
    ]
    return torch.stack(distances).mean()
