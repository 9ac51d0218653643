"""The model's way from waveform to waveform, with what training wants to see on the way."""

from dataclasses import dataclass

import torch
from torch import Tensor

from xcodec.models.xcodec2 import Xcodec2Model

__all__ = ["Reconstruction", "fused_latents", "reconstruct"]


@dataclass(frozen=True)
class Reconstruction:
    """What a training step looks at.

    Attributes:
        audio: float32 (clips, samples).
        log_magnitude: what the head asks for, float32 (clips, codes, n_fft / 2 + 1).
        projected: what the quantizer bounds and rounds, float32 (clips, codes, dimensions).
        codes: int64 (clips, codes).
    """

    audio: Tensor
    log_magnitude: Tensor
    projected: Tensor
    codes: Tensor


def fused_latents(model: Xcodec2Model, waveform: Tensor) -> Tensor:
    """Encode (clips, samples), whole hops, up to the quantizer: (clips, codes, quantization_dim)."""
    lengths = torch.full((len(waveform),), waveform.shape[1] // model.hop_length)
    with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
        features = model.semantic_features(waveform, lengths)
    semantic = model.semantic_adapter(model.semantic_encoder(features).transpose(1, 2))
    # A small model's convolutions over samples are narrow, and slower in bfloat16.
    with torch.autocast(waveform.device.type, enabled=False):
        acoustic = model.acoustic_encoder(waveform[:, None])
    fused: Tensor = model.fc_encoder(torch.cat([semantic, acoustic], 1).transpose(1, 2))
    return fused


def reconstruct(model: Xcodec2Model, waveform: Tensor) -> Reconstruction:
    """Encode and decode float32 (clips, samples), samples a multiple of the hop; gradients flow through all of it."""
    latents = fused_latents(model, waveform).float()
    watched = {"projected": model.quantizer.project_in, "asked": model.acoustic_decoder.head.linear}
    seen: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda _layer, _input, output, name=name: seen.__setitem__(name, output))
        for name, layer in watched.items()
    ]
    try:
        quantized, codes = model.quantizer(latents)
        audio = model.acoustic_decoder(quantized)[:, 0]
    finally:
        for handle in handles:
            handle.remove()
    log_magnitude = seen["asked"].float().chunk(2, -1)[0]
    return Reconstruction(audio, log_magnitude, seen["projected"], codes)
