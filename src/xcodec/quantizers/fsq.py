"""Finite scalar quantization (Mentzer et al., 2023): every latent dimension is rounded to a few levels.

A code is a number whose digits, in mixed radix and least significant first, are the level indices of the dimensions.
"""

import math

import torch
from torch import Tensor, nn

from xcodec.modules.autocast import without_autocast
from xcodec.modules.linear import Linear

__all__ = ["FSQ"]


class FSQ(nn.Module):
    """Project to one dimension per entry of `levels`, bound, round; and back.

    Args:
        dim: width of the latents before and after.
        levels: number of levels of each dimension; the codebook holds their product.
        encodes: whether it can quantize, and not only `decode`.
    """

    def __init__(self, dim: int, levels: tuple[int, ...], encodes: bool = True) -> None:
        super().__init__()
        self.levels = tuple(levels)
        if encodes:
            self.project_in = Linear(dim, len(levels))
        self.project_out = Linear(len(levels), dim)

    @property
    def codebook_size(self) -> int:
        """Number of different codes."""
        return math.prod(self.levels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize.

        Args:
            x: shape (batch, time, dim).

        Returns:
            The quantized latents (batch, time, dim) in the dtype of `x`, with straight-through gradients, and the codes
            (batch, time), int64.
        """
        return self.round(self.project(x), x.dtype)

    def project(self, x: Tensor) -> Tensor:
        """Project latents (batch, time, dim) to the dimensions that are rounded: (batch, time, number of levels)."""
        with without_autocast(x):
            projected: Tensor = self.project_in(x.to(self.project_in.weight.dtype))
        return projected

    def round(self, projected: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Bound and round what `project` gives.

        Args:
            projected: shape (batch, time, number of levels).
            dtype: of the quantized latents.

        Returns:
            As `forward`.
        """
        with without_autocast(projected):
            bounded = self.bound(self.bound(projected.float()))
            rounded = bounded.round()
            half = self._level_tensor(projected.device) // 2
            codes = ((rounded.long() + half) * self._basis(projected.device)).sum(-1)
            grid = (bounded + (rounded - bounded).detach()) / half
        return self.project_out(grid.to(dtype)), codes

    def decode(self, codes: Tensor) -> Tensor:
        """Look up codes: (batch, time), integers in [0, codebook_size) -> latents (batch, time, dim)."""
        half = self._level_tensor(codes.device) // 2
        grid = (self.digits(codes) - half) / half
        return self.project_out(grid.to(self.project_out.weight.dtype))

    def digits(self, codes: Tensor) -> Tensor:
        """Return the level index of every dimension: (...) -> (..., number of levels), int64."""
        return codes.long()[..., None] // self._basis(codes.device) % self._level_tensor(codes.device)

    def bound(self, z: Tensor, eps: float = 1e-3) -> Tensor:
        """Squash `z` (..., number of levels), float32, so that rounding gives one of each dimension's levels.

        X-Codec2 applies this twice (its quantizer bounds an input that was bounded already); checkpoints depend on it.
        """
        levels = self._level_tensor(z.device)
        half_range = (levels - 1) * (1 + eps) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        return (z + (offset / half_range).atanh()).tanh() * half_range - offset

    def _level_tensor(self, device: torch.device) -> Tensor:
        return torch.tensor(self.levels, device=device)

    def _basis(self, device: torch.device) -> Tensor:
        return torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=device)
