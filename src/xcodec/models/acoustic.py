"""The acoustic encoder: a convolutional stack from samples to latents (BigCodec, Xin et al., 2024, after DAC)."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from xcodec import kernels
from xcodec.modules.conv import MaskedConv1d, channels_last, conv_output_length
from xcodec.modules.snake import FILTER_TAPS, AntiAliasedActivation, SnakeBeta
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.toom_conv import ToomConv1d

__all__ = ["DILATIONS", "AcousticEncoder", "EncoderBlock", "ResidualUnit", "reach_of"]

DILATIONS = (1, 3, 9)
MakeActivation = Callable[[int], nn.Module]


def anti_aliased_snake_beta(channels: int) -> AntiAliasedActivation:
    """The activation of X-Codec2's acoustic encoder."""
    return AntiAliasedActivation(SnakeBeta(channels))


def reach_of(layer: nn.Module) -> int:
    """How many steps of its input before or after its own, at most, an output of a layer depends on."""
    if isinstance(layer, AntiAliasedActivation):  # two filters at twice the rate, each half its taps to either side
        return FILTER_TAPS // 2 - 1
    if isinstance(layer, nn.Conv1d):
        padding = int(layer.padding[0])
        return max(padding, layer.dilation[0] * (layer.kernel_size[0] - 1) - padding)
    if isinstance(
        layer, nn.ConvTranspose1d
    ):  # input i makes outputs i * stride - padding and as many as there are taps
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        return max((kernel - 1 - padding) // stride, (stride - 1 + padding) // stride)
    return 0


class ResidualUnit(nn.Module):
    """Activation, dilated convolution of 7 taps, activation, pointwise convolution; added to the input."""

    def __init__(self, channels: int, dilation: int, activation: MakeActivation) -> None:
        super().__init__()
        self.snake1 = activation(channels)
        self.conv1 = ToomConv1d(channels, channels, kernel_size=7, dilation=dilation, padding=3 * dilation)
        self.snake2 = activation(channels)
        self.conv2 = MaskedConv1d(channels, channels, kernel_size=1)

    @property
    def reach(self) -> int:
        """How many steps to either side an output depends on."""
        return sum(reach_of(layer) for layer in (self.snake1, self.conv1, self.snake2, self.conv2))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, channels, time); `lengths` counts valid steps, shape (batch,)."""
        y = self.conv1(self.snake1(x, lengths), lengths)
        y = self.conv2(self.snake2(y, lengths))  # a pointwise convolution mixes no time: no lengths
        # In place where no gradient needs y, for a large buffer less; under autocast the sum takes the wider dtype.
        return x + y if torch.is_grad_enabled() or x.dtype != y.dtype else y.add_(x)


class EncoderBlock(nn.Module):
    """Three residual units of growing dilation, then a strided convolution that doubles the channels."""

    def __init__(self, channels: int, stride: int, activation: MakeActivation) -> None:
        super().__init__()
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(channels, d, activation) for d in DILATIONS)
        self.snake1 = activation(channels)
        self.conv1 = MaskedConv1d(
            channels, 2 * channels, kernel_size=2 * stride, stride=stride, padding=math.ceil(stride / 2)
        )

    @property
    def reach(self) -> int:
        """How many steps of its input to either side an output depends on."""
        units = (self.res_unit1, self.res_unit2, self.res_unit3)
        return sum(unit.reach for unit in units) + reach_of(self.snake1) + reach_of(self.conv1)

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

    @property
    def halo(self) -> int:
        """How many latent vectors' worth of samples to either side one depends on, beyond its own hop."""
        samples, rate = reach_of(self.conv1), 1
        for block, stride in zip(self.block, self.strides, strict=True):
            assert isinstance(block, EncoderBlock)
            samples += block.reach * rate
            rate *= stride
        samples += (reach_of(self.snake1) + reach_of(self.conv2)) * rate
        return -(-samples // rate)

    def output_length(self, num_samples: int) -> int:
        """How many latent vectors so many samples make."""
        for block in self.block:
            assert isinstance(block, EncoderBlock)
            num_samples = conv_output_length(block.conv1, num_samples)
        return num_samples

    def forward(self, waveform: Tensor, time: Time = WHOLE) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, 1, samples), samples a multiple of the hop length.
            time: of the samples; the clips' lengths are multiples of the hop length.

        Returns:
            Shape (batch, output_size, samples // hop_length); past a clip's end it means nothing.
        """
        channels = self.conv1.out_channels
        rates = [math.prod(self.strides[i:]) for i in range(len(self.strides))]  # steps per latent vector in each block
        width = max(channels * 2**i * rate for i, rate in enumerate(rates))
        if not kernels.serves(waveform) or channels % 16:
            # Without the kernel some tensors are twice as long, and oneDNN unrolls the taps of narrow convolutions.
            width = 7 * width // 3
        return time.map(
            self._encoded,
            waveform,
            width=width,
            reach=self.halo,
            dim=2,
            down=math.prod(self.strides),
            steps=self.output_length(waveform.shape[-1]),
            clips_apart=True,
            told=True,
        )

    def _encoded(self, waveform: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.conv1(waveform, lengths)
        if kernels.serves(x):  # its layout; the convolutions keep it
            x = channels_last(x)
        for block, stride in zip(self.block, self.strides, strict=True):
            x = block(x, lengths)
            lengths = None if lengths is None else lengths // stride
        return self.conv2(self.snake1(x, lengths), lengths)
