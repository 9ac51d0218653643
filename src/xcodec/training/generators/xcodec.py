"""X-Codec in training: a bandwidth drawn for each batch, codebooks that learn, semantic states decoded again."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from xcodec.models.codec_model import Clips
from xcodec.models.xcodec import XcodecModel
from xcodec.modules.autocast import precise_on_cpu
from xcodec.training.codebooks import quantize_and_learn
from xcodec.training.data.batch import Batch
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.sections import LossRecipe

__all__ = ["XcodecGenerator"]


class XcodecGenerator(Generator):
    """The whole of X-Codec; its semantic model is always frozen.

    Args:
        model: to train.
        frozen: further parts of it that are not trained; of a frozen quantizer the codebooks stay as they are.
        loss: which terms are wanted.
        drawn: as for `Generator`.
    """

    model: XcodecModel

    def __init__(
        self, model: XcodecModel, frozen: Sequence[str], loss: LossRecipe, drawn: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(model, sorted({"semantic_model", *frozen}), drawn)
        self.loss = loss

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:  # noqa: ARG002  (the codebooks see it when it is quantized)
        """Let codebooks that were drawn at random begin anew."""
        for i, codebook in enumerate(self.model.quantizer.codebooks):
            if f"quantizer.quantizers.{i}.codebook.embed" in self.drawn:
                codebook.inited.zero_()

    def forward(self, batch: Batch) -> GeneratorOutput:
        """Encode and decode at one of the model's bandwidths; gradients flow through all but the semantic model."""
        model = self.model
        waveform = batch.waveform
        clips = Clips(waveform[:, None])
        states = model.semantic_states(clips)
        semantic = model.semantic(states).transpose(1, 2)  # -> (clips, codes, channels)
        with precise_on_cpu(waveform):
            acoustic = model.acoustic(clips, semantic.shape[1]).transpose(1, 2)
        latents = model.fuse(semantic, acoustic)

        offered = model.bandwidths
        bandwidth = offered[int(torch.randint(len(offered), ()))]
        learns = self.training and "quantizer" not in self.frozen
        quantized, commitment = quantize_and_learn(model.quantizer, latents, model.num_quantizers_at(bandwidth), learns)
        decoded = model.fc2(quantized).transpose(1, 2)  # -> (clips, channels, codes)
        with precise_on_cpu(waveform):
            audio = model.acoustic_decoder(decoded.float())[:, 0]
        terms = {}
        if self.loss.commitment:
            terms["commitment"] = commitment
        if self.loss.semantic:
            again = model.decoder_semantic(model.fc1(quantized).transpose(1, 2))
            terms["semantic"] = F.mse_loss(again.float(), states.values.transpose(1, 2).float())
        return GeneratorOutput(audio.float(), terms)
