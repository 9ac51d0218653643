"""The local engine: the model in this process, reader processes beside it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from xcodec.tokenization.job import Job
from xcodec.tokenization.meter import Meter
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.shard import ShardWorker

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["run_locally"]


def run_locally(job: Job, plan: Plan, codec: "Codec", shards: Iterable[int], meter: Meter) -> list[str]:
    """Do shards one after the other; Ctrl-C drops the one in hand.

    Returns:
        What was given up: nothing, since what stops a shard here stops the run.
    """
    with ShardWorker(plan, codec, job, meter.on_batch) as worker:
        for number, following in with_following(shards):
            meter.on_shard(worker.tokenize(number, following))
    return []


def with_following(numbers: Iterable[int]) -> Iterator[tuple[int, int | None]]:
    """Each number with the one that comes after it; None after the last."""
    rest = iter(numbers)
    number = next(rest, None)
    while number is not None:
        following = next(rest, None)
        yield number, following
        number = following
