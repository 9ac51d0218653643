"""Tiles: a long signal in stretches, each with all the steps that it depends on, and how these are read and written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

__all__ = ["Signal", "Tile", "Unstored", "put", "room_for", "steps_of", "stored", "tiles"]


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
    def kept(self) -> slice:
        """Where the wanted steps are in what was computed of those that were read."""
        return slice(self.start - self.first, self.stop - self.first)

    def lengths(self, lengths: Tensor | None) -> Tensor | None:
        """Compute how many of the steps that are read are valid, given the valid steps of each clip, shape (batch,)."""
        return None if lengths is None else (lengths - self.first).clamp(0, self.last - self.first)

    def at(self, rate: int) -> "Tile":
        """Return the same stretch of a signal that has `rate` steps for one of this."""
        return Tile(self.start * rate, self.stop * rate, self.first * rate, self.last * rate)


def tiles(num_steps: int, size: int, before: int = 0, after: int = 0) -> Iterator[Tile]:
    """Cut `num_steps` into tiles of `size`, each of which reads so many steps before and after its own."""
    for start in range(0, num_steps, size):
        stop = min(start + size, num_steps)
        yield Tile(start, stop, max(0, start - before), min(num_steps, stop + after))


@dataclass(frozen=True)
class Unstored:
    """A signal that never is in memory whole: its steps are computed wherever they are read.

    Attributes:
        read: gives the steps from one to another, (batch, channels, steps).
        shape: (batch, channels, time).
        itemsize: bytes of a number.
    """

    read: Callable[[int, int], Tensor]
    shape: tuple[int, int, int]
    itemsize: int


Signal: TypeAlias = Tensor | Unstored


def stored(x: Signal) -> Tensor:
    """Return all steps of a signal."""
    return x.read(0, x.shape[2]) if isinstance(x, Unstored) else x


def steps_of(x: Signal, clips: slice, start: int, stop: int, dim: int) -> Tensor:
    """Return some steps of some clips; of an unstored signal those of all clips."""
    return x.read(start, stop) if isinstance(x, Unstored) else x[clips].narrow(dim, start, stop - start)


def room_for(part: Tensor, batch: int, num_steps: int, dim: int) -> Tensor:
    """Memory for a whole of which `part` is some clips' stretch, as (batch, time, channels)."""
    channels = [size for i, size in enumerate(part.shape) if i not in (0, dim)]
    return part.new_empty(batch, num_steps, *channels).movedim(1, dim)


def put(part: Tensor, into: Tensor, clips: slice, tile: Tile, dim: int, adding: bool = False) -> None:
    """Write, or add, the steps that a tile wants out of those that were computed to their place in the whole."""
    wanted = part.narrow(dim, tile.start - tile.first, tile.stop - tile.start)
    place = into[clips].narrow(dim, tile.start, tile.stop - tile.start)
    place.add_(wanted) if adding else place.copy_(wanted)
