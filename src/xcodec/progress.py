"""How far a long computation has come, told while it runs.

Whoever waits says so at the front door (`told_to`). What walks over batches, layers, blocks of attention or tiles of
time says what each of them is of the present whole (`shares`, `share`), and need not know who listens, or whether
anybody does. What was not told by the end of a whole is told there, so that the sum is always the whole. The listener
may raise, which ends the computation.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["share", "shares", "told_to"]

Item = TypeVar("Item")


@dataclass
class Listening:
    """Somebody who waits: called with how much more is done, until the computation is over."""

    listener: Callable[[float], object]
    is_over: bool = False


@dataclass
class Task:
    """Something that is being done.

    Attributes:
        size: in whatever the listener counts, such as seconds of audio.
        listening: who waits for it.
        outer: what it is part of.
        done: how much is.
    """

    size: float
    listening: Listening
    outer: "Task | None" = None
    done: float = 0.0

    def finish(self) -> None:
        """Tell what is left."""
        rest = max(0.0, self.size - self.done)
        whole: Task | None = self
        while whole is not None:
            whole.done += rest
            whole = whole.outer
        self.listening.listener(rest)


_entered: ContextVar[Task | None] = ContextVar("entered", default=None)


def present() -> Task | None:
    """Return what somebody waits for here; nothing in a compiled graph, and nothing that an error has left entered."""
    torch = sys.modules.get("torch")  # which the runtime does not have, and no graph is compiled without
    if torch is not None and torch.compiler.is_compiling():
        return None
    whole = _entered.get()
    return None if whole is None or whole.listening.is_over else whole


@contextmanager
def entered(whole: Task) -> Iterator[None]:
    """Make a whole the present one, until the block ends."""
    token = _entered.set(whole)
    try:
        yield
    finally:
        _entered.reset(token)
    whole.finish()


@contextmanager
def told_to(listener: Callable[[float], object] | None, size: float) -> Iterator[None]:
    """Tell a listener how much of `size` is done, as it is; None leaves it to whoever listens outside."""
    if listener is None:
        yield
        return
    listening = Listening(listener)
    try:
        with entered(Task(size, listening)):
            yield
    finally:
        listening.is_over = True


def share(fraction: float) -> AbstractContextManager[None]:
    """Do such a share of the present whole, between 0 and 1."""
    outer = present()
    if outer is None:
        return nullcontext()
    return entered(Task(min(fraction * outer.size, max(0.0, outer.size - outer.done)), outer.listening, outer))


def shares(items: Sequence[Item], weights: Sequence[float] | None = None) -> Iterable[Item]:
    """Walk over what the present whole consists of: alike, or each in proportion to its weight."""
    if present() is None:
        return items
    return walked(items, [1.0] * len(items) if weights is None else weights)


def walked(items: Sequence[Item], weights: Sequence[float]) -> Iterator[Item]:
    """Yield each item while it is the present whole."""
    total = sum(weights) or 1.0
    for item, weight in zip(items, weights, strict=True):
        with share(weight / total):
            yield item
