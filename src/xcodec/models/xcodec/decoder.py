"""X-Codec's decoder: latents to samples through transposed convolutions (DAC, Kumar et al., 2023)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from xcodec import kernels
from xcodec.models.acoustic import DILATIONS, ResidualUnit, reach_of
from xcodec.modules.conv import MaskedConv1d, MaskedConvTranspose1d, channels_last
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.snake import Snake
from xcodec.modules.time import WHOLE, Time

__all__ = ["AcousticDecoder", "DecoderBlock"]


class DecoderBlock(nn.Module):
    """A transposed convolution that halves the channels, then three residual units of growing dilation."""

    def __init__(self, channels: int, output_channels: int, stride: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        # Odd strides get one step more at the end, so that every stride gives exactly `stride` steps for one.
        self.conv_t1 = MaskedConvTranspose1d(
            channels,
            output_channels,
            kernel_size=2 * stride,
            stride=stride,
            padding=math.ceil(stride / 2),
            output_padding=stride % 2,
        )
        self.res_unit1, self.res_unit2, self.res_unit3 = (ResidualUnit(output_channels, d, Snake) for d in DILATIONS)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, channels, time) to (batch, output_channels, time * stride); `lengths` counts input steps."""
        x = self.conv_t1(self.snake1(x), lengths)
        lengths = None if lengths is None else lengths * self.conv_t1.stride[0]
        x = self.res_unit1(x, lengths)
        x = self.res_unit2(x, lengths)
        return self.res_unit3(x, lengths)


class AcousticDecoder(nn.Module):
    """From one latent vector per hop to a waveform. Unlike DAC it does not end in a tanh.

    Args:
        input_size: width of the latents.
        base_channels: channels after the first convolution; each stride halves them.
        strides: upsampling of each block; their product is the hop length in samples.
    """

    def __init__(self, input_size: int, base_channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        channels = [base_channels // 2**i for i in range(len(strides) + 1)]
        self.conv1 = MaskedConv1d(input_size, base_channels, kernel_size=7, padding=3)
        self.strides = tuple(strides)
        self.block = nn.ModuleList(
            DecoderBlock(width, narrower, stride)
            for width, narrower, stride in zip(channels, channels[1:], strides, strict=False)
        )
        self.snake1 = Snake(channels[-1])
        self.conv2 = MaskedConv1d(channels[-1], 1, kernel_size=7, padding=3)

    @property
    def halo(self) -> int:
        """How many latent vectors to either side a sample depends on, beyond that of its own hop."""
        step = math.prod(self.strides)  # in samples, of the latents first and then of each block
        samples = reach_of(self.conv1) * step
        for block, stride in zip(self.block, self.strides, strict=True):
            assert isinstance(block, DecoderBlock)
            units = (block.res_unit1, block.res_unit2, block.res_unit3)
            samples += reach_of(block.conv_t1) * step
            step //= stride
            samples += sum(unit.reach for unit in units) * step
        return -(-(samples + reach_of(self.conv2)) // math.prod(self.strides))

    def forward(self, latents: Tensor, time: Time = WHOLE) -> Tensor:
        """Decode.

        Args:
            latents: shape (batch, input_size, time).
            time: of the latents.

        Returns:
            Samples, shape (batch, 1, time * hop_length), zeros past each clip's end.
        """
        # In each block, channels times steps per latent vector.
        widths = [self.conv1.out_channels // 2**i * math.prod(self.strides[:i]) for i in range(len(self.strides) + 1)]
        up = math.prod(self.strides)
        return time.map(self._decoded, latents, width=max(widths), reach=self.halo, dim=2, up=up, told=True)

    def _decoded(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        if kernels.serves(latents):  # its layout; the convolutions keep it
            latents = channels_last(latents)
        x = self.conv1(latents, lengths)
        for block, stride in zip(self.block, self.strides, strict=True):
            x = block(x, lengths)
            lengths = None if lengths is None else lengths * stride
        return zero_past_end(self.conv2(self.snake1(x), lengths), lengths)
