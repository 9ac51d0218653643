"""More steps of time between a decoder's transformer and its inverse STFT, for rates above the encoder's.

After Anime-XCodec2-44.1kHz, a descendant of X-Codec2.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConvTranspose1d
from xcodec.modules.linear import Linear
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.time import WHOLE, Time

__all__ = ["Upsampler"]


class Upsampler(nn.Module):
    """Stages of a transposed convolution that halves the channels and a ResNet block; then linear and swish.

    Args:
        size: channels of the input and of the output, a multiple of 32 after it was halved by every stage.
        ratios: steps that each stage makes of one.
        kernel_sizes: taps of each stage; a stage's taps exceed its ratio by an even number.
        dropout: probability of dropping an activation in the ResNet blocks in training.
    """

    def __init__(self, size: int, ratios: Sequence[int], kernel_sizes: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.ratios = tuple(ratios)
        widths = [size // 2**i for i in range(len(ratios) + 1)]
        self.convs = nn.ModuleList(
            MaskedConvTranspose1d(width, narrower, taps, stride=ratio, padding=(taps - ratio) // 2)
            for width, narrower, taps, ratio in zip(widths, widths[1:], kernel_sizes, ratios, strict=False)
        )
        self.blocks = nn.ModuleList(ResNetBlock(width, dropout) for width in widths[1:])
        self.linear = Linear(widths[-1], size)

    def forward(self, x: Tensor, time: Time = WHOLE) -> tuple[Tensor, Time]:
        """Upsample.

        Args:
            x: shape (batch, time, size).
            time: of `x`.

        Returns:
            Shape (batch, time * product of the ratios, size), and its time.
        """
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for conv, block, ratio in zip(self.convs, self.blocks, self.ratios, strict=True):
            assert isinstance(conv, MaskedConvTranspose1d)
            width = max(conv.in_channels, ratio * conv.out_channels)
            x = time.map(conv, x, reach=-(-conv.kernel_size[0] // ratio), dim=2, up=ratio, width=width)
            time = time.at(ratio)
            x = block(x, time)
        size = self.linear.out_features
        return time.map(lambda part, _: F.silu(self.linear(part)), x.transpose(1, 2), width=size), time
