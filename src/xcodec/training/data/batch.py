"""What a training step is given."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """Crops of one length.

    Attributes:
        waveform: what the codec reads, float32 (clips, samples) at its rate, whole hops.
        target: what it should write, float32 (clips, samples) at the output's rate.
        phones: which phone is spoken, int64 (clips, codes), `xcodec.training.phones.UNKNOWN` where nobody knows.
        codes: stored codes of the crops, int64 (clips, codes), where the data has them.
        pitch: where the decoder has a source of harmonics: the targets' fundamental frequency in Hz in the middle of
            each of its steps, and from 0 to 1 how much of it is voiced, float32 (clips, steps) each.
    """

    waveform: Tensor
    target: Tensor
    phones: Tensor
    codes: Tensor | None = None
    pitch: tuple[Tensor, Tensor] | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move the batch to another device."""
        codes = None if self.codes is None else self.codes.to(device)
        pitch = None if self.pitch is None else (self.pitch[0].to(device), self.pitch[1].to(device))
        return Batch(self.waveform.to(device), self.target.to(device), self.phones.to(device), codes, pitch)
