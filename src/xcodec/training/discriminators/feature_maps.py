"""What a discriminator returns."""

from typing import TypeAlias

from torch import Tensor

__all__ = ["FeatureMaps"]

FeatureMaps: TypeAlias = list[list[Tensor]]
"""Of each part of a discriminator: the outputs of its layers, the last of which are the scores (1: real, 0: not)."""
