"""A decoder of X-Codec2's codes in training, from stored codes: these stay what they are.

They sound better, at a higher rate, or at once.
"""

import torch

from xcodec.errors import InputError
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.data.batch import Batch
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.generators.synthesis import Synthesis
from xcodec.training.initialization import HEAD_BIAS, initialize_head
from xcodec.training.sections import LossRecipe

__all__ = ["DecoderGenerator"]


class DecoderGenerator(Generator):
    """All of X-Codec2 is frozen but `acoustic_decoder`.

    Args:
        model: to train.
        loss: which terms are wanted.
        drawn: as for `Generator`.
    """

    model: Xcodec2Model
    synthesis: Synthesis

    def __init__(self, model: Xcodec2Model, loss: LossRecipe, drawn: frozenset[str] = frozenset()) -> None:
        super().__init__(model, [name for name, _ in model.named_children() if name != "acoustic_decoder"], drawn)
        self.synthesis = Synthesis(model, loss)

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:
        """Set the head to the level of speech."""
        if HEAD_BIAS in self.drawn:
            initialize_head(self.model.acoustic_decoder.head, batch.target)

    def forward(self, batch: Batch) -> GeneratorOutput:
        """Decode stored codes."""
        if batch.codes is None:
            raise InputError(
                "a decoder alone trains on stored codes, and some of the data has none",
                remedy="give the Parquet files that `xcodec tokenize` wrote",
            )
        with torch.no_grad():
            latents = self.model.quantizer.decode(batch.codes)
        return GeneratorOutput(*self.synthesis(self.model.acoustic_decoder, latents, batch))
