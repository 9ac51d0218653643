"""Which parts of a step are computed in half precision."""

from statistics import median

import torch

__all__ = ["Precisions", "autocast"]

CANDIDATES = ("float32", "bfloat16")
TRIALS = 4  # steps that are timed of each
UNTIMED = 1  # before them, since a run's first steps are slower than all that follow


class Precisions:
    """The precision of each step. Where a recipe leaves it open, the first steps are made in one and the other in turn.

    Which is quicker depends on the processor: bfloat16 where it has products of bfloat16, float32 elsewhere.

    Args:
        asked: of the recipe: float32, bfloat16, float16, or auto.
        settled: what an earlier part of the run took, if it came so far.
    """

    def __init__(self, asked: str, settled: str | None = None) -> None:
        self.settled = settled if asked == "auto" else asked
        self.seconds: list[float] = []

    @property
    def next(self) -> str:
        """What the next step is computed in."""
        return self.settled or CANDIDATES[len(self.seconds) % len(CANDIDATES)]

    def took(self, seconds: float) -> None:
        """Hear how long the step took, summed over the processes, so that all of them settle for the same."""
        if self.settled is not None:
            return
        self.seconds.append(seconds)
        if len(self.seconds) == len(CANDIDATES) * (UNTIMED + TRIALS):
            timed = self.seconds[len(CANDIDATES) * UNTIMED :]
            medians = [median(timed[i :: len(CANDIDATES)]) for i in range(len(CANDIDATES))]
            self.settled = CANDIDATES[medians.index(min(medians))]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute in `precision`, one of float32, bfloat16 and float16, what is safe in it."""
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "float32")
