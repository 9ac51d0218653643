"""The perceptual loss: two signals as a frozen speech model hears them.

X-Codec-2.0's last release was trained with hidden states of wav2vec2-large-xlsr; they help speech synthesis on codes.
Those of a recogniser, as Whisper's encoder, help the words to be understood.
"""

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.training.losses.listener import read_listener

__all__ = ["PerceptualLoss"]


class PerceptualLoss(nn.Module):
    """The mean absolute difference of a model's hidden states, averaged over layers.

    Args:
        name_or_path: of the model, as for `read_listener`.
        layers: which hidden states, 0 being what enters the first layer; None takes all.

    Raises:
        CheckpointError: where there is no such model.
        InputError: where it has no such layer.
    """

    def __init__(self, name_or_path: str, layers: list[int] | None = None) -> None:
        super().__init__()
        self.listener = read_listener(name_or_path, "the listener of the perceptual loss")
        count = self.listener.num_states
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
        given = self.listener(audio)
        with torch.no_grad():
            wanted = self.listener(target)
        return torch.stack([(given[i].float() - wanted[i].float()).abs().mean() for i in self.layers]).mean()
