"""The pre-norm transformer layer of X-Codec2's decoders."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xcodec.modules.attention import SelfAttention
from xcodec.modules.linear import Linear
from xcodec.modules.time import WHOLE, Time

__all__ = ["MLP", "RMSNorm", "TransformerLayer"]


class RMSNorm(nn.Module):
    """Divide each step by its root mean square over channels, computed in float32 (Zhang and Sennrich, 2019)."""

    def __init__(self, hidden_size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` of shape (..., hidden_size)."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class MLP(nn.Module):
    """Two linear layers around an activation, with no gate and no bias."""

    def __init__(self, hidden_size: int, intermediate_size: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = Linear(hidden_size, intermediate_size, bias=False)
        self.fc2 = Linear(intermediate_size, hidden_size, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., hidden_size)."""
        return self.fc2(self.activation(self.fc1(x)))


class TransformerLayer(nn.Module):
    """Attention and MLP, each behind an RMSNorm and around a residual."""

    def __init__(self, attention: SelfAttention, mlp: MLP, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.self_attn = attention
        self.mlp = mlp
        self.input_layernorm = RMSNorm(hidden_size, eps)
        self.post_attention_layernorm = RMSNorm(hidden_size, eps)

    def forward(self, x: Tensor, time: Time = WHOLE, rotation: Tensor | None = None) -> Tensor:
        """Transform `x` of shape (batch, time, hidden_size), which may be overwritten.

        Args:
            x: the input.
            time: of its steps.
            rotation: as for `BlockwiseAttention.forward`, where the attention is of a kind with positions.
        """
        x = time.attend(self.self_attn, x, self.input_layernorm, rotation=rotation)
        return time.each(
            lambda part: part + self.mlp(self.post_attention_layernorm(part)), x, width=self.mlp.fc1.out_features
        )
