"""Which stretch of which clip comes next: every stretch once in an epoch, over all processes together."""

from dataclasses import dataclass

import numpy as np

from xcodec.errors import InputError

__all__ = ["Item", "Position", "Sampler"]


@dataclass(frozen=True)
class Item:
    """A stretch of a clip, from which a crop is taken.

    Args:
        clip: its number.
        start: in seconds.
        seconds: how long it is.
    """

    clip: int
    start: float
    seconds: float


@dataclass(frozen=True)
class Position:
    """How far a run has come: what a checkpoint keeps of the sampler."""

    epoch: int = 0
    taken: int = 0


class Sampler:
    """An endless order of stretches, drawn anew for each epoch from the seed and the epoch's number alone.

    Args:
        seconds: how long each clip is, (clips,).
        shares: how many crops of each of a clip's stretches an epoch has, (clips,); of 2.5 it is sometimes 2 and
            sometimes 3.
        longest: the longest crop in seconds. A clip is divided into as many stretches as hold such a crop; from a
            shorter one, all of it is taken.
        seed: of the order.
        rank: which process this is.
        count: how many there are.
    """

    def __init__(
        self, seconds: np.ndarray, shares: np.ndarray, longest: float, seed: int, rank: int = 0, count: int = 1
    ) -> None:
        self.seconds = seconds
        self.shares = shares
        self.stretches = np.maximum(1, np.floor(seconds / longest + 1e-9)).astype(np.int64)
        self.seed = seed
        self.rank = rank
        self.count = count
        self._epoch = -1
        self._order = np.empty((0, 2), dtype=np.int64)

    def take(self, position: Position, clips: int) -> tuple[list[Item], Position]:
        """Take the next stretches of this process, where every process takes as many.

        What is left of an epoch when it does not suffice for all processes is passed over.

        Returns:
            the stretches, and the position after those of all processes.

        Raises:
            InputError: where a whole epoch does not suffice.
        """
        order = self._order_of(position.epoch)
        wanted = clips * self.count
        if position.taken + wanted > len(order):
            position = Position(position.epoch + 1)
            order = self._order_of(position.epoch)
        if wanted > len(order):
            raise InputError(
                f"there are {len(order)} stretches of audio to train on, and one step takes {wanted}",
                remedy="give more, or a smaller data.batch_seconds",
            )
        first = position.taken + self.rank * clips
        items = [self._item(*order[i]) for i in range(first, first + clips)]
        return items, Position(position.epoch, position.taken + wanted)

    def _order_of(self, epoch: int) -> np.ndarray:
        """Clip and stretch of every item of an epoch, int64 (items, 2)."""
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, epoch))
            clips = np.repeat(np.arange(len(self.stretches)), self.stretches)
            firsts = np.cumsum(self.stretches) - self.stretches
            items = np.stack([clips, np.arange(len(clips)) - firsts[clips]], 1)
            copies = np.floor(self.shares[clips] + rng.random(len(items))).astype(np.int64)
            self._order = rng.permutation(np.repeat(items, copies, axis=0))
            self._epoch = epoch
        return self._order

    def _item(self, clip: int, stretch: int) -> Item:
        seconds = float(self.seconds[clip]) / int(self.stretches[clip])
        return Item(int(clip), float(stretch) * seconds, seconds)
