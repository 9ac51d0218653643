"""StreamDecoder: `xcodec.StreamDecoder` on ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xcodec.code_stream import Auto, CodeStream, Window
from xcodec.runtime.codec import Codec
from xcodec.runtime.manifest import LEFT_OUT

__all__ = ["StreamDecoder"]

PAST, NEXT, KEYS = "past_", "next_", "keys_"
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
}


@dataclass(frozen=True)
class Memory:
    """What a stream carries on.

    Attributes:
        done: frames whose audio has left.
        arrays: what the graph remembers of them, by name, each with a batch of 1.
    """

    done: int
    arrays: dict[str, np.ndarray]

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """What streams have in common that can be a batch."""
        return tuple(array.shape for array in self.arrays.values())


class StreamDecoder(CodeStream):
    """Decode a stream of codes by the step that `xcodec export --stream` wrote; many may share one codec.

    It gives the audio that `xcodec.StreamDecoder` gives, whose interface it has. As with `Codec`, each stream goes
    through the graph alone.

    Args:
        codec: the exported codec.
        context: as for `xcodec.StreamDecoder`.
        lookahead: likewise.
        chunk: likewise.

    Raises:
        CheckpointError: where the codec was exported without the step.
        InputError: for a number out of range.
    """

    def __init__(
        self,
        codec: Codec,
        context: int | Auto | None = "auto",
        lookahead: int | Auto = "auto",
        chunk: int | Sequence[int] | Auto = "auto",
    ) -> None:
        super().__init__(codec, context, lookahead, chunk)
        self.session = codec.decoder_step

    @staticmethod
    def decode_alike(windows: Sequence[Window]) -> tuple[Sequence[np.ndarray], Sequence[Memory]]:
        """`CodeStream.decode_alike`."""
        decoded = [decode(window) for window in windows]
        return [samples for samples, _ in decoded], [memory for _, memory in decoded]


def decode(window: Window) -> tuple[np.ndarray, Memory]:
    """Decode one window: its samples, and what is carried on."""
    stream = window.stream
    assert isinstance(stream, StreamDecoder), "whose window it is"
    memory = window.past if isinstance(window.past, Memory) else beginning(stream.session)
    codes = np.full((1, len(stream.codec.codebook_sizes), window.ids.shape[1]), LEFT_OUT, np.int64)
    codes[0, : len(window.ids)] = window.ids
    given = {
        "codes": codes[:, :, : window.num_final],
        "ahead": codes[:, :, window.num_final :],
        "done": np.array([memory.done], np.int64),
        **{PAST + name: array for name, array in memory.arrays.items()},
    }
    taken = {each.name for each in stream.session.get_inputs()}  # a model without positions asks for none
    names = [each.name for each in stream.session.get_outputs()]
    made = dict(zip(names, stream.session.run(names, {k: v for k, v in given.items() if k in taken}), strict=True))
    arrays = {name: within(stream.context, name, made[NEXT + name]) for name in memory.arrays}
    return made["audio"][0], Memory(memory.done + window.num_final, arrays)


def beginning(session: Any) -> Memory:
    """Return what a stream begins with: no steps, and moments and sums of nothing."""
    arrays = {}
    for each in session.get_inputs():
        if each.name.startswith(PAST):
            _, *shape = each.shape  # what may have any size has a name in the place of one
            shape = [1, *(size if isinstance(size, int) else 0 for size in shape)]
            arrays[each.name.removeprefix(PAST)] = np.zeros(shape, DTYPES[each.type])
    return Memory(0, arrays)


def within(context: int | None, name: str, array: np.ndarray) -> np.ndarray:
    """Forget the keys of steps that are further back than a context, which is the stream's own choice."""
    if context is None or not name.startswith(KEYS):
        return array
    return array[:, :, max(0, array.shape[2] - context) :]
