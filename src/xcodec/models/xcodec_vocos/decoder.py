"""Vocos (Siuzdak, 2023): from one vector a step to a waveform, by ConvNeXt blocks and an inverse STFT."""

from torch import Tensor, nn

from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.istft import OVERLAP, ISTFTHead
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.vocos import EPS, VocosBlock

__all__ = ["VocosDecoder"]

TAPS = 7


class VocosDecoder(nn.Module):
    """A convolution, ConvNeXt blocks, and the inverse STFT.

    Args:
        config: says how wide what is decoded and the blocks are, how many blocks there are, and what a step becomes.
    """

    def __init__(self, config: XcodecVocosConfig) -> None:
        super().__init__()
        input_size, hidden_size = config.hidden_size, config.decoder_hidden_size
        intermediate_size, num_layers = config.decoder_intermediate_size, config.decoder_num_layers
        self.embed = MaskedConv1d(input_size, hidden_size, kernel_size=TAPS, padding=TAPS // 2)
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.layers = nn.ModuleList(
            VocosBlock(hidden_size, intermediate_size, 1 / num_layers) for _ in range(num_layers)
        )
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = self.build_head(config)
        self.width = max(input_size, intermediate_size)

    @staticmethod
    def build_head(config: XcodecVocosConfig) -> ISTFTHead:
        """Make the head."""
        hop_length = config.decoder_hop_length
        return ISTFTHead(config.decoder_hidden_size, OVERLAP * hop_length, hop_length)

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
