"""The causal decoder: quantized latents to samples through a short look ahead, causal layers and a linear head."""

from functools import partial

from torch import Tensor, nn

from xcodec.models.causal_xcodec2.configuration import CausalXcodec2Config
from xcodec.models.xcodec2.decoder import transformer_layer
from xcodec.modules.causal_attention import CausalSelfAttention
from xcodec.modules.linear import Linear
from xcodec.modules.linear_head import LinearHead
from xcodec.modules.lookahead import LookAhead
from xcodec.modules.rotary import rotations
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.transformer import RMSNorm
from xcodec.progress import shares

__all__ = ["CausalDecoder"]


class CausalDecoder(nn.Module):
    """Linear, look ahead, transformer, RMSNorm, linear head.

    Only the look ahead reaches forward, so what a stream looks ahead at passes nothing else before its turn comes.
    """

    def __init__(self, config: CausalXcodec2Config) -> None:
        super().__init__()
        size = config.decoder_hidden_size
        self.head_dim, self.rotary_base = config.head_dim, config.rotary_base
        self.fc = Linear(config.quantization_dim, size, bias=False)
        self.lookahead = LookAhead(size, config.lookahead) if config.lookahead else None
        attention = partial(CausalSelfAttention, window=config.sliding_window)
        self.layers = nn.ModuleList(transformer_layer(config, attention) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(size, config.rms_norm_eps)
        self.head = LinearHead(size, config.output_hop_length)

    def forward(self, latents: Tensor, time: Time = WHOLE) -> Tensor:
        """Decode.

        Args:
            latents: shape (batch, time, quantization_dim).
            time: of the latents.

        Returns:
            float32 samples, shape (batch, 1, samples) at the output's rate, zeros past each clip's end; of a stream
            those of the steps that become final.
        """
        width = self.fc.out_features
        x = time.map(self._seen, latents, reach=(0, self.lookahead.steps if self.lookahead else 0), width=width)
        x = time.final(x)
        rotation = rotations(time.positions(x), self.head_dim, self.rotary_base)
        for layer in shares([*self.layers]):
            x = layer(x, time, rotation)
        samples: Tensor = self.head(time.each(self.norm, x, width=width), time)
        return samples

    def _seen(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        x: Tensor = self.fc(latents)
        return x if self.lookahead is None else self.lookahead(x, lengths)
