"""Time: how much of a signal a block sees at once. `Whole`, `Tiled` and `Streamed` are three kinds of one thing.

A block that mixes steps is written once, against a `Time` that its caller holds and hands in. The block says what it
does to a stretch of its input, how far that reaches to either side, and how wide it grows on the way; the time says
which stretches there are: all of the clip; one tile after the other, each read with what it reaches; or the next window
of a stream, which is a tile whose earlier steps are remembered.

    normal = time.normalized(self.norm, x)
    y = time.map(lambda part, lengths: self.conv(F.silu(part), lengths), normal, reach=1, dim=2, width=channels)

A stretch comes with `lengths`, the valid steps of each clip in it, which convolutions take; `Whole` and `Tiled` hold
those of the clips. No state is hidden in a block: what a stream remembers is a `Past`. Gradients and compiled graphs
see `Whole` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.modules.attention import BlockwiseAttention
from xcodec.modules.norm import MaskedGroupNorm
from xcodec.modules.tiles import Tile, steps_within, tiles

__all__ = ["WHOLE", "Past", "Signal", "Streamed", "Tiled", "Time", "Unstored", "Whole"]

TENSORS = 6  # in memory together, as wide as the widest; benchmarks/memory.py shows what comes of it
MASK_BYTES = 1 << 27  # of one block of queries where all else is computed at once

Result = TypeVar("Result", bound=Tensor | tuple[Tensor, ...])
Reach: TypeAlias = int | tuple[int, int]
"""How many steps before and after its own an output depends on, at most; one number for both sides."""


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


class Time(ABC):
    """How much of a signal is seen at once."""

    @abstractmethod
    def at(self, rate: int) -> "Time":
        """The same time of a signal that has `rate` steps for one."""

    @abstractmethod
    def map(
        self,
        f: Callable[..., Result],
        *signals: Signal,
        width: int,
        reach: Reach = 0,
        dim: int = 1,
        up: int = 1,
        down: int = 1,
        steps: int | None = None,
        clips_apart: bool = False,
    ) -> Result:
        """Compute f of signals.

        Args:
            f: takes a stretch of each signal, and the valid steps of each clip in it (None: all). Gives a tensor, or
                several in a tuple.
            *signals: each of as many clips and steps.
            width: how many numbers a step has in the widest tensor on the way. Where the rates differ, here and for
                `reach` and `steps`, a step is one of the slower signal.
            reach: how far f reaches.
            dim: where signals and results have their steps: 1 in (batch, time, channels), 2 in (batch, channels,
                time). Results may lie in memory as (batch, time, channels) in both cases.
            up: how many steps f makes of one.
            down: of how many steps f makes one.
            steps: how many steps there are, where the signals do not tell.
            clips_apart: whether f, which then treats all clips alike, may be given some of them at a time.
        """

    @abstractmethod
    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """Normalise `x` of shape (batch, channels, time) by the statistics of all that is known of each clip."""

    @abstractmethod
    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
    ) -> Tensor:
        """Give x + attention(norm(x)), which may be written over `x` of shape (batch, time, hidden_size).

        Args:
            attention: the layer.
            x: its input.
            norm: what every step passes first.
            biases: as for `BlockwiseAttention.attend`.
        """

    def add(
        self, f: Callable[..., Tensor], x: Signal, onto: Tensor, *, width: int, reach: Reach = 0, dim: int = 1
    ) -> Tensor:
        """Give onto + f(x), which may be written over `onto`. The arguments are those of `map`.

        `onto` may be `x` where f does not reach forward.
        """
        return onto + self.map(f, x, width=width, reach=reach, dim=dim)

    def each(self, f: Callable[[Tensor], Tensor], x: Tensor, *, width: int) -> Tensor:  # noqa: ARG002
        """Give f(x), which may be written over `x` of shape (batch, time, channels).

        Args:
            f: takes a stretch and gives one of the same shape, every step from itself alone.
            x: its input.
            width: as for `map`.
        """
        return f(x)


class Whole(Time):
    """All of the clips at once.

    Args:
        lengths: valid steps of each clip, integers (batch,); None where every step is valid.
    """

    def __init__(self, lengths: Tensor | None = None) -> None:
        self.lengths = lengths

    def of(self, lengths: Tensor | None) -> "Whole":
        """The same kind of time for signals of other lengths."""
        return Whole(lengths)

    def at(self, rate: int) -> "Whole":
        """`Time.at`."""
        return self if self.lengths is None else self.of(self.lengths * rate)

    def map(
        self,
        f: Callable[..., Result],
        *signals: Signal,
        width: int,  # noqa: ARG002
        reach: Reach = 0,  # noqa: ARG002
        dim: int = 1,  # noqa: ARG002
        up: int = 1,  # noqa: ARG002
        down: int = 1,  # noqa: ARG002
        steps: int | None = None,  # noqa: ARG002
        clips_apart: bool = False,  # noqa: ARG002
    ) -> Result:
        """`Time.map`."""
        return f(*(stored(signal) for signal in signals), self.lengths)

    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """`Time.normalized`."""
        return norm(stored(x), self.lengths)

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`."""
        normal = norm(x)
        k, v = attention.keys_and_values(normal)
        if torch.compiler.is_compiling():  # as in `Tiled`
            return x + attention.attend(normal, 0, k, v, self.lengths, biases)
        blocks = [
            attention.attend(normal[:, block.wanted], block.start, k, v, self.lengths, biases)
            for block in query_blocks(attention, normal, k, MASK_BYTES)
        ]
        return x + (blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1))


