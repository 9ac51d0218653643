"""Vocos (Siuzdak, 2023): from one vector a step to a waveform, by ConvNeXt blocks and a head that makes samples."""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from xcodec.modules.conv import as_many_steps, conv_ahead, conv_reach
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.vocos import AROUND, EPS, TAPS, VocosBlock

__all__ = ["VocosDecoder"]


class VocosDecoder(nn.Module):
    """A convolution, ConvNeXt blocks, and a head.

    Args:
        input_size: width of what is decoded.
        hidden_size: width of the blocks.
        intermediate_size: width inside them.
        num_layers: how many there are.
        head: makes samples of their states: Vocos' inverse STFT, or pulses and noise behind filters.
        lookahead: how many steps after its own a sample depends on, at least as many as the head sees: the first
            convolution sees the rest of them, and the blocks only what was before. None is as far ahead as back.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        head: ISTFTHead | HarmonicHead,
        lookahead: int | None = None,
    ) -> None:
        super().__init__()
        first, others = (AROUND, AROUND) if lookahead is None else (lookahead - head.reach[1], 0)
        self.embed = conv_ahead(input_size, hidden_size, TAPS, first)
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.layers = nn.ModuleList(
            VocosBlock(hidden_size, intermediate_size, 1 / num_layers, others) for _ in range(num_layers)
        )
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = head
        self.width = max(input_size, intermediate_size)

    @property
    def reach(self) -> tuple[int, int]:
        """How many steps before and after its own the head's input depends on."""
        before, after = zip(*(reach for _, reach in self._maps()), strict=True)
        return sum(before), sum(after)

    @property
    def lookahead(self) -> int:
        """How many steps after its own a sample depends on, at most."""
        return self.reach[1] + self.head.reach[1]

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Decode.

        Args:
            x: shape (batch, time, input_size).
            time: of `x`.

        Returns:
            Samples, float32 (batch, 1, time * hop_length), zeros past each clip's end.
        """
        return self.head(*self.hidden(x, time))

    def hidden(self, x: Tensor, time: Time = WHOLE) -> tuple[Tensor, Time]:
        """Compute what the head reads, (batch, time, hidden size), and what time it is of."""
        return time.chain(self._maps(), x, width=self.width), time

    def _maps(self) -> list[tuple[Callable[..., Tensor], tuple[int, int]]]:
        """What is computed one after the other, and how far each reaches."""
        layers = [cast(VocosBlock, layer) for layer in self.layers]
        return [
            (self._embedded, conv_reach(self.embed)),
            *((layer, conv_reach(layer.conv)) for layer in layers),
            (lambda part, _: self.norm2(part), (0, 0)),
        ]

    def _embedded(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        embedded: Tensor = self.norm1(as_many_steps(self.embed, x.transpose(1, 2), lengths).transpose(1, 2))
        return embedded
