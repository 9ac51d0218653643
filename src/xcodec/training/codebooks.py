"""Residual vector quantization in training: gradients straight through, codebooks that follow what they quantize.

Code vectors are running averages of the latents that chose them (van den Oord et al., 2017). They begin as the k-means
of the first batch, and one that is hardly ever chosen is moved to a latent of the batch (SoundStream, Zeghidour et al.,
2021; EnCodec, Defossez et al., 2022), as X-Codec v1 does.
"""

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from xcodec.quantizers.rvq import Codebook, ResidualVectorQuantizer

__all__ = ["Quantized", "of_first_process", "quantize_and_learn"]

DECAY = 0.99
DEAD_BELOW = 2.0  # latents of a batch, on average, that choose a code vector
DEAD_SHARE = 0.2  # of what each would have if all had the same, which in small batches is less
SMOOTHING = 1e-5
KMEANS_ROUNDS = 50


class Quantized(NamedTuple):
    """What quantizing makes in training.

    Attributes:
        latents: quantized, float32 (clips, codes, dim); their gradient is the latents' own.
        first: likewise, as the first codebook alone has them.
        commitment: the mean square distance of what each codebook quantizes from the code vectors it chooses.
    """

    latents: Tensor
    first: Tensor
    commitment: Tensor


def quantize_and_learn(
    quantizer: ResidualVectorQuantizer, latents: Tensor, num_quantizers: int, learns: bool
) -> Quantized:
    """Quantize with the first so many codebooks.

    Args:
        quantizer: its codebooks are changed if they learn.
        latents: (clips, codes, dim).
        num_quantizers: codebooks to use.
        learns: whether the codebooks follow the latents.
    """
    with torch.autocast(latents.device.type, enabled=False):
        latents = latents.float()
        residual = latents
        distances, vectors = [], []
        for codebook in quantizer.codebooks[:num_quantizers]:
            if learns:
                _begin(codebook, residual.detach().flatten(0, -2))
            with torch.no_grad():
                codes = codebook.encode(residual)
                chosen = codebook.decode(codes)
            if learns:
                _follow(codebook, residual.detach().flatten(0, -2), codes.flatten())
            distances.append(F.mse_loss(residual, chosen))
            vectors.append(chosen)
            residual = residual - chosen
        whole, first = (latents + (x - latents).detach() for x in (latents - residual, vectors[0]))
    return Quantized(whole, first, torch.stack(distances).mean())


@torch.no_grad()
def _begin(codebook: Codebook, points: Tensor) -> None:
    """Lay the code vectors among `points` (latents, dim), once."""
    if bool(codebook.inited):
        return
    size = len(codebook.embed)
    centres = _drawn(points, size)
    for _ in range(KMEANS_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(-1)
        counts, sums = _gathered(nearest, points, size)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
    codebook.embed.copy_(centres)
    codebook.embed_avg.copy_(centres)
    codebook.cluster_size.fill_(1.0)
    codebook.inited.fill_(1.0)


@torch.no_grad()
def _follow(codebook: Codebook, points: Tensor, codes: Tensor) -> None:
    """Move the code vectors towards the `points` (latents, dim) that chose them, in all processes alike."""
    size = len(codebook.embed)
    counts, sums = _gathered(codes, points, size)
    fewest = min(DEAD_BELOW, DEAD_SHARE * float(counts.sum()) / size)
    dead = codebook.cluster_size < fewest
    codebook.cluster_size.lerp_(counts, 1 - DECAY)
    codebook.embed_avg.lerp_(sums, 1 - DECAY)
    total = codebook.cluster_size.sum()
    smoothed = (codebook.cluster_size + SMOOTHING) / (total + size * SMOOTHING) * total
    codebook.embed.copy_(codebook.embed_avg / smoothed[:, None])
    if bool(dead.any()):
        moved = _drawn(points, size)[dead]
        codebook.embed[dead] = moved
        codebook.embed_avg[dead] = moved * fewest
        codebook.cluster_size[dead] = fewest


def _gathered(codes: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Count how many points chose each code, (size,), and add them up, (size, dim), over all processes."""
    counts = torch.bincount(codes, minlength=size).to(points.dtype)
    sums = points.new_zeros(size, points.shape[1]).index_add_(0, codes, points)
    if dist.is_initialized():
        dist.all_reduce(counts)
        dist.all_reduce(sums)
    return counts, sums


def _drawn(points: Tensor, count: int) -> Tensor:
    """Draw so many of the first process's points, with replacement only where there are too few."""
    order = torch.randperm(len(points), device=points.device) if len(points) >= count else None
    drawn = points[torch.randint(len(points), (count,), device=points.device) if order is None else order[:count]]
    return of_first_process(drawn)


def of_first_process(tensor: Tensor) -> Tensor:
    """Give all processes the tensor of the first one; they have to ask for it alike."""
    if dist.is_initialized():
        tensor = tensor.contiguous()
        dist.broadcast(tensor, 0)
    return tensor
