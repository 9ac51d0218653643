"""X-Codec2 in training: from waveform to waveform, with what its losses want to see on the way."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.models.codec_model import Clips
from xcodec.models.semantic import SemanticAdapter
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.modules.autocast import precise_on_cpu
from xcodec.training.data.batch import Batch
from xcodec.training.generators.generator import Generator, GeneratorOutput
from xcodec.training.generators.phones import PhoneHeads
from xcodec.training.generators.synthesis import Synthesis
from xcodec.training.initialization import HEAD_BIAS, initialize_head, initialize_quantizer
from xcodec.training.losses.spread import spread_loss
from xcodec.training.sections import LossRecipe

__all__ = ["Latents", "Xcodec2Generator", "encode"]


@dataclass(frozen=True)
class Latents:
    """What the encoders make of a batch.

    Attributes:
        semantic_states: of the semantic encoder, (clips, codes, semantic width).
        semantic: of the semantic branch, (clips, codes, semantic width).
        fused: what is quantized, float32 (clips, codes, quantization_dim).
    """

    semantic_states: Tensor
    semantic: Tensor
    fused: Tensor


def encode(model: Xcodec2Model, waveform: Tensor) -> Latents:
    """Encode (clips, samples), whole hops, up to the quantizer."""
    clips = Clips(waveform[:, None])
    with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
        features = model.features(clips)
    # A frozen encoder needs no graph, which would hold the activations of all its layers.
    learns = any(parameter.requires_grad for parameter in model.get_submodule(model.semantic_part).parameters())
    with nullcontext() if learns else torch.no_grad():
        states = model.semantic_states(clips, features)
    semantic = model.semantic(states).transpose(1, 2)  # -> (clips, codes, channels)
    with precise_on_cpu(waveform):  # convolutions over samples are narrow, and slower in bfloat16
        acoustic = model.acoustic(clips, semantic.shape[1]).transpose(1, 2)
    return Latents(states.values, semantic, model.fuse(semantic, acoustic).float())


class SemanticReconstruction(nn.Module):
    """X-Codec-2.0's way from quantized latents back to semantic states: a linear layer and four convolutions."""

    def __init__(self, quantization_dim: int, semantic_size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(quantization_dim, semantic_size)
        self.decoder = SemanticAdapter(semantic_size)

    def forward(self, quantized: Tensor, states: Tensor) -> Tensor:
        """Compute the mean square error of `states` (clips, codes, semantic_size) decoded from `quantized`."""
        decoded = self.decoder(self.fc(quantized).transpose(1, 2)).transpose(1, 2)
        return F.mse_loss(decoded.float(), states.detach().float())


class Xcodec2Generator(Generator):
    """The whole of X-Codec2.

    Args:
        model: to train.
        frozen: parts of it that are not trained.
        loss: which terms are wanted.
        drawn: as for `Generator`.
    """

    model: Xcodec2Model
    synthesis: Synthesis

    def __init__(
        self, model: Xcodec2Model, frozen: Sequence[str], loss: LossRecipe, drawn: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(model, frozen, drawn)
        self.loss = loss
        self.synthesis = Synthesis(model, loss)
        config = model.config
        semantic_size = config.semantic_model_config.hidden_size
        self.semantic_reconstruction = (
            SemanticReconstruction(config.quantization_dim, semantic_size) if loss.semantic else None
        )
        self.phones = PhoneHeads(semantic_size, config.quantization_dim) if loss.phones else None

    @torch.no_grad()
    def begin(self, batch: Batch) -> None:
        """Spread the codes, and set the head to the level of speech."""
        if "quantizer.project_in.weight" in self.drawn:
            initialize_quantizer(self.model.quantizer, encode(self.model, batch.waveform).fused)
        if HEAD_BIAS in self.drawn:
            initialize_head(self.model.acoustic_decoder.head, batch.target)

    def forward(self, batch: Batch) -> GeneratorOutput:
        """Encode and decode; gradients flow through all of it."""
        latents = encode(self.model, batch.waveform)
        projected = self.model.quantizer.project(latents.fused)
        quantized, _ = self.model.quantizer.round(projected, latents.fused.dtype)
        audio, terms = self.synthesis(self.model.acoustic_decoder, quantized, batch)
        if self.loss.spread:
            terms["spread"] = spread_loss(projected)
        if self.semantic_reconstruction is not None:
            terms["semantic"] = self.semantic_reconstruction(quantized, latents.semantic_states)
        if self.phones is not None:
            terms["phones"] = self.phones(latents.semantic, quantized, batch.phones)
        return GeneratorOutput(audio, terms)
