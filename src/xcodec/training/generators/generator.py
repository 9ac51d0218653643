"""What a training step asks of a codec, whichever family it is of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.models.codec_model import CodecModel
from xcodec.training.data.batch import Batch
from xcodec.training.generators.synthesis import Synthesis
from xcodec.training.losses.pitch import PitchTracker

__all__ = ["Generator", "GeneratorOutput"]


@dataclass(frozen=True)
class GeneratorOutput:
    """What a generator makes of a batch.

    Attributes:
        audio: float32 (clips, samples) at the output's rate.
        terms: what the family has to add to the loss, by the names of the weights in the recipe.
    """

    audio: Tensor
    terms: dict[str, Tensor]


class Generator(nn.Module):
    """A codec in training: the model, and what only training needs beside it.

    Args:
        model: what is trained, saved and exported.
        frozen: names of its parts that are not: they stay in evaluation mode and take no gradient.
        drawn: names of the model's tensors that were drawn at random, and may be fitted to the first batch.

    Raises:
        InputError: where the model has no such part.
    """

    synthesis: Synthesis | None = None

    def __init__(self, model: CodecModel, frozen: Sequence[str], drawn: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.model = model
        self.drawn = drawn
        self.frozen = tuple(frozen)
        for name in self.frozen:
            try:
                part = model.get_submodule(name)
            except AttributeError:
                parts = ", ".join(name for name, _ in model.named_children())
                raise InputError(f"the model has no part {name!r}; its parts are {parts}", argument="frozen") from None
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Generator":
        """Train, but for what is frozen."""
        super().train(mode)
        for name in self.frozen:
            self.model.get_submodule(name).train(False)
        return self

    @property
    def sampling_rate(self) -> int:
        """The rate in Hz of what the model reads."""
        return self.model.sampling_rate

    @property
    def output_rate(self) -> int:
        """The rate in Hz of what the model writes."""
        return self.model.output_sampling_rate

    @property
    def hop_length(self) -> int:
        """Samples per code that the model reads."""
        return self.model.hop_length

    @property
    def pitch_tracker(self) -> PitchTracker | None:
        """What tells the pitch of the targets, which batches are then to have."""
        return None if self.synthesis is None else self.synthesis.pitch_tracker

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:
        """Fit to the first batch of a run what was drawn at random and depends on it."""

    def forward(self, batch: Batch) -> GeneratorOutput:
        """Reconstruct a batch."""
        raise NotImplementedError
