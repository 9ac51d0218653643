"""X-Codec2's decoder: quantized latents to samples through convolutions, a transformer and an inverse STFT."""

from __future__ import annotations  # of functions made in forward, where torch 2.6 compiles no `Tensor | None`

from collections.abc import Callable

from torch import Tensor, nn
from transformers.activations import ACT2FN

from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.modules.attention import SelfAttention
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.linear import Linear
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.transformer import MLP, TransformerLayer
from xcodec.modules.upsampler import Upsampler
from xcodec.progress import share, shares

__all__ = ["AcousticDecoder", "transformer_layer"]


class AcousticDecoder(nn.Module):
    """Linear, convolution, two ResNet blocks, transformer, two ResNet blocks, LayerNorm, ISTFT head.

    An upsampler stands before the head where the configuration asks for one.
    """

    def __init__(self, config: Xcodec2Config) -> None:
        super().__init__()
        size = config.hidden_size
        self.fc = Linear(config.quantization_dim, size)
        self.embed = MaskedConv1d(size, size, kernel_size=7, padding=3)
        self.prior_net = nn.ModuleList(ResNetBlock(size, config.activation_dropout) for _ in range(2))
        self.layers = nn.ModuleList(transformer_layer(config) for _ in range(config.num_hidden_layers))
        self.post_net = nn.ModuleList(ResNetBlock(size, config.activation_dropout) for _ in range(2))
        self.norm = nn.LayerNorm(size, eps=1e-6)
        self.upsampler = (
            Upsampler(size, config.upsampling_ratios, config.upsampling_kernel_sizes, config.activation_dropout)
            if config.upsampling_ratios
            else None
        )
        self.head = self.build_head(config)

    @staticmethod
    def build_head(config: Xcodec2Config) -> ISTFTHead:
        """Make what turns states into samples."""
        return ISTFTHead(config.hidden_size, config.n_fft, config.output_hop_length)

    def forward(self, latents: Tensor, time: Time = WHOLE) -> Tensor:
        """Decode.

        Args:
            latents: shape (batch, time, quantization_dim).
            time: of the latents.

        Returns:
            float32 samples, shape (batch, 1, samples) at the output's rate, zeros past each clip's end.
        """
        return self.head(*self.hidden(latents, time))

    def hidden(self, latents: Tensor, time: Time = WHOLE) -> tuple[Tensor, Time]:
        """Compute what the head reads, (batch, steps, hidden_size), and the time of its steps.

        The arguments are those of `forward`.
        """
        width = self.embed.out_channels

        def embedded(part: Tensor, lengths: Tensor | None) -> Tensor:
            return self.embed(self.fc(part).transpose(1, 2), lengths).transpose(1, 2)

        x = time.map(embedded, latents, reach=self.embed.kernel_size[0] // 2, width=width)
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for block in self.prior_net:
            x = block(x, time)
        x = x.transpose(1, 2)  # -> (batch, time, channels)
        with share(1 / (1 + 2 * width / (len(self.layers) * (width + x.shape[1] / 6)))):  # of the products
            for layer in shares([*self.layers]):
                x = layer(x, time)
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for block in self.post_net:
            x = block(x, time)
        x = time.each(self.norm, x.transpose(1, 2), width=width)  # -> (batch, time, channels)
        if self.upsampler is not None:
            x, time = self.upsampler(x, time)
        return x, time


def transformer_layer(
    config: Xcodec2Config, attention: Callable[..., SelfAttention] = SelfAttention
) -> TransformerLayer:
    """Build one layer of the decoder's transformer, of the kind of attention that its steps have."""
    width = config.decoder_width
    attends = attention(
        width,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        config.attention_bias,
        config.attention_dropout or 0.0,
    )
    mlp = MLP(width, config.intermediate_size, ACT2FN[config.hidden_act])
    return TransformerLayer(attends, mlp, width, config.rms_norm_eps)
