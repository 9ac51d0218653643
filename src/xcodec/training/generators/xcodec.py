"""X-Codec in training: a bandwidth drawn for each batch, codebooks that learn, semantic states decoded again."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.models.codec_model import Clips
from xcodec.models.xcodec import XcodecModel
from xcodec.models.xcodec_vocos import XcodecVocosModel
from xcodec.modules.autocast import precise_on_cpu
from xcodec.training.codebooks import of_first_process, quantize_and_learn
from xcodec.training.data.batch import Batch
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.generators.spectrum import SpectrumLoss
from xcodec.training.generators.synthesis import Synthesis
from xcodec.training.generators.teacher import Teacher
from xcodec.training.initialization import HEAD_BIAS, initialize_head
from xcodec.training.sections import LossRecipe

__all__ = ["XcodecGenerator"]


class XcodecGenerator(Generator):
    """The whole of X-Codec; its semantic model is frozen, unless it learns from a teacher.

    Args:
        model: to train.
        frozen: further parts of it that are not trained; of a frozen quantizer the codebooks stay as they are.
        loss: which terms are wanted.
        highest_bandwidth: how often it is taken, whatever would be drawn.
        drawn: as for `Generator`.
    """

    model: XcodecModel

    def __init__(
        self,
        model: XcodecModel,
        frozen: Sequence[str],
        loss: LossRecipe,
        highest_bandwidth: float = 0.0,
        drawn: frozenset[str] = frozenset(),
    ) -> None:
        learned = loss.semantic_teacher is not None
        super().__init__(model, sorted({*frozen} | (set() if learned else {"semantic_model"})), drawn)
        self.loss = loss
        self.highest_bandwidth = highest_bandwidth
        self.synthesis = Synthesis(model, loss) if isinstance(model, XcodecVocosModel) else None
        rate, hop_length = model.output_sampling_rate, model.output_sampling_rate // model.config.frame_rate
        self.spectrum = SpectrumLoss(model.config.hidden_size, hop_length, rate) if loss.spectrum else None
        self.teacher = None
        if loss.semantic and loss.semantic_teacher is not None:
            self.teacher = Teacher(loss.semantic_teacher, model.config.semantic_hidden_size, model.config.hidden_size)

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:
        """Let codebooks that were drawn at random begin anew, and set a spectral head to the level of speech."""
        for i, codebook in enumerate(self.model.quantizer.codebooks):
            if f"quantizer.quantizers.{i}.codebook.embed" in self.drawn:
                codebook.inited.zero_()
        if HEAD_BIAS in self.drawn:
            initialize_head(self.model.acoustic_decoder.head, batch.target)  # type: ignore[arg-type]

    def forward(self, batch: Batch) -> GeneratorOutput:
        """Encode and decode at one of the model's bandwidths; gradients flow through all that is not frozen."""
        model = self.model
        waveform = batch.waveform
        clips = Clips(waveform[:, None])
        frozen = "semantic_model" in self.frozen
        states = model.semantic_states(clips) if frozen else model.learning_semantic_states(clips)
        semantic = model.semantic(states).transpose(1, 2)  # -> (clips, codes, channels)
        with precise_on_cpu(waveform):
            acoustic = model.acoustic(clips, semantic.shape[1]).transpose(1, 2)
        latents = model.fuse(semantic, acoustic)

        learns = self.training and "quantizer" not in self.frozen
        quantized = quantize_and_learn(model.quantizer, latents, model.num_quantizers_at(self._bandwidth()), learns)
        audio, terms = self._decode(quantized.latents, batch)
        if self.loss.commitment:
            terms["commitment"] = quantized.commitment
        if self.spectrum is not None:
            terms["spectrum"] = self.spectrum(quantized.latents, batch.target)
        if self.teacher is not None:
            terms["semantic"] = self.teacher(semantic, quantized.first, waveform)
        elif self.loss.semantic:
            again = model.decoder_semantic(model.fc1(quantized.latents).transpose(1, 2))
            terms["semantic"] = F.mse_loss(again.float(), states.values.transpose(1, 2).float())
        return GeneratorOutput(audio, terms)

    def _bandwidth(self) -> float:
        """Draw a bandwidth for a batch, the same in all processes, whose codebooks learn together."""
        offered = self.model.bandwidths
        is_highest = self.highest_bandwidth and float(torch.rand(())) < self.highest_bandwidth
        drawn = torch.tensor(len(offered) - 1) if is_highest else torch.randint(len(offered), ())
        return offered[int(of_first_process(drawn.to(self.model.device)))]

    def _decode(self, quantized: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode latents (clips, codes, channels) to float32 (clips, samples), with the terms of a head, if any."""
        model = self.model
        if self.synthesis is not None:
            return self.synthesis(model.acoustic_decoder, quantized, batch)
        decoded = model.fc2(quantized).transpose(1, 2)  # -> (clips, channels, codes)
        with precise_on_cpu(quantized):  # convolutions over samples are narrow, and slower in bfloat16
            return model.acoustic_decoder(decoded.float())[:, 0].float(), {}
