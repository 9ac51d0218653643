"""The perceptual loss: two signals as a frozen speech model hears them.

X-Codec-2.0's last release was trained with hidden states of wav2vec2-large-xlsr; they help speech synthesis on codes.
"""

import torch
from torch import Tensor, nn

from xcodec.errors import CheckpointError, InputError

__all__ = ["PerceptualLoss"]


class PerceptualLoss(nn.Module):
    """The mean absolute difference of a model's hidden states, averaged over layers.

    Args:
        name_or_path: of a transformers model that reads waveforms at 16 kHz, as "facebook/wav2vec2-large-xlsr-53".
        layers: which hidden states, 0 being what enters the first layer; None takes all.

    Raises:
        CheckpointError: where there is no such model.
        InputError: where it has no such layer.
    """

    def __init__(self, name_or_path: str, layers: list[int] | None = None) -> None:
        super().__init__()
        from transformers import AutoModel

        try:
            self.listener: nn.Module = AutoModel.from_pretrained(name_or_path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"the listener of the perceptual loss, {name_or_path}: {error}") from error
        self.listener.requires_grad_(False).train(False)
        count = int(self.listener.config.num_hidden_layers) + 1
        self.layers = list(range(count)) if layers is None else layers
        if not all(0 <= layer < count for layer in self.layers):
            raise InputError(
                f"{name_or_path} has hidden states 0 to {count - 1}", argument="perceptual_layers", value=layers
            )

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay frozen, whatever the mode."""
        super().train(mode)
        self.listener.train(False)
        return self

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Compare (clips, samples) with (clips, samples), at 16 kHz."""
        given = self.listener(_normalised(audio), output_hidden_states=True).hidden_states
        with torch.no_grad():
            wanted = self.listener(_normalised(target), output_hidden_states=True).hidden_states
        return torch.stack([(given[i].float() - wanted[i].float()).abs().mean() for i in self.layers]).mean()


def _normalised(audio: Tensor) -> Tensor:
    """Bring each clip to zero mean and unit variance, as such models were trained on."""
    return (audio - audio.mean(-1, keepdim=True)) / (audio.var(-1, keepdim=True) + 1e-7).sqrt()
