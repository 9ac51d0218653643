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
from typing import NamedTuple, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from xcodec.modules.attention import BlockwiseAttention
from xcodec.modules.growing import extended
from xcodec.modules.norm import MaskedGroupNorm
from xcodec.modules.tiles import Signal, Tile, Unstored, put, room_for, steps_of, stored, tiles
from xcodec.progress import share, shares

__all__ = ["WHOLE", "Past", "Streamed", "Tiled", "Time", "Whole", "Windowed", "steps_within"]

TENSORS = 6  # that a step takes at once, each as wide as the widest; benchmarks/memory.py shows what comes of it
MASK_BYTES = 1 << 27  # of one block of queries where all else is computed at once

Result = TypeVar("Result", bound=Tensor | tuple[Tensor, ...])
Reach: TypeAlias = int | tuple[int, int]
"""How many steps before and after its own an output depends on, at most; one number for both sides."""


class Stencil(NamedTuple):
    """On what of its inputs an output of a map depends, and what it takes; the fields are as `Time.map` has them.

    Attributes:
        width: numbers of a step in the widest tensor.
        before: how far f reaches to the left.
        after: how far to the right.
        dim: where the steps are.
        up: how many steps f makes of one.
        down: of how many steps f makes one.
        steps: how many steps there are, if not as many as the signals have.
        clips_apart: whether f may be given some of the clips at a time.
        told: whether progress is told between tiles.
    """

    width: int
    before: int = 0
    after: int = 0
    dim: int = 1
    up: int = 1
    down: int = 1
    steps: int | None = None
    clips_apart: bool = False
    told: bool = False

    def num_steps(self, x: Signal) -> int:
        """Compute how many steps there are of the slower signal."""
        return x.shape[self.dim] if self.steps is None else self.steps


