"""Residual vector quantization (SoundStream, Zeghidour et al., 2021): a codebook quantizes what those before it left.

The first k codebooks of a stream are a stream of lower bitrate, so a bandwidth can be lowered after encoding.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.autocast import without_autocast
from xcodec.modules.linear import Linear, linear

__all__ = ["Codebook", "ResidualVectorQuantizer"]


class Codebook(nn.Module):
    """Code vectors, and the running averages by which training moves them.

    Only `embed` is used to encode and decode. The others have been kept by every checkpoint since EnCodec.

    Args:
        size: number of codes.
        dim: width of a code vector.
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed", torch.zeros(size, dim))
        self.register_buffer("embed_avg", torch.zeros(size, dim))

    def encode(self, x: Tensor) -> Tensor:
        """Find the nearest code vectors: float32 (..., dim) -> int64 (...).

        Of |x - e|^2 = |x|^2 - 2 x.e + |e|^2 the first term is the same for every code, so the nearest one has the
        largest x.e - |e|^2 / 2: one matrix product. All are taken relative to the mean code vector, which moves no
        distance and keeps the numbers small, so that fewer near ties fall to rounding.
        """
        embed = self.embed.float()
        centre = embed.mean(0)
        embed = embed - centre
        return linear(x - centre, embed, -0.5 * embed.square().sum(-1)).argmax(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Look up code vectors: integers (...) -> float32 (..., dim)."""
        return F.embedding(codes.long(), self.embed).float()


class VectorQuantizer(nn.Module):
    """One stage: a codebook and, where its vectors have another width than the latents, a projection to it and back.

    Args:
        codebook_size: number of codes.
        dim: width of the latents.
        codebook_dim: width of the code vectors.
    """

    def __init__(self, codebook_size: int, dim: int, codebook_dim: int) -> None:
        super().__init__()
        self.codebook = Codebook(codebook_size, codebook_dim)
        self.projects = codebook_dim != dim
        if self.projects:
            self.project_in = Linear(dim, codebook_dim)
            self.project_out = Linear(codebook_dim, dim)

    def encode(self, x: Tensor) -> Tensor:
        """Find the nearest codes: float32 (..., dim) -> int64 (...)."""
        return self.codebook.encode(projected(self.project_in, x) if self.projects else x)

    def decode(self, codes: Tensor) -> Tensor:
        """Look up codes: integers (...) -> float32 (..., dim)."""
        vectors = self.codebook.decode(codes)
        return projected(self.project_out, vectors) if self.projects else vectors


def projected(layer: Linear, x: Tensor) -> Tensor:
    """Project float32 `x`, in the dtype of the layer's weights, to float32."""
    y: Tensor = layer(x.to(layer.weight.dtype))
    return y.float()


class ResidualVectorQuantizer(nn.Module):
    """A chain of codebooks.

    Args:
        dim: width of the latents.
        codebook_size: codes of each codebook.
        num_quantizers: number of codebooks.
        codebook_dim: width of the code vectors; None means that of the latents.
    """

    def __init__(self, dim: int, codebook_size: int, num_quantizers: int, codebook_dim: int | None = None) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        width = dim if codebook_dim is None else codebook_dim
        self.quantizers = nn.ModuleList(VectorQuantizer(codebook_size, dim, width) for _ in range(num_quantizers))

    @property
    def stages(self) -> list[VectorQuantizer]:
        """The quantizers in order."""
        return [cast(VectorQuantizer, quantizer) for quantizer in self.quantizers]

    @property
    def codebooks(self) -> list[Codebook]:
        """The codebooks in order."""
        return [stage.codebook for stage in self.stages]

    def encode(self, x: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Quantize, in float32 whatever the dtype.

        Args:
            x: latents, shape (batch, time, dim).
            num_quantizers: codebooks to use, the first so many; None means all.

        Returns:
            Codes, int64, shape (batch, num_quantizers, time).
        """
        codes = []
        with without_autocast(x):
            residual = x.float()
            for stage in self.stages[:num_quantizers]:
                codes.append(stage.encode(residual))
                residual = residual - stage.decode(codes[-1])
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Add up code vectors.

        Args:
            codes: integers in [0, codebook_size), shape (batch, k, time), of the first k codebooks.

        Returns:
            Latents, float32, shape (batch, time, dim).
        """
        first, *others = self.stages
        latents = first.decode(codes[:, 0])
        for stage, ids in zip(others, codes.unbind(1)[1:], strict=False):
            latents = latents + stage.decode(ids)
        return latents
