"""How a codebook is used: how many of its codes, how evenly, and in each dimension of a finite scalar quantizer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CodeCounter", "CodebookUse", "corrected_entropy", "entropy"]


@dataclass(frozen=True)
class CodebookUse:
    """What the codes of all clips say about one codebook.

    Args:
        size: how many different codes there could be.
        codes: how many were seen.
        distinct: how many different ones.
        coverage: the share of speech like this whose codes were seen already (Good 1953): 1 minus the share of codes
            that were seen once. Where it is low, more recordings are needed to know the entropy.
        entropy: of the observed frequencies, in bits a code; at most log2 of `codes`, so too low for few codes.
        corrected_entropy: what it would be with endless recordings, in bits a code, by the coverage-adjusted estimator
            of Chao and Shen (2003). At few codes it has a wide error of its own.
        levels: the share of each level in each dimension, for a finite scalar quantizer; else empty.
    """

    size: int
    codes: int
    distinct: int
    coverage: float
    entropy: float
    corrected_entropy: float
    levels: tuple[tuple[float, ...], ...] = ()

    @property
    def perplexity(self) -> float:
        """The number of equally frequent codes of the same entropy: 2 to the corrected one."""
        return float(2.0**self.corrected_entropy)

    @property
    def level_entropies(self) -> tuple[float, ...]:
        """The entropy of each dimension, in bits; log2 of its levels at best."""
        return tuple(entropy(np.array(shares)) for shares in self.levels)


class CodeCounter:
    """Counts the codes of one codebook.

    Args:
        size: the number of different codes.
        levels: of each dimension of a finite scalar quantizer, the first being a code's least significant digit; empty
            for a codebook that is no grid.
    """

    def __init__(self, size: int, levels: Sequence[int] = ()) -> None:
        self.counts = np.zeros(size, np.int64)
        self.levels = tuple(levels)

    def add(self, ids: np.ndarray) -> None:
        """Count codes: integers of any shape."""
        self.counts += np.bincount(ids.reshape(-1), minlength=len(self.counts))

    def use(self) -> CodebookUse:
        """Summarize what has been counted; at least one code."""
        seen = self.counts[self.counts > 0]
        return CodebookUse(
            size=len(self.counts),
            codes=int(seen.sum()),
            distinct=len(seen),
            coverage=1 - float((seen == 1).sum() / seen.sum()),
            entropy=entropy(seen),
            corrected_entropy=min(corrected_entropy(seen), math.log2(len(self.counts))),
            levels=tuple(self._level_shares()),
        )

    def _level_shares(self) -> list[tuple[float, ...]]:
        if not self.levels:
            return []
        grid = self.counts.reshape(self.levels[::-1])  # the least significant digit is the last axis
        axes = range(grid.ndim)
        shares = [grid.sum(axis=tuple(set(axes) - {axis})) / grid.sum() for axis in reversed(axes)]
        return [tuple(map(float, each)) for each in shares]


def entropy(counts: np.ndarray) -> float:
    """Compute the entropy, in bits, of the distribution that counts or shares stand for."""
    shares = counts[counts > 0] / counts.sum()
    return max(0.0, -float((shares * np.log2(shares)).sum()))


def corrected_entropy(counts: np.ndarray) -> float:
    """Return the entropy of what counts were drawn from, in bits, by Chao and Shen's estimator.

    Chao, A. and Shen, T.-J. (2003), Nonparametric estimation of Shannon's index of diversity when there are unseen
    species in sample, Environmental and Ecological Statistics 10. Miller and Madow's correction, which adds
    (distinct - 1) / 2n nats, is far too small where most codes were seen once, as most of 65,536 are in minutes of
    speech.

    Args:
        counts: how often each code was seen.
    """
    seen = counts[counts > 0].astype(np.float64)
    total = seen.sum()
    once = float((seen == 1).sum())
    if once == total:  # coverage would be 0; one code less, as the authors do
        once = total - 1
    shares = (1 - once / total) * seen / total
    met = -np.expm1(total * np.log1p(-np.minimum(shares, 1 - 1e-12)))  # the chance to have seen each code at all
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log2(shares) / met, 0.0)
    return max(0.0, -float(terms.sum()))
