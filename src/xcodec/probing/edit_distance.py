"""How far two sequences of codes are apart."""

import numpy as np

from xcodec.probing.coder import Coding

__all__ = ["agreement", "edit_distance", "unit_edit_distances"]


def edit_distance(first: np.ndarray, second: np.ndarray) -> int:
    """Count the insertions, deletions and substitutions that make one sequence of the other (Levenshtein 1966).

    Args:
        first: integers (n,).
        second: integers (m,).
    """
    steps = np.arange(len(second) + 1)
    row = steps
    for i, code in enumerate(first, 1):
        kept_or_changed = np.minimum(row[1:] + 1, row[:-1] + (second != code))
        row = np.concatenate([[i], kept_or_changed])
        row = np.minimum.accumulate(row - steps) + steps  # insertions, as many as it takes
    return int(row[-1])


def unit_edit_distances(clean: Coding, other: Coding) -> list[float]:
    """Give, in percent for each codebook, the edit distance from clean codes to others, a clean code.

    It is the unit edit distance of StableToken (Song et al. 2025, arXiv 2509.22220) and, before it, of Gat et al.
    (2022). Codes that follow a like one are counted, too.
    """
    return [
        100 * edit_distance(before, after) / len(before) for before, after in zip(clean.ids, other.ids, strict=True)
    ]


def agreement(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Give the share of equal codes, in percent for each codebook.

    Args:
        first: integers (codebooks, frames).
        second: likewise; both are cut to the shorter.
    """
    frames = min(first.shape[1], second.shape[1])
    return [float(share) for share in 100 * (first[:, :frames] == second[:, :frames]).mean(1)]
