"""The acoustic encoder: a convolutional stack from samples to latents (BigCodec, Xin et al., 2024, after DAC)."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from xcodec import kernels
from xcodec.modules.conv import MaskedConv1d, channels_last, conv_output_length
from xcodec.modules.snake import AntiAliasedActivation, SnakeBeta

__all__ = ["AcousticEncoder"]

DILATIONS = (1, 3, 9)
MakeActivation = Callable[[int], nn.Module]


def anti_aliased_snake_beta(channels: int) -> AntiAliasedActivation:
    """The activation of X-Codec2's acoustic encoder."""
    return AntiAliasedActivation(SnakeBeta(channels))


class ResidualUnit(nn.Module):
    """Activation, dilated convolution of 7 taps, activation, pointwise convolution; added to the input."""

    def __init__(self, channels: int, dilation: int, activation: MakeActivation) -> None:
        super().__init__()
        self.snake1 = activation(channels)
        self.conv1 = MaskedConv1d(channels, channels, kernel_size=7, dilation=dilation, padding=3 * dilation)
        self.snake2 = activation(channels)
        self.conv2 = MaskedConv1d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        y = self.conv1(self.snake1(x, lengths), lengths)
        return x + self.conv2(self.snake2(y, lengths))  # a pointwise convolution mixes no time: no lengths


class EncoderBlock(nn.Module):
    """Three residual units of growing dilation, then a strided convolution that doubles the channels."""

    def __init__(self, channels: int, stride: int, activation: MakeActivation) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d, activation) for d in DILATIONS)
        self.snake1 = activation(channels)
        self.conv1 = MaskedConv1d(
            channels, 2 * channels, kernel_size=2 * stride, stride=stride, padding=math.ceil(stride / 2)
        )

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, channels, time) to (batch, 2 * channels, time // stride)."""
        x = self.res_unit1(x, lengths)
        x = self.res_unit2(x, lengths)
        x = self.res_unit3(x, lengths)
        return self.conv1(self.snake1(x, lengths), lengths)


class AcousticEncoder(nn.Module):
    """From a waveform to one latent vector per hop.

    Args:
        base_channels: channels after the first convolution; each stride doubles them.
        strides: downsampling of each block; their product is the hop length in samples.
        output_size: width of the latents.
        activation: makes an activation for a number of channels; called with (x, lengths).
    """

    def __init__(
        self,
        base_channels: int,
        strides: Sequence[int],
        output_size: int,
        activation: MakeActivation = anti_aliased_snake_beta,
    ) -> None:
        super().__init__()
        channels = [base_channels * 2**i for i in range(len(strides) + 1)]
        self.conv1 = MaskedConv1d(1, base_channels, kernel_size=7, padding=3)
        self.strides = tuple(strides)
        self.block = nn.ModuleList(
            EncoderBlock(width, stride, activation) for width, stride in zip(channels, strides, strict=False)
        )
        self.snake1 = activation(channels[-1])
        self.conv2 = MaskedConv1d(channels[-1], output_size, kernel_size=3, padding=1)

    def output_length(self, num_samples: int) -> int:
        """How many latent vectors so many samples make."""
        for block in self.block:
            assert isinstance(block, EncoderBlock)
            num_samples = conv_output_length(block.conv1, num_samples)
        return num_samples

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, 1, samples), samples a multiple of the hop length.
            lengths: valid samples of each clip, multiples of the hop length, shape (batch,).

        Returns:
            Shape (batch, output_size, samples // hop_length); past a clip's end it means nothing.
        """
        x = self.conv1(waveform, lengths)
        if kernels.serves(x):  # its layout; the convolutions keep it
            x = channels_last(x)
        for block, stride in zip(self.block, self.strides, strict=True):
            x = block(x, lengths)
            lengths = None if lengths is None else lengths // stride
        return self.conv2(self.snake1(x, lengths), lengths)