class Time(ABC):
    """How much of a signal is seen at once."""

    @abstractmethod
    def at(self, rate: int) -> "Time":
        """Return the same time of a signal that has `rate` steps for one."""

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
        told: bool = False,
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
            told: whether this is so much of what is being done that its progress is told.
        """
        return self._map(f, signals, Stencil(width, *sides(reach), dim, up, down, steps, clips_apart, told))

    @abstractmethod
    def _map(self, f: Callable[..., Result], signals: Sequence[Signal], stencil: Stencil) -> Result:
        """`map`."""

    def chain(self, maps: Sequence[tuple[Callable[..., Tensor], Reach]], x: Tensor, *, width: int) -> Tensor:
        """Compute one map of `x` after the other, so that what lies between them is not kept of a whole clip.

        Args:
            maps: functions as `map` takes one, and how far each reaches.
            x: shape (batch, time, channels).
            width: as for `map`.
        """

        def all_of_them(part: Tensor, lengths: Tensor | None) -> Tensor:
            for f, _ in maps:
                part = f(part, lengths)
            return part

        before, after = zip(*(sides(reach) for _, reach in maps), strict=True)
        return self.map(all_of_them, x, width=width, reach=(sum(before), sum(after)), told=True)

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
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Give x + attention(norm(x)), which may be written over `x` of shape (batch, time, hidden_size).

        Args:
            attention: the layer.
            x: its input.
            norm: what every step passes first.
            biases: as for `BlockwiseAttention.forward`.
            rotation: likewise; `positions` tells which steps they are.
        """

    @abstractmethod
    def sum_before(self, x: Tensor) -> Tensor:
        """Give for each step of `x`, whole numbers (batch, time), the sum of all that came before it."""

    @abstractmethod
    def positions(self, x: Tensor) -> Tensor:
        """Tell which steps those of `x`, (batch, time, channels), are of their clips: integers (batch or 1, time)."""

    def final(self, x: Tensor) -> Tensor:
        """Give those steps of `x`, (batch, time, channels), that blocks have to see which reach nothing ahead.

        That is all of them, but in a stream: what is looked ahead at comes again.
        """
        return x

    def add(
        self, f: Callable[..., Tensor], x: Signal, onto: Tensor, *, width: int, reach: Reach = 0, dim: int = 1
    ) -> Tensor:
        """Give onto + f(x), which may be written over `onto`. The arguments are those of `map`.

        `onto` may be `x` where f does not reach forward.
        """
        return self._add(f, x, onto, Stencil(width, *sides(reach), dim))

    def _add(self, f: Callable[..., Tensor], x: Signal, onto: Tensor, stencil: Stencil) -> Tensor:
        """`add`."""
        return onto + self._map(f, (x,), stencil)

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
        """Return the same kind of time for signals of other lengths."""
        return Whole(lengths)

    def at(self, rate: int) -> "Whole":
        """`Time.at`."""
        return self if self.lengths is None else self.of(self.lengths * rate)

    def _map(self, f: Callable[..., Result], signals: Sequence[Signal], stencil: Stencil) -> Result:  # noqa: ARG002
        """`Time.map`."""
        return f(*(stored(signal) for signal in signals), self.lengths)

    def unstored(
        self,
        f: Callable[..., Tensor],
        x: Tensor,
        *,
        channels: int,
        reach: Reach = 0,
        down: int = 1,
        steps: int | None = None,
    ) -> Signal:
        """Compute f of `x`, again wherever its steps are read if they are too many to be kept.

        Args:
            f: as for `map`; gives (batch, channels, time).
            x: shape (batch, channels, time).
            channels: of what f gives.
            reach: as for `map`.
            down: as for `map`.
            steps: as for `map`.
        """
        return self._unstored(f, x, Stencil(channels, *sides(reach), dim=2, down=down, steps=steps))

    def _unstored(self, f: Callable[..., Tensor], x: Tensor, stencil: Stencil) -> Signal:
        """`unstored`."""
        return self._map(f, (x,), stencil)

    def in_turn(self, f: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
        """Give f of the stretches of `size` steps, one after the other, which may be written over `x`.

        Args:
            f: takes a stretch, the last of which may be shorter, and gives one of the same shape; it may remember what
                it needs of those that came before.
            x: shape (batch, time, channels).
            size: in steps.
        """
        return torch.cat([f(part) for part in shares(x.split(size, 1))], 1)

    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """`Time.normalized`."""
        return norm(stored(x), self.lengths)

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`."""
        normal = norm(x)
        k, v = attention.keys_and_values(normal, rotation)
        if torch.compiler.is_compiling():  # as in `Tiled`
            return x + attention.attend(normal, 0, k, v, self.lengths, biases, rotation)
        blocks = [
            attention.attend(normal[:, own], own.start, k, v, self.lengths, biases, steps_in(own, rotation))
            for own in (block.wanted for block in query_blocks(attention, normal, k, MASK_BYTES))
        ]
        return x + (blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1))

    def sum_before(self, x: Tensor) -> Tensor:
        """`Time.sum_before`."""
        return x.cumsum(1) - x

    def positions(self, x: Tensor) -> Tensor:
        """`Time.positions`."""
        return torch.arange(x.shape[1], device=x.device)[None]


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

    def _map(self, f: Callable[..., Result], signals: Sequence[Signal], stencil: Stencil) -> Result:
        cut = self._cut(signals[0], stencil)
        if cut is None:
            return super()._map(f, signals, stencil)
        results: list[Tensor] = []
        batch, num_steps = signals[0].shape[0], stencil.num_steps(signals[0]) * stencil.up
        for clips, tile in shares(cut) if stencil.told else cut:
            made = self._computed(f, signals, clips, tile, stencil)
            parts: tuple[Tensor, ...] = (made,) if isinstance(made, Tensor) else made
            results = results or [room_for(part, batch, num_steps, stencil.dim) for part in parts]
            for result, part in zip(results, parts, strict=True):
                put(part, result, clips, tile.at(stencil.up), stencil.dim)
        return results[0] if isinstance(made, Tensor) else tuple(results)  # type: ignore[return-value]

    def _add(self, f: Callable[..., Tensor], x: Signal, onto: Tensor, stencil: Stencil) -> Tensor:
        cut = self._cut(x, stencil)
        if cut is None:
            y = super()._map(f, (x,), stencil)
            return onto + y if torch.compiler.is_compiling() else onto.add_(y)
        if onto is x:
            assert stencil.after == 0, "f would read what has been written over"
            cut.reverse()  # so that what lies before a tile still stands
        for clips, tile in cut:
            put(self._computed(f, (x,), clips, tile, stencil), onto, clips, tile, stencil.dim, adding=True)
        return onto

    def _unstored(self, f: Callable[..., Tensor], x: Tensor, stencil: Stencil) -> Signal:
        if self._cut(x, stencil) is None:
            return super()._map(f, (x,), stencil)
        num_steps = stencil.num_steps(x)

        def read(start: int, stop: int) -> Tensor:
            tile = Tile(start, stop, max(0, start - stencil.before), min(num_steps, stop + stencil.after))
            y = self._computed(f, (x,), slice(None), tile, stencil)
            return y.narrow(2, start - tile.first, stop - start)

        return Unstored(read, (x.shape[0], stencil.width, num_steps), x.itemsize)

    def each(self, f: Callable[[Tensor], Tensor], x: Tensor, *, width: int) -> Tensor:
        """`Time.each`."""
        cut = self._cut(x, Stencil(width))
        if cut is None:
            return f(x)
        for _, tile in cut:
            x[:, tile.wanted] = f(x[:, tile.wanted])
        return x

    def in_turn(self, f: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
        """`Whole.in_turn`."""
        if torch.compiler.is_compiling():
            return super().in_turn(f, x, size)
        for part in shares(x.split(size, 1)):
            part.copy_(f(part))
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
        rotation: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`: keys and values are as long as the clip, queries come a block at a time."""
        if torch.compiler.is_compiling():
            return super().attend(attention, x, norm, biases, rotation)
        if rotation is None:
            k, v = self.map(lambda part, _: attention.keys_and_values(norm(part)), x, width=x.shape[2])
        else:
            k, v = self.map(
                lambda part, by, _: attention.keys_and_values(norm(part), by), x, rotation, width=x.shape[2]
            )
        with share(x.shape[1] / (x.shape[1] + 6 * x.shape[2])):  # of a layer's work; the rest grows with the time alone
            for block in shares(list(query_blocks(attention, x, k, self.budget))):
                own = block.wanted
                queries = x[:, own]
                turned = steps_in(own, rotation)
                queries += attention.attend(norm(queries), own.start, k, v, self.lengths, biases, turned)
        return x

    def _cut(self, x: Signal, stencil: Stencil) -> list[tuple[slice, Tile]] | None:
        """Return the tiles, each of some clips; None where one is all."""
        if torch.compiler.is_compiling():
            return None
        batch, num_steps, halo = x.shape[0], stencil.num_steps(x), max(stencil.before, stencil.after)
        bytes_per_step = TENSORS * stencil.width * max(4, x.itemsize)
        if batch * num_steps * bytes_per_step <= self.budget:
            return None
        together = 1 if stencil.clips_apart else batch
        size = steps_within(self.budget, together * bytes_per_step, halo)
        if stencil.clips_apart:
            together = max(1, self.budget // (bytes_per_step * min(num_steps, size + 2 * halo)))
        return [
            (slice(first, first + together), tile)
            for tile in tiles(num_steps, size, stencil.before, stencil.after)
            for first in range(0, batch, together)
        ]

    def _computed(
        self, f: Callable[..., Result], signals: Sequence[Signal], clips: slice, tile: Tile, stencil: Stencil
    ) -> Result:
        """Return what f makes of the steps that a tile reads."""
        x, dim, first = signals[0], stencil.dim, tile.first * stencil.down
        last = x.shape[dim] if tile.last == stencil.num_steps(x) else tile.last * stencil.down
        lengths = None if self.lengths is None else (self.lengths[clips] - first).clamp(0, last - first)
        return f(*(steps_of(signal, clips, first, last, dim) for signal in signals), lengths)


@dataclass
class Past:
    """What a stream remembers of its final steps, each in the order in which the blocks have asked for it.

    Attributes:
        steps: the last inputs of a map, as far back as it reaches, without a batch: of as many dimensions less one.
        moments: of what a norm has seen, as `MaskedGroupNorm.moments` gives them, float64 (3, groups).
        sums: of whole numbers, int64 (1,).
        keys: keys and values of an attention, (2, steps, width). The next window writes its own behind them, so that
            what one window has left is gone on from once.
        num_steps: how many final steps there have been.
    """

    steps: list[Tensor] = field(default_factory=list)
    moments: list[Tensor] = field(default_factory=list)
    sums: list[Tensor] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)
    num_steps: int = 0

    @property
    def shape(self) -> tuple[torch.Size, ...]:
        """What streams have in common that can be a batch: they remember as much. Attention makes up for the keys."""
        return tuple(steps.shape for steps in self.steps)


class Windowed(Time):
    """The next window of several streams: its first steps become final, and the others, looked ahead at, come again.

    What the streams remember lies where a subclass keeps it.

    Args:
        num_final: how many steps of the window become final.
    """

    def __init__(self, num_final: int) -> None:
        self.num_final = num_final

    def at(self, rate: int) -> Self:
        """`Time.at`."""
        faster = copy(self)  # what is remembered stays one
        faster.num_final = self.num_final * rate
        return faster

    def _map(self, f: Callable[..., Result], signals: Sequence[Signal], stencil: Stencil) -> Result:
        """`Time.map`: before its own steps f sees what it reaches of the past, and where a stream begins, nothing."""
        if stencil.before == 0:
            return f(*(stored(signal) for signal in signals), None)
        dim, own = stencil.dim, signals[0].shape[stencil.dim]
        shown = [self._after_known(stored(signal), stencil.before, dim) for signal in signals]
        y = f(*shown, None)
        assert isinstance(y, Tensor), "several results are for maps that reach nothing"
        skipped = (shown[0].shape[dim] - own) * stencil.up
        return y.narrow(dim, skipped, y.shape[dim] - skipped)  # type: ignore[return-value]

    def chain(self, maps: Sequence[tuple[Callable[..., Tensor], Reach]], x: Tensor, *, width: int) -> Tensor:
        """`Time.chain`: each remembers its own past, so that nothing of it is computed again.

        But where others than the first look ahead, the past is, since a window may show them less than they reach.
        """
        if any(sides(reach)[1] for _, reach in maps[1:]):
            return super().chain(maps, x, width=width)
        for f, reach in maps:
            x = self.map(f, x, width=width, reach=reach)
        return x

    @abstractmethod
    def _after_known(self, x: Tensor, reach: int, dim: int) -> Tensor:
        """Put the last `reach` final steps before those of `x`, fewer where a stream begins, and remember the next."""

    def normalized(self, norm: MaskedGroupNorm, x: Signal) -> Signal:
        """`Time.normalized`: the moments are those of all that was final before, and of the window."""
        x = stored(x)
        final, ahead = norm.moments(x[..., : self.num_final]), norm.moments(x[..., self.num_final :])
        return norm.scaled(x, *norm.scale_and_shift(self._added_up(final) + ahead))

    @abstractmethod
    def _added_up(self, moments: Tensor) -> Tensor:
        """Add those of all that was final before to moments (batch, 3, groups) of what becomes it; remember the sum."""

    def sum_before(self, x: Tensor) -> Tensor:
        """`Time.sum_before`: it goes on from that of all that was final before."""
        before = self._summed_up(x[:, : self.num_final].sum(1, keepdim=True))
        return before + x.cumsum(1) - x

    @abstractmethod
    def _summed_up(self, x: Tensor) -> Tensor:
        """Give the sum of all that was final before, (batch, 1), and remember it with `x`, what becomes it."""

    def final(self, x: Tensor) -> Tensor:
        """`Time.final`: the others, looked ahead at, come again."""
        return x[:, : self.num_final]


class Streamed(Windowed):
    """Streams that each remember by themselves, so that any that have remembered as much can be a batch.

    Args:
        before: what each stream remembers, all of one shape; None where it begins.
        num_final: how many steps of the window become final.
        context: how many final steps the attention of later windows will see; None is all of them.

    Attributes:
        after: what each stream is to remember for its next window, complete when all blocks have been passed.
    """

    def __init__(self, before: Sequence[Past | None], num_final: int, context: int | None = None) -> None:
        super().__init__(num_final)
        self.before = [past or Past() for past in before]
        self.after = [Past(num_steps=past.num_steps + num_final) for past in self.before]
        self.context = context

    def _added_up(self, moments: Tensor) -> Tensor:
        """`Windowed._added_up`."""
        i = len(self.after[0].moments)
        known = [past.moments[i] if past.moments else torch.zeros_like(moments[0]) for past in self.before]
        moments = torch.stack(known) + moments
        for past, own in zip(self.after, moments, strict=True):
            past.moments.append(own.clone())
        return moments

    def _summed_up(self, x: Tensor) -> Tensor:
        """`Windowed._summed_up`."""
        i = len(self.after[0].sums)
        known = torch.stack([past.sums[i] if past.sums else torch.zeros_like(x[0]) for past in self.before])
        for past, own in zip(self.after, known + x, strict=True):
            past.sums.append(own.clone())
        return known

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`: the keys and values of `context` final steps come before the window's own."""
        normal, i = norm(x), len(self.after[0].keys)
        kept = [most for most in (self.context, attention.window and attention.window - 1) if most is not None]
        new = torch.stack(attention.keys_and_values(normal, rotation))  # (2, batch, steps, width)
        keys = []  # of each stream (2, steps, width)
        for j, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            keys.append(extended(before.keys[i] if before.keys else None, new[:, j]))
            end = keys[j].shape[1] - x.shape[1] + self.num_final
            after.keys.append(keys[j][:, max(0, end - min(kept)) if kept else 0 : end])
        if x.device.type == "cpu":  # each by itself: nothing is padded, and no bit depends on the streams beside it
            return x + attention.attend_apart(normal, keys, biases, rotation)
        lengths = [stream.shape[1] for stream in keys]
        start: int | Tensor = lengths[0] - x.shape[1]
        valid = None
        if min(lengths) != max(lengths):
            keys = [F.pad(stream, (0, 0, 0, max(lengths) - stream.shape[1])) for stream in keys]
            valid = torch.tensor(lengths, device=x.device)
            start = valid - x.shape[1]
        k, v = (keys[0][None] if len(keys) == 1 else torch.stack(keys)).unbind(1)
        return x + attention.attend(normal, start, k, v, valid, biases, rotation)

    def positions(self, x: Tensor) -> Tensor:
        """`Time.positions`: a window goes on from the final steps before it."""
        first = torch.tensor([past.num_steps for past in self.before], device=x.device)
        return first[:, None] + torch.arange(x.shape[1], device=x.device)

    def _after_known(self, x: Tensor, reach: int, dim: int) -> Tensor:
        """`Windowed._after_known`."""
        i, num_known = len(self.after[0].steps), 0
        if self.before[0].steps:
            known = torch.stack([past.steps[i] for past in self.before])
            num_known = known.shape[dim]
            x = torch.cat([known, x], dim)
        end = num_known + self.num_final
        first = max(0, end - reach)
        for past, steps in zip(self.after, x, strict=True):
            past.steps.append(steps.narrow(dim - 1, first, end - first).clone())
        return x


def steps_within(budget: int, bytes_per_step: int, halo: int = 0) -> int:
    """Compute how many steps a tile may want, so that these and a halo on both sides fit the budget; at least a halo.

    With less than its halo to want, a tile would mostly compute what others compute too.
    """
    return max(1, halo, budget // bytes_per_step - 2 * halo)


def query_blocks(attention: BlockwiseAttention, x: Tensor, k: Tensor, budget: int) -> Iterator[Tile]:
    """Cut queries made of `x`, shape (batch, time, hidden_size), into blocks alike that take at most so many bytes."""
    width, most = attention.query_width(x, k)
    size = steps_within(budget, TENSORS * x.shape[0] * width * max(4, x.itemsize))
    count = -(-x.shape[1] // min(size, most or size))
    return tiles(x.shape[1], -(-x.shape[1] // count))


def steps_in(block: slice, x: Tensor | None) -> Tensor | None:
    """Return a block of the steps of `x`, (batch, time, channels), if there is any."""
    return None if x is None else x[:, block]


def sides(reach: Reach) -> tuple[int, int]:
    """Return how far to each side."""
    return reach if isinstance(reach, tuple) else (reach, reach)
