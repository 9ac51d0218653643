"""A teacher of semantic codes: a frozen speech model whose states are told from a codec's, as SpeechTokenizer's is.

SpeechTokenizer (Zhang et al., 2024) distils HuBERT into the first codebook of its quantizer, Mimi (Défossez et al.,
2024) WavLM. Here the semantic branch learns what it is for as well, where no pretrained model is so small.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.training.losses.listener import Listener, WaveformListener, read_listener

__all__ = ["Teacher"]


class Teacher(nn.Module):
    """A frozen model, and linear maps to its states from the semantic branch and from the first codebook.

    Args:
        name_or_path: of the teacher, as for `read_listener`; it makes a state for each code.
        semantic_size: width of the semantic branch.
        latent_size: width of the quantized latents.
    """

    def __init__(self, name_or_path: str, semantic_size: int, latent_size: int) -> None:
        super().__init__()
        # In a tuple, so that no state of a run holds its weights.
        self._listener = (read_listener(name_or_path, "the semantic teacher"),)
        width = self.listener.width
        self.from_semantic = nn.Linear(semantic_size, width)
        self.from_codes = nn.Linear(latent_size, width)

    @property
    def listener(self) -> Listener:
        """What is frozen."""
        return self._listener[0]

    def forward(self, semantic: Tensor, first: Tensor, waveform: Tensor) -> Tensor:
        """Compute what the cosine similarity of the told states to the teacher's lacks of 1, from 0 to 2.

        Args:
            semantic: of the semantic branch, (clips, codes, semantic_size).
            first: latents as the first codebook has them, (clips, codes, latent_size).
            waveform: what the teacher hears, (clips, samples) at 16 kHz.

        Raises:
            InputError: where the teacher makes another number of states.
        """
        listener = self.listener.to(waveform.device)
        if isinstance(listener, WaveformListener):  # its convolutions pad nothing: a state is of the samples around it
            margin = waveform.shape[1] // first.shape[1] // 2
            waveform = F.pad(waveform, (margin, margin))
        with torch.no_grad():
            states = listener(waveform)[-1]
        if states.shape[1] != first.shape[1]:
            raise InputError(
                f"it makes {states.shape[1]} states where the codec makes {first.shape[1]} codes",
                argument="loss.semantic_teacher",
            )
        wanted = F.layer_norm(states.float(), states.shape[-1:])
        told = (self.from_semantic(semantic), self.from_codes(first))
        return torch.stack([1 - F.cosine_similarity(each.float(), wanted, -1).mean() for each in told]).mean()
