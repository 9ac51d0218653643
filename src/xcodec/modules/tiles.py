"""Tiles of time: a long signal is computed a stretch at a time, each from all the steps that it depends on.

Blocks that can work so take `max_bytes`, what one tile's intermediate results may come to. They then overwrite their
input, or write into one output, so that no intermediate result is as long as the clip; no gradient can be taken.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

__all__ = ["Tile", "join", "steps_within", "tiled", "tiles"]


@dataclass(frozen=True)
class Tile:
    """A stretch of a signal: the steps `start` to `stop` are wanted, and `first` to `last` are read for them."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def wanted(self) -> slice:
        """The steps of the whole signal that this tile gives."""
        return slice(self.start, self.stop)

    @property
    def read(self) -> slice:
        """The steps of the whole signal that are needed for them."""
        return slice(self.first, self.last)

    @property
    def kept(self) -> slice:
        """Where the wanted steps are in what was computed of those that were read."""
        return slice(self.start - self.first, self.stop - self.first)

    def lengths(self, lengths: Tensor | None) -> Tensor | None:
        """How many of the steps that are read are valid, given the valid steps of each clip, shape (batch,)."""
        return None if lengths is None else (lengths - self.first).clamp(0, self.last - self.first)

    def at(self, rate: int) -> "Tile":
        """The same stretch of a signal that has `rate` steps for one of this."""
        return Tile(self.start * rate, self.stop * rate, self.first * rate, self.last * rate)


def tiled(max_bytes: int | None) -> TypeGuard[int]:
    """Whether to work in tiles: where a limit is given, but never in a compiled graph.

    How often such a graph's loops run would be settled by the length that it was compiled for; without any it serves
    every length.
    """
    return max_bytes is not None and not torch.compiler.is_compiling()


def tiles(num_steps: int, size: int, before: int = 0, after: int = 0) -> Iterator[Tile]:
    """Cut `num_steps` into tiles of `size`, each of which reads so many steps before and after its own."""
    for start in range(0, num_steps, size):
        stop = min(start + size, num_steps)
        yield Tile(start, stop, max(0, start - before), min(num_steps, stop + after))


def steps_within(max_bytes: int, bytes_per_step: int, halo: int = 0) -> int:
    """How many steps a tile may want, so that these and a halo on both sides take `max_bytes`; at least 1 and a halo.

    With less than its halo to want, a tile would mostly compute what others compute too.
    """
    return max(1, halo, max_bytes // bytes_per_step - 2 * halo)


def join(parts: Iterable[Tensor], num_steps: int) -> Tensor:
    """Write consecutive parts of shape (batch, time, channels) into one tensor as they come, `num_steps` in all."""
    whole, start = None, 0
    for part in parts:
        if part.shape[1] == num_steps:
            return part
        if whole is None:
            whole = part.new_empty(part.shape[0], num_steps, part.shape[2])
        whole[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    assert whole is not None, "no parts"
    assert start == num_steps, f"{start} of {num_steps} steps"
    return whole
