"""How a codec uses what it pays for: its codebooks."""

import math
from collections.abc import Sequence

import numpy as np

from xcodec.evaluation.codebook import CodebookUse, CodeCounter
from xcodec.evaluation.metric import Scale
from xcodec.probing.coder import Coder
from xcodec.probing.probe import CodedClip, Findings, Probe

__all__ = ["Usage", "uses_of", "zipf_exponent"]


class Usage(Probe):
    """Entropy against the bits that are paid, codes in use, and how unevenly.

    Entropies are of single codes, corrected for what was not seen (`CodebookUse`); a language model that looks at what
    came before needs fewer bits (`language_model`). Zipf's exponent is that of the shares of codes by their rank (Zipf
    1949; of speech codes Takamichi et al. 2024), by maximum likelihood over the codes that were seen: 0 is even use,
    about 1 the words of a language. Of several codebooks, shares and exponents are means.
    """

    name = "usage"
    title = "use of the codebooks"

    def __init__(self) -> None:
        self.scales = (
            Scale("usage.paid", "bits paid", "log2 of the codebooks' sizes, all together", 0, "bit/s", False),
            Scale("usage.used", "bits used", "corrected entropy (Chao and Shen 2003) of the codes", 0, "bit/s", True),
            Scale("usage.efficiency", "bits used of bits paid", "the ratio of the two", 1, "%", True),
            Scale("usage.coverage", "codes in use", "different codes seen, of those that there are", 1, "%", True),
            Scale(
                "usage.zipf",
                "Zipf exponent",
                "of codes' shares by rank, by maximum likelihood; 0 is even use",
                2,
                "",
                False,
            ),
        )

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Count the codes of all clips."""
        uses = uses_of(coder, clips)
        paid = sum(math.log2(use.size) for use in uses) * coder.frame_rate
        used = sum(use.corrected_entropy for use in uses) * coder.frame_rate
        counts = [np.bincount(np.concatenate([clip.coding.ids[i] for clip in clips])) for i in range(len(uses))]
        return Findings(
            corpus={
                "usage.paid": paid,
                "usage.used": used,
                "usage.efficiency": 100 * used / paid,
                "usage.coverage": 100 * float(np.mean([use.distinct / use.size for use in uses])),
                "usage.zipf": float(np.mean([zipf_exponent(each) for each in counts])),
            }
        )


def uses_of(coder: Coder, clips: Sequence[CodedClip]) -> list[CodebookUse]:
    """Summarize the use of each codebook in all clips; at least one clip."""
    counters = [CodeCounter(size, coder.levels) for size in coder.codebook_sizes]
    for clip in clips:
        for counter, row in zip(counters, clip.coding.ids, strict=True):
            counter.add(row)
    return [counter.use() for counter in counters]


def zipf_exponent(counts: np.ndarray) -> float:
    """Estimate s of shares in proportion to rank ** -s, over the codes that were seen, by maximum likelihood.

    Args:
        counts: how often each code was seen, in any order; zeros are left out.
    """
    ranked = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    logs = np.log(np.arange(1, len(ranked) + 1))
    seen = float((ranked * logs).sum() / ranked.sum())  # the mean logarithm of a code's rank
    low, high = 0.0, 20.0
    for _ in range(60):  # its expectation falls as s grows
        middle = (low + high) / 2
        weights = np.exp(-middle * logs)
        low, high = (middle, high) if (weights * logs).sum() / weights.sum() > seen else (low, middle)
    return (low + high) / 2
