"""Vocos (Siuzdak, 2023): from one vector a step to a waveform, by ConvNeXt blocks and a head that makes samples."""

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
        convs = [self.embed, *(cast(VocosBlock, layer).conv for layer in self.layers)]
        before, after = zip(*map(conv_reach, convs), strict=True)
        return sum(before), sum(after)

    @property
    def lookahead(self) -> int:
        """How many steps after its own a sample depends on."""
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
        return time.map(self._states, x, width=self.width, reach=self.reach, told=True), time

    def _states(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.norm1(as_many_steps(self.embed, x.transpose(1, 2), lengths).transpose(1, 2))
        for layer in self.layers:
            x = layer(x, lengths)
        states: Tensor = self.norm2(x)
        return states
