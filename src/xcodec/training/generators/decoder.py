"""X-Codec2's decoder in training, from stored codes: codes stay what they are, and sound better or at a higher rate."""

import torch

from xcodec.errors import InputError
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.data.batch import Batch
from xcodec.training.generators.generator import Generator, Reconstruction
from xcodec.training.initialization import HEAD_BIAS, initialize_head
from xcodec.training.losses.magnitude import log_magnitude
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

    def __init__(self, model: Xcodec2Model, loss: LossRecipe, drawn: frozenset[str] = frozenset()) -> None:
        super().__init__(model, [name for name, _ in model.named_children() if name != "acoustic_decoder"], drawn)
        self.loss = loss

    @property
    def output_rate(self) -> int:
        """In Hz, of what the model writes."""
        return self.model.config.output_sampling_rate

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:
        """Set the head to the level of speech."""
        if HEAD_BIAS in self.drawn:
            initialize_head(self.model, batch.target)

    def forward(self, batch: Batch) -> Reconstruction:
        """Decode stored codes."""
        if batch.codes is None:
            raise InputError(
                "xcodec2-decoder trains on stored codes, and some of the data has none; give the Parquet files that "
                "`xcodec tokenize` wrote"
            )
        with torch.no_grad():
            latents = self.model.quantizer.decode(batch.codes)
        asked = []
        head = self.model.acoustic_decoder.head
        handle = head.linear.register_forward_hook(lambda _layer, _input, output: asked.append(output))
        try:
            audio = self.model.acoustic_decoder(latents)[:, 0]
        finally:
            handle.remove()
        terms = {}
        if self.loss.head:
            wanted = log_magnitude(batch.target, head.n_fft, head.hop_length)
            terms["head"] = (asked[0].float().chunk(2, -1)[0] - wanted).abs().mean()
        return Reconstruction(audio, terms)
