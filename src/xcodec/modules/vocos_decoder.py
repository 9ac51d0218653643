"""Vocos (Siuzdak, 2023): from one vector a step to a waveform, by ConvNeXt blocks and a head that makes samples."""

from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.vocos import EPS, VocosBlock

__all__ = ["VocosDecoder"]

TAPS = 7


class VocosDecoder(nn.Module):
    """A convolution, ConvNeXt blocks, and a head.

    Args:
        input_size: width of what is decoded.
        hidden_size: width of the blocks.
        intermediate_size: width inside them.
        num_layers: how many there are.
        head: makes samples of their states: Vocos' inverse STFT, or pulses and noise behind filters.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        head: ISTFTHead | HarmonicHead,
    ) -> None:
        super().__init__()
        self.embed = MaskedConv1d(input_size, hidden_size, kernel_size=TAPS, padding=TAPS // 2)
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.layers = nn.ModuleList(
            VocosBlock(hidden_size, intermediate_size, 1 / num_layers) for _ in range(num_layers)
        )
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = head
        self.width = max(input_size, intermediate_size)

    @property
    def halo(self) -> int:
        """How many steps to either side the head's input depends on."""
        return TAPS // 2 + VocosBlock.reach * len(self.layers)

    @property
    def lookahead(self) -> int:
        """How many steps after its own a sample depends on."""
        return self.halo + self.head.reach

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
        return time.map(self._states, x, width=self.width, reach=self.halo, told=True), time

    def _states(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.norm1(self.embed(x.transpose(1, 2), lengths).transpose(1, 2))
        for layer in self.layers:
            x = layer(x, lengths)
        states: Tensor = self.norm2(x)
        return states
