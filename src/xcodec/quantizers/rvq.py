"""Residual vector quantization (SoundStream, Zeghidour et al., 2021): a codebook quantizes what those before it left.

The first k codebooks of a stream are a stream of lower bitrate, so a bandwidth can be lowered after encoding.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.linear import linear

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
    """One stage; a level of its own in the checkpoints' names."""

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.codebook = Codebook(codebook_size, dim)


class ResidualVectorQuantizer(nn.Module):
    """A chain of codebooks.

    Args:
        dim: width of the latents.
        codebook_size: codes of each codebook.
        num_quantizers: number of codebooks.
    """

    def __init__(self, dim: int, codebook_size: int, num_quantizers: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.quantizers = nn.ModuleList(VectorQuantizer(codebook_size, dim) for _ in range(num_quantizers))

    @property
    def codebooks(self) -> list[Codebook]:
        """The codebooks in order."""
        return [cast(VectorQuantizer, quantizer).codebook for quantizer in self.quantizers]

    def encode(self, x: Tensor, num_quantizers: int | None = None) -> Tensor:
        """Quantize, in float32 whatever the dtype.

        Args:
            x: latents, shape (batch, time, dim).
            num_quantizers: codebooks to use, the first so many; None means all.

        Returns:
            Codes, int64, shape (batch, num_quantizers, time).
        """
        codes = []
        with torch.autocast(x.device.type, enabled=False):
            residual = x.float()
            for codebook in self.codebooks[:num_quantizers]:
                codes.append(codebook.encode(residual))
                residual = residual - codebook.decode(codes[-1])
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Add up code vectors.

        Args:
            codes: integers in [0, codebook_size), shape (batch, k, time), of the first k codebooks.

        Returns:
            Latents, float32, shape (batch, time, dim).
        """
        first, *others = self.codebooks
        latents = first.decode(codes[:, 0])
        for codebook, ids in zip(others, codes.unbind(1)[1:], strict=False):
            latents = latents + codebook.decode(ids)
        return latents
