"""More steps of time between a decoder's transformer and its inverse STFT, for rates above the encoder's.

After Anime-XCodec2-44.1kHz, a descendant of X-Codec2.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConvTranspose1d
from xcodec.modules.linear import Linear
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.tiles import join, steps_within, tiled, tiles

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

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Upsample.

        Args:
            x: shape (batch, time, size).
            lengths: valid steps of each clip, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.

        Returns:
            Shape (batch, time * product of the ratios, size), and its lengths.
        """
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for conv, block, ratio in zip(self.convs, self.blocks, self.ratios, strict=True):
            x = stretched(conv, x, lengths, max_bytes)
            lengths = None if lengths is None else ratio * lengths
            x = block(x, lengths, max_bytes)
        x = x.transpose(1, 2)  # -> (batch, time, channels)
        if not tiled(max_bytes):
            return F.silu(self.linear(x)), lengths
        size = steps_within(max_bytes, 2 * x.shape[0] * self.linear.out_features * x.element_size())
        parts = (F.silu(self.linear(x[:, tile.wanted]), inplace=True) for tile in tiles(x.shape[1], size))
        return join(parts, x.shape[1]), lengths


def stretched(conv: nn.Module, x: Tensor, lengths: Tensor | None, max_bytes: int | None) -> Tensor:
    """Upsample by a transposed convolution, (batch, channels, time), in tiles where a limit is given."""
    assert isinstance(conv, MaskedConvTranspose1d)
    if not tiled(max_bytes):
        return conv(x, lengths)
    ratio, reach = conv.stride[0], -(-conv.kernel_size[0] // conv.stride[0])
    bytes_per_step = x.shape[0] * (2 * conv.in_channels + 2 * ratio * conv.out_channels) * x.element_size()
    cut = tiles(x.shape[2], steps_within(max_bytes, bytes_per_step, reach), reach, reach)
    parts = (conv(x[..., tile.read], tile.lengths(lengths))[..., tile.at(ratio).kept].transpose(1, 2) for tile in cut)
    return join(parts, ratio * x.shape[2]).transpose(1, 2)
