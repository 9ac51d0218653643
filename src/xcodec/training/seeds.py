"""Seeds of what is random in a run."""

import numpy as np

__all__ = ["seed_of_step"]


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """Derive the seed of one step in one process, between 0 and 2**63 - 1.

    It is the first 63 bits that `numpy.random.SeedSequence` makes of the three numbers. NumPy documents that algorithm
    and keeps it the same, so that a run goes on alike on another machine and under another version of Python.

    Args:
        seed: of the run.
        step: how many steps are done.
        rank: the number of the process.
    """
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
