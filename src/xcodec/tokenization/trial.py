"""What a plan will cost: the room that its codes take, and how fast this machine makes them, tried for a minute."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xcodec.errors import InputError
from xcodec.tokenization.job import Job
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.shard import BatchReport, ShardWorker
from xcodec.tokenization.sinks import bytes_per_code

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["Trial", "expected_bytes"]

_FIRST_BATCH = 30.0  # seconds of audio, which is doubled while batches take no time to speak of
_LONGEST_BATCH = 1 / 8  # of the trial
_PLACES = 8  # of the plan, evenly apart, from which recordings are taken


def expected_bytes(codec: Mapping[str, Any], seconds: float) -> float:
    """Return how many bytes so much audio takes as codes, at most; what is carried along comes on top."""
    sizes = codec["codebook_sizes"]
    return float(seconds * codec["frame_rate"] * sum(bytes_per_code(size, len(sizes)) for size in sizes))


@dataclass
class Trial:
    """A run that writes nothing, over recordings from several places of a plan.

    Args:
        seconds: of audio that were encoded.
        elapsed: in seconds.
    """

    seconds: float = 0.0
    elapsed: float = 0.0

    @property
    def speed(self) -> float:
        """Audio-seconds per second."""
        return self.seconds / self.elapsed

    @classmethod
    def run(cls, job: Job, plan: Plan, codec: "Codec", limit: float) -> "Trial":
        """Read and encode for so long, or until the recordings end.

        Args:
            job: how.
            plan: what.
            codec: the plan's.
            limit: in seconds; the batch in hand is finished.

        Raises:
            InputError: where none of the recordings that were tried has codes.
        """
        trial, started = cls(), time.perf_counter()

        def count(report: BatchReport) -> None:
            trial.seconds += report.seconds
            trial.elapsed = time.perf_counter() - started
            if report.model_seconds < _LONGEST_BATCH * limit:
                worker.batch_seconds = min(2 * worker.batch_seconds, job.batch_seconds)

        beginning = replace(job, batch_seconds=min(_FIRST_BATCH, job.batch_seconds))
        with ShardWorker(plan, codec, beginning, count) as worker:
            shards = plan.fingerprint.shards
            for number in dict.fromkeys(shards * place // _PLACES for place in range(_PLACES)):
                worker.attempt(number, lambda: time.perf_counter() - started > limit)
        if not trial.seconds:
            raise InputError("none of the recordings that were tried has codes", subject=plan.store)
        return trial
