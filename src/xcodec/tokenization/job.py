"""A job: an output folder, a codec, and how much of the machine it may take."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from xcodec.errors import InputError
from xcodec.tokenization.model import ModelChoice
from xcodec.tokenization.readers import ReadingLimits

__all__ = ["Job", "default_workers", "num_processors"]


def num_processors() -> int:
    """How many processors this process may use, which on a shared machine are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


def default_workers(models: int = 1) -> int:
    """Reader processes beside each of so many models on this machine: half of the processors, 16 at most."""
    return max(1, min(16, num_processors() // 2 // models))


@dataclass(frozen=True)
class Job:
    """What every process that works on an output is told.

    Args:
        folder: the output, a path or a URL; with Ray, a path is the same on all machines.
        model: which codec.
        batch_seconds: padded audio that the model takes at once; a longer recording goes alone.
        workers: reader processes beside each model.
        limits: for one file.
    """

    folder: Path | str
    model: ModelChoice = field(default_factory=ModelChoice)
    batch_seconds: float = 600.0
    workers: int = field(default_factory=default_workers)
    limits: ReadingLimits = field(default_factory=ReadingLimits)

    def __post_init__(self) -> None:
        for name, value in (("batch_seconds", self.batch_seconds), ("workers", self.workers)):
            if not value > 0:
                raise InputError("expected a number above 0", argument=name, value=value)
