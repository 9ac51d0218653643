"""One step of a stream as a graph: the next codes and what is remembered in, their audio and what to remember out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim
from typing_extensions import Self

from xcodec.export.graphs import EXAMPLE_CODES, Graph
from xcodec.models.codec_model import CodecModel
from xcodec.modules.attention import BlockwiseAttention
from xcodec.modules.time import Windowed

__all__ = ["DecoderStepGraph"]

STEPS, MOMENTS, SUMS, KEYS = "steps", "moments", "sums", "keys"


@dataclass(frozen=True)
class Kept:
    """One thing that is remembered.

    Attributes:
        kind: the last inputs of a map (`STEPS`), what a norm has seen (`MOMENTS`), a sum (`SUMS`), or keys and values
            (`KEYS`).
        value: with the batch first; as `xcodec.modules.time.Past` has them.
        dim: where its steps are; None where it has none.
        most: how many steps are kept at most, and at which rate; None where nothing is forgotten here.
    """

    kind: str
    value: Tensor
    dim: int | None = None
    most: tuple[int, int] | None = None


@dataclass
class Memory:
    """What is remembered from before, in the order in which the blocks ask for it, and what will be."""

    before: Sequence[Tensor]
    after: list[Kept] = field(default_factory=list)

    def next(self, empty: Callable[[], Tensor]) -> Tensor:
        """Return what comes next; `empty` makes it where a stream begins."""
        return self.before[len(self.after)] if self.before else empty()


class SteppedTime(Windowed):
    """Streams that remember equally much, whose memory is a batch.

    Args:
        memory: what is remembered.
        done: how many steps were final before, integers (batch,).
        num_final: how many steps of the window become final.
        rate: of them to one code.
    """

    def __init__(self, memory: Memory, done: Tensor, num_final: int, rate: int = 1) -> None:
        super().__init__(num_final)
        self.memory, self.done, self.rate = memory, done, rate

    def at(self, rate: int) -> Self:
        """`Time.at`."""
        faster = super().at(rate)
        faster.rate = self.rate * rate
        return faster

    def _after_known(self, x: Tensor, reach: int, dim: int) -> Tensor:
        """`Windowed._after_known`."""
        known = self.memory.next(lambda: x.narrow(dim, 0, 0))
        shown = torch.cat([known, x], dim)
        self._keep(STEPS, shown, dim, known.shape[dim], reach)
        return shown

    def _added_up(self, moments: Tensor) -> Tensor:
        """`Windowed._added_up`."""
        moments = self.memory.next(lambda: torch.zeros_like(moments)) + moments
        self.memory.after.append(Kept(MOMENTS, moments))
        return moments

    def _summed_up(self, x: Tensor) -> Tensor:
        """`Windowed._summed_up`."""
        known = self.memory.next(lambda: torch.zeros_like(x))
        self.memory.after.append(Kept(SUMS, known + x))
        return known

    def attend(
        self,
        attention: BlockwiseAttention,
        x: Tensor,
        norm: Callable[[Tensor], Tensor],
        biases: Tensor | None = None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """`Time.attend`: the keys of all final steps are kept; it is the caller who knows a context."""
        normal = norm(x)
        new = torch.stack(attention.keys_and_values(normal, rotation), 1)  # (batch, 2, steps, width)
        known = self.memory.next(lambda: new[:, :, :0])
        keys = torch.cat([known, new], 2)
        self._keep(KEYS, keys, 2, known.shape[2], None if attention.window is None else attention.window - 1)
        k, v = keys.unbind(1)
        return x + attention.attend(normal, self._first(known, 2), k, v, None, biases, rotation)

    def positions(self, x: Tensor) -> Tensor:
        """`Time.positions`."""
        return self.done.unsqueeze(1) + torch.arange(x.shape[1], device=x.device)

    def _first(self, known: Tensor, dim: int) -> Tensor:
        """Tell which key is that of the window's first step, (batch,)."""
        return torch.zeros_like(self.done) + known.shape[dim]

    def _keep(self, kind: str, x: Tensor, dim: int, num_known: int, most: int | None) -> None:
        """Remember of `x` the final steps, the last `most` of them."""
        end = num_known + self.num_final
        first = 0 if most is None else torch.sym_max(0, end - most)
        kept = x.narrow(dim, first, end - first)
        self.memory.after.append(Kept(kind, kept, dim, None if most is None else (most, self.rate)))


class DecoderStepGraph(Graph):
    """From the next codes of streams to their audio.

    Args:
        model: what `portable` made of a codec's model.
    """

    def __init__(self, model: CodecModel) -> None:
        super().__init__(model)
        # Long enough that every memory is full: how large each is, is how far back its block reaches.
        codes, ahead, done = self._codes(EXAMPLE_CODES)
        with torch.no_grad():
            _, self.kept = self._step(codes, ahead, done, ())
        names = [f"{kept.kind}_{i}" for i, kept in enumerate(self.kept)]
        self.inputs = ("codes", "ahead", "done", *(f"past_{name}" for name in names))
        self.outputs = ("audio", "next_done", *(f"next_{name}" for name in names))

    def forward(self, codes: Tensor, ahead: Tensor, done: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Decode.

        Args:
            codes: int64 (batch, codebooks, frames), which become final; those of a codebook that is left out are -1.
            ahead: the codes after them that have come, likewise, maybe none: they come again.
            done: how many frames each stream has had before, int64 (batch,).
            *past: what is remembered of those, of no steps where a stream begins; moments and sums are then zeros.

        Returns:
            Samples, float32 (batch, samples), of the final frames, and maybe of those ahead; how many frames are done;
            and what is to be remembered.
        """
        samples, kept = self._step(codes, ahead, done, past)
        return samples[:, 0].float(), done + codes.shape[2], *(each.value for each in kept)

    def _step(self, codes: Tensor, ahead: Tensor, done: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Kept]]:
        memory = Memory(past)
        time = SteppedTime(memory, done, codes.shape[2])
        return self.model.synthesize(torch.cat([codes, ahead], 2), time), memory.after

    def _codes(self, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        codes = torch.zeros(2, len(self.model.codebook_sizes), frames, dtype=torch.int64)
        return codes, codes[:, :, : frames // 2].clone(), torch.full((2,), frames)

    def examples(self) -> tuple[Tensor, ...]:
        """`Graph.examples`."""
        return (*self._codes(EXAMPLE_CODES), *(kept.value.clone() for kept in self.kept))

    @property
    def dynamic_shapes(self) -> dict[str, Any]:
        """`Graph.dynamic_shapes`: memories of one size and rate are always equally full."""
        batch = Dim("batch")
        past = []
        for kept in self.kept:
            shape = {0: batch}
            if kept.dim is not None:
                name = "kept" if kept.most is None else "known_{}_at_{}".format(*kept.most)
                shape[kept.dim] = Dim(name)
            past.append(shape)
        return {
            "codes": {0: batch, 2: Dim("frames")},
            "ahead": {0: batch, 2: Dim("frames_ahead")},
            "done": {0: batch},
            "past": tuple(past),
        }
