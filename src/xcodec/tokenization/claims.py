"""Claims: workers on one plan take shards until none is left, each shard one of them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from xcodec.tokenization.plan import Plan
from xcodec.tokenization.stores import RunLock

__all__ = ["Claims"]

_THREADS = 16  # that look whether a claim's holder lives, which of a lease is not known for seconds


class Claims:
    """The shards that one of several workers does: each n-th from the i-th on, and then what the others have left.

    A claim is a lock of the store's, which ends with its worker. Others' shards are taken from the last one back, so
    that workers meet as late as can be, also where the file system knows no locks: what is done twice is written once.

    Args:
        plan: of the output.
        shards: their numbers, in ascending order; those that are done meanwhile are passed over.
        worker: (i, n).
    """

    def __init__(self, plan: Plan, shards: Sequence[int], worker: tuple[int, int]) -> None:
        self.plan = plan
        place, count = worker
        own = [number for number in shards if number % count == place]
        self._order = own + [number for number in reversed(shards) if number % count != place]
        self._held: dict[int, RunLock] = {}

    def __iter__(self) -> Iterator[int]:
        """The numbers of the shards, each claimed when it comes; what is done is let go when the next one comes."""
        waiting = []
        for number in self._order:
            if self.plan.store.exists(_name(number)):  # somebody has it in hand, or died with it
                waiting.append(number)
            elif self._take(number):
                yield number
            self._let_go(done_only=True)
        with ThreadPoolExecutor(_THREADS) as pool:
            taken = list(pool.map(self._take, waiting))
        for number in (number for number, is_taken in zip(waiting, taken, strict=True) if is_taken):
            yield number
            self._let_go(done_only=True)

    def _take(self, number: int) -> bool:
        """Claim a shard, unless it is done or somebody has it."""
        if self._is_done(number):
            return False
        lock = self.plan.store.lock(_name(number))
        if not lock.take(wait=False):
            lock.close()
            return False
        self._held[number] = lock
        if self._is_done(number):  # by who held it until now
            self._release(number)
            return False
        return True

    def _is_done(self, number: int) -> bool:
        return self.plan.store.exists(self.plan.output(number))

    def _let_go(self, *, done_only: bool) -> None:
        for number in list(self._held):
            if not done_only or self._is_done(number):
                self._release(number)

    def _release(self, number: int) -> None:
        self.plan.store.remove(_name(number))  # first, so that nobody finds it free and loses it
        self._held.pop(number).close()

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go(done_only=False)


def _name(number: int) -> str:
    return f".claim-{number:07}"
