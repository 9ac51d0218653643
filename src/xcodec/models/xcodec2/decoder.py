"""X-Codec2's decoder: quantized latents to samples through convolutions, a transformer and an inverse STFT."""

from collections.abc import Iterator

from torch import Tensor, nn
from transformers.activations import ACT2FN

from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.modules.attention import SelfAttention
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.linear import Linear
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.tiles import join, steps_within, tiles
from xcodec.modules.transformer import MLP, TransformerLayer
from xcodec.modules.upsampler import Upsampler
from xcodec.progress import share, shares

__all__ = ["AcousticDecoder"]


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
        self.head = ISTFTHead(size, config.n_fft, config.output_hop_length)

    def forward(self, latents: Tensor, lengths: Tensor | None = None, max_bytes: int | None = None) -> Tensor:
        """Decode.

        Args:
            latents: shape (batch, time, quantization_dim).
            lengths: valid steps of each clip, shape (batch,).
            max_bytes: for a tile of time; without gradients. None computes all at once.

        Returns:
            float32 samples, shape (batch, 1, samples) at the output's rate, zeros past each clip's end.
        """
        x = self._embedded(latents, lengths, max_bytes)
        for block in self.prior_net:
            x = block(x, lengths, max_bytes)
        x = x.transpose(1, 2)  # -> (batch, time, channels)
        width = x.shape[2]
        with share(1 / (1 + 2 * width / (len(self.layers) * (width + x.shape[1] / 6)))):  # of the products
            for layer in shares([*self.layers]):
                x = layer(x, lengths, max_bytes)
        x = x.transpose(1, 2)  # -> (batch, channels, time)
        for block in self.post_net:
            x = block(x, lengths, max_bytes)
        x = x.transpose(1, 2)  # -> (batch, time, channels)
        if max_bytes is None:
            return self.head(*self._upsampled(self.norm(x), lengths))
        for tile in tiles(x.shape[1], steps_within(max_bytes, 3 * x.shape[0] * x.shape[2] * x.element_size())):
            x[:, tile.wanted] = self.norm(x[:, tile.wanted])
        return self.head(*self._upsampled(x, lengths, max_bytes), max_bytes)

    def _upsampled(
        self, x: Tensor, lengths: Tensor | None, max_bytes: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return (x, lengths) if self.upsampler is None else self.upsampler(x, lengths, max_bytes)

    def _embedded(self, latents: Tensor, lengths: Tensor | None, max_bytes: int | None) -> Tensor:
        """(batch, time, quantization_dim) -> (batch, channels, time)."""
        if max_bytes is None:
            return self.embed(self.fc(latents).transpose(1, 2), lengths)
        reach = self.embed.kernel_size[0] // 2
        size = steps_within(max_bytes, 5 * latents.shape[0] * self.embed.out_channels * latents.element_size(), reach)

        def parts() -> Iterator[Tensor]:
            for tile in tiles(latents.shape[1], size, reach, reach):
                x = self.fc(latents[:, tile.read]).transpose(1, 2)  # -> (batch, channels, time)
                yield self.embed(x, tile.lengths(lengths))[..., tile.kept].transpose(1, 2)

        return join(parts(), latents.shape[1]).transpose(1, 2)


def transformer_layer(config: Xcodec2Config) -> TransformerLayer:
    """Build one layer of the decoder's transformer."""
    attention = SelfAttention(
        config.hidden_size,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        config.attention_bias,
        config.attention_dropout or 0.0,
    )
    mlp = MLP(config.hidden_size, config.intermediate_size, ACT2FN[config.hidden_act])
    return TransformerLayer(attention, mlp, config.hidden_size, config.rms_norm_eps)
