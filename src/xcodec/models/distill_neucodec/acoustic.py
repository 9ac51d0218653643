"""DistillNeuCodec's acoustic encoder: convolutions from samples to 250 steps a second, then local transformers."""

from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.convnext_encoder import ConvEncoder
from xcodec.modules.local_attention import LocalTransformer
from xcodec.modules.time import WHOLE, Whole
from xcodec.progress import share

__all__ = ["AcousticEncoder"]

CONV_SHARE = 0.3  # of the work, whose rest is the transformers'


class AcousticEncoder(nn.Module):
    """From a waveform to one latent vector per hop: convolutions, and between two local transformers another one.

    Args:
        convolutions: from samples to the first transformer's steps.
        transformer1: at the steps' rate.
        stride: steps per hop.
        transformer2: at the codes' rate.
        hidden_size: width of both transformers.
    """

    def __init__(
        self,
        convolutions: ConvEncoder,
        transformer1: LocalTransformer,
        stride: int,
        transformer2: LocalTransformer,
        hidden_size: int,
    ) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.transformer1 = transformer1
        self.down = MaskedConv1d(hidden_size, hidden_size, kernel_size=stride, stride=stride)
        self.transformer2 = transformer2

    def forward(self, waveform: Tensor, time: Whole = WHOLE) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, 1, samples), samples a multiple of the hop length.
            time: of the samples; the clips' lengths are multiples of the hop length.

        Returns:
            Shape (batch, hidden_size, codes); past a clip's end it means nothing.
        """
        with share(CONV_SHARE):
            x = self.convolutions(waveform, time).transpose(1, 2)  # -> (batch, steps, channels)
        with share(1 - CONV_SHARE):
            x = self.transformer1(x, time).transpose(1, 2)
            width, stride = self.down.out_channels, self.down.stride[0]
            # Whole hops of valid steps: no lengths.
            x = time.of(None).map(
                lambda part, _: self.down(part),
                x,
                width=width * stride,
                dim=2,
                down=stride,
                steps=x.shape[2] // stride,
            )
            return self.transformer2(x.transpose(1, 2), time).transpose(1, 2)