WHOLE = Whole()
"""The time of clips that are valid to their end."""


class Tiled(Whole):
    """A stretch of the clips at a time, as long as its intermediate results stay within a budget.

    What fits one tile is computed as `Whole` does. All else is written into its place tile by tile, over what it was
    made of where that is allowed, so that no intermediate result is as long as the clips; no gradient can be taken.

    In a compiled graph everything is one tile: how often its loops run would be settled by the length that it was
    compiled for; without any it serves every length.

    Args:
        lengths: as for `Whole`.
        budget: bytes that a tile's intermediate results may come to.
    """

    def __init__(self, lengths: Tensor | None, budget: int) -> None:
        super().__init__(lengths)
        self.budget = budget

    def of(self, lengths: Tensor | None) -> "Tiled":
        """`Whole.of`."""
        return Tiled(lengths, self.budget)

    def map(
        self,
        f: Callable[..., Result],
        *signals: Signal,
        width: int,
        reach: Reach = 0,
        dim: int = 1,
        up: int = 1,
        down: int = 1,
        steps: int | None = None,
        clips_apart: bool = False,
    ) -> Result:
        """`Time.map`."""
        num_steps = signals[0].shape[dim] if steps is None else steps
        cut = self._cut(signals[0], num_steps, width, reach, clips_apart)
        if cut is None:
            return super().map(f, *signals, width=width)
        results: list[Tensor] = []
        for clips, tile in cut:
            made = self._computed(f, signals, clips, tile, num_steps, dim, down)
            parts: tuple[Tensor, ...] = (made,) if isinstance(made, Tensor) else made
            results = results or [room_for(part, signals[0].shape[0], num_steps * up, dim) for part in parts]
            for result, part in zip(results, parts, strict=True):
                put(part, result, clips, tile.at(up), dim)
        return results[0] if isinstance(made, Tensor) else tuple(results)  # type: ignore[return-value]

    def add(
        self, f: Callable[..., Tensor], x: Signal, onto: Tensor, *, width: int, reach: Reach = 0, dim: int = 1
    ) -> Tensor:
        """`Time.add`."""
        num_steps = x.shape[dim]
        cut = self._cut(x, num_steps, width, reach)
        if cut is None:
            return onto + super().map(f, x, width=width)
        if onto is x:
            assert sides(reach)[1] == 0, "f would read what has been written over"
            cut.reverse()  # so that what lies before a tile still stands
        for clips, tile in cut:
            part: Tensor = self._computed(f, (x,), clips, tile, num_steps, dim)
            put(part, onto, clips, tile, dim, adding=True)
        return onto

    def each(self, f: Callable[[Tensor], Tensor], x: Tensor, *, width: int) -> Tensor:
        """`Time.each`."""
        cut = self._cut(x, x.shape[1], width)
        if cut is None:
            return f(x)
        for _, tile in cut:
            x[:, tile.wanted] = f(x[:, tile.wanted])
        return x

    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """`Time.normalized`: the moments are added up tile by tile, and what they make of the steps is not kept."""
        if torch.compiler.is_compiling():
            return super().normalized(norm, x)
        batch, channels, num_steps = x.shape
        size = steps_within(self.budget, TENSORS * batch * channels * max(4, x.itemsize))
        moments = sum(
            norm.moments(steps_of(x, slice(None), tile.start, tile.stop, 2), tile.lengths(self.lengths))
            for tile in tiles(num_steps, size)
        )
        assert isinstance(moments, Tensor), "no steps"
        scale, shift = norm.scale_and_shift(moments)
        return Unstored(
            lambda start, stop: norm.scaled(steps_of(x, slice(None), start, stop, 2), scale, shift),
            (batch, channels, num_steps),
            x.itemsize,
        )

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`: keys and values are as long as the clip, queries come a block at a time."""
        if torch.compiler.is_compiling():
            return super().attend(attention, x, norm, biases)
        k, v = self.map(lambda part, _: attention.keys_and_values(norm(part)), x, width=x.shape[2])
        for block in query_blocks(attention, x, k, self.budget):
            own = x[:, block.wanted]
            own += attention.attend(norm(own), block.start, k, v, self.lengths, biases)
        return x

    def _cut(
        self, x: Signal, num_steps: int, width: int, reach: Reach = 0, clips_apart: bool = False
    ) -> list[tuple[slice, Tile]] | None:
        """The tiles of so many steps, each of some clips; None where one is all. The arguments are those of `map`."""
        if torch.compiler.is_compiling():
            return None
        batch, (before, after) = x.shape[0], sides(reach)
        bytes_per_step = TENSORS * width * max(4, x.itemsize)
        if batch * num_steps * bytes_per_step <= self.budget:
            return None
        together = 1 if clips_apart else batch
        size = steps_within(self.budget, together * bytes_per_step, max(before, after))
        if clips_apart:
            together = max(1, self.budget // (bytes_per_step * min(num_steps, size + before + after)))
        return [
            (slice(first, first + together), tile)
            for tile in tiles(num_steps, size, before, after)
            for first in range(0, batch, together)
        ]

    def _computed(
        self,
        f: Callable[..., Result],
        signals: Sequence[Signal],
        clips: slice,
        tile: Tile,
        num_steps: int,
        dim: int,
        down: int = 1,
    ) -> Result:
        """What f makes of the steps that a tile reads; the arguments are those of `map`."""
        first = tile.first * down
        last = signals[0].shape[dim] if tile.last == num_steps else tile.last * down
        lengths = None if self.lengths is None else (self.lengths[clips] - first).clamp(0, last - first)
        return f(*(steps_of(signal, clips, first, last, dim) for signal in signals), lengths)


@dataclass
class Past:
    """What a stream remembers of its final steps, each in the order in which the blocks have asked for it.

    Attributes:
        steps: the last inputs of a map, as far back as it reaches, without a batch: of as many dimensions less one.
        moments: of what a norm has seen, as `MaskedGroupNorm.moments` gives them, float64 (3, groups).
        keys: keys and values of an attention, (2, steps, width).
    """

    steps: list[Tensor] = field(default_factory=list)
    moments: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)

    @property
    def shape(self) -> tuple[torch.Size, ...]:
        """What streams have in common that can be a batch: they remember as much. Attention makes up for the keys."""
        return tuple(steps.shape for steps in self.steps)


class Streamed(Time):
    """The next window of several streams: its first steps become final, and the others, looked ahead at, come again.

    Args:
        before: what each stream remembers, all of one shape; None where it begins.
        num_final: how many steps of the window become final.
        context: how many final steps the attention of later windows will see; None is all of them.

    Attributes:
        after: what each stream is to remember for its next window, complete when all blocks have been passed.
    """

    def __init__(self, before: Sequence[Past | None], num_final: int, context: int | None = None) -> None:
        self.before = [past or Past() for past in before]
        self.after = [Past() for _ in before]
        self.num_final = num_final
        self.context = context

    def at(self, rate: int) -> "Streamed":
        """`Time.at`."""
        faster = copy(self)  # what is remembered stays one
        faster.num_final = self.num_final * rate
        return faster

    def map(
        self, f: Callable[..., Result], *signals: Signal, reach: Reach = 0, dim: int = 1, up: int = 1, **_: Any
    ) -> Result:
        """`Time.map`: before its own steps f sees what it reaches of the past, and where a stream begins, nothing."""
        before = sides(reach)[0]
        if before == 0:
            return f(*(stored(signal) for signal in signals), None)
        [x] = signals
        shown, num_known = self._remembered(stored(x), before, dim)
        y = f(shown, None)
        assert isinstance(y, Tensor), "several results are for maps that reach nothing"
        return y.narrow(dim, num_known * up, y.shape[dim] - num_known * up)  # type: ignore[return-value]

    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """`Time.normalized`: the moments are those of all that was final before, and of the window."""
        x, i = stored(x), len(self.after[0].moments)
        final, ahead = norm.moments(x[..., : self.num_final]), norm.moments(x[..., self.num_final :])
        known = [past.moments[i] if past.moments else torch.zeros_like(final[0]) for past in self.before]
        final = torch.stack(known) + final
        for past, own in zip(self.after, final, strict=True):
            past.moments.append(own.clone())
        return norm.scaled(x, *norm.scale_and_shift(final + ahead))

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`: the keys and values of `context` final steps come before the window's own."""
        normal, i = norm(x), len(self.after[0].keys)
        keys = list(torch.stack(attention.keys_and_values(normal), 1))  # of each stream (2, steps, width)
        for j, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if before.keys:
                keys[j] = torch.cat([before.keys[i], keys[j]], 1)
            end = keys[j].shape[1] - x.shape[1] + self.num_final
            after.keys.append(keys[j][:, 0 if self.context is None else max(0, end - self.context) : end])
        lengths = [own.shape[1] for own in keys]
        valid = None
        if min(lengths) != max(lengths):
            keys = [F.pad(own, (0, 0, 0, max(lengths) - own.shape[1])) for own in keys]
            valid = torch.tensor(lengths, device=x.device)
        k, v = (keys[0][None] if len(keys) == 1 else torch.stack(keys)).unbind(1)
        return x + attention.attend(normal, 0, k, v, valid, biases)

    def _remembered(self, x: Tensor, reach: int, dim: int) -> tuple[Tensor, int]:
        """The last `reach` final steps before those of `x`, and how many these are: fewer where a stream begins."""
        i, num_known = len(self.after[0].steps), 0
        if self.before[0].steps:
            known = torch.stack([past.steps[i] for past in self.before])
            num_known = known.shape[dim]
            x = torch.cat([known, x], dim)
        end = num_known + self.num_final
        first = max(0, end - reach)
        for past, own in zip(self.after, x, strict=True):
            past.steps.append(own.narrow(dim - 1, first, end - first).clone())
        return x, num_known


def query_blocks(attention: BlockwiseAttention, x: Tensor, k: Tensor, budget: int) -> Iterator[Tile]:
    """Cut queries made of `x`, shape (batch, time, hidden_size), into blocks that take so many bytes."""
    width, most = attention.query_width(x, k)
    size = steps_within(budget, TENSORS * x.shape[0] * width * max(4, x.itemsize))
    return tiles(x.shape[1], min(size, most or size))


def sides(reach: Reach) -> tuple[int, int]:
    """How far to each side."""
    return reach if isinstance(reach, tuple) else (reach, reach)


def stored(x: Signal) -> Tensor:
    """All steps of a signal."""
    return x.read(0, x.shape[2]) if isinstance(x, Unstored) else x


def steps_of(x: Signal, clips: slice, start: int, stop: int, dim: int) -> Tensor:
    """Some steps of some clips; of an unstored signal those of all clips."""
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
