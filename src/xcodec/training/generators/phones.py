"""Predicting which phone is spoken, so that codes carry what is said."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.training.phones import INVENTORY, UNKNOWN

__all__ = ["PhoneHeads"]


class PhoneHeads(nn.Module):
    """One linear layer on the semantic branch, and a small network on the quantized latents.

    Quantized latents have only as many degrees of freedom as the quantizer has dimensions: what is said lies in how
    neighbouring codes go together, hence the convolution.
    """

    def __init__(self, semantic_size: int, quantization_dim: int, hidden_size: int = 256) -> None:
        super().__init__()
        self.of_branch = nn.Linear(semantic_size, len(INVENTORY))
        self.context = nn.Conv1d(quantization_dim, hidden_size, kernel_size=5, padding=2)
        self.of_codes = nn.Linear(hidden_size, len(INVENTORY))

    def forward(self, semantic: Tensor, quantized: Tensor, phones: Tensor) -> Tensor:
        """Cross entropy, averaged over the two.

        Args:
            semantic: of the semantic branch, (clips, codes, semantic_size).
            quantized: latents, (clips, codes, quantization_dim).
            phones: which phone is spoken, int64 (clips, codes); `UNKNOWN` where nobody knows.
        """
        hidden = F.gelu(self.context(quantized.transpose(1, 2))).transpose(1, 2)
        losses = [_cross_entropy(self.of_branch(semantic), phones), _cross_entropy(self.of_codes(hidden), phones)]
        return torch.stack(losses).mean()


def _cross_entropy(scores: Tensor, phones: Tensor) -> Tensor:
    """Average over labelled codes; 0, with a gradient of 0, where there is none."""
    total = F.cross_entropy(scores.float().flatten(0, 1), phones.flatten(), ignore_index=UNKNOWN, reduction="sum")
    return total / (phones != UNKNOWN).sum().clamp(min=1)
