"""Vocos (Siuzdak, 2023): from one vector a step to a waveform, by ConvNeXt blocks and an inverse STFT."""

from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.istft import GatedISTFTHead, ISTFTHead
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.vocos import EPS, VocosBlock

__all__ = ["VocosDecoder"]

TAPS = 7
OVERLAP = 4  # hops in a frame
HEADS = {"polar": ISTFTHead, "gated": GatedISTFTHead}


class VocosDecoder(nn.Module):
    """A convolution, ConvNeXt blocks, and the inverse STFT.

    Args:
        input_size: width of what is decoded.
        hidden_size: width of the blocks.
        intermediate_size: width inside them.
        num_layers: how many there are.
        hop_length: samples that a step becomes.
        head: which of `HEADS` makes the samples.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        hop_length: int,
        head: str = "polar",
    ) -> None:
        super().__init__()
        self.embed = MaskedConv1d(input_size, hidden_size, kernel_size=TAPS, padding=TAPS // 2)
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.layers = nn.ModuleList(
            VocosBlock(hidden_size, intermediate_size, 1 / num_layers) for _ in range(num_layers)
        )
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = HEADS[head](hidden_size, OVERLAP * hop_length, hop_length)
        self.width = max(input_size, intermediate_size)

    @property
    def halo(self) -> int:
        """How many steps to either side the head's input depends on."""
        return TAPS // 2 + VocosBlock.reach * len(self.layers)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Decode.

        Args:
            x: shape (batch, time, input_size).
            time: of `x`.

        Returns:
            Samples, float32 (batch, 1, time * hop_length), zeros past each clip's end.
        """
        states = time.map(self._states, x, width=self.width, reach=self.halo, told=True)
        return self.head(states, time)

    def _states(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.norm1(self.embed(x.transpose(1, 2), lengths).transpose(1, 2))
        for layer in self.layers:
            x = layer(x, lengths)
        states: Tensor = self.norm2(x)
        return states
