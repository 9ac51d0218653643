"""How far a reconstruction is from the recording, as a recipe weighs it."""

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.training.losses.compressed import compressed_loss
from xcodec.training.losses.disturbance import DisturbanceLoss
from xcodec.training.losses.intelligibility import IntelligibilityLoss
from xcodec.training.losses.level import level_loss
from xcodec.training.losses.mel import MelLoss
from xcodec.training.losses.perceptual import PerceptualLoss
from xcodec.training.losses.stft import STFTLoss
from xcodec.training.losses.sub_band import SubBandLoss
from xcodec.training.sections import LossRecipe

__all__ = ["Distances"]

LISTENING_RATE = 16_000  # Hz, of the perceptual loss's models


class Distances(nn.Module):
    """Those distances of two signals whose weight is not 0.

    Args:
        recipe: the weights.
        sampling_rate: of the signals, in Hz.
    """

    def __init__(self, recipe: LossRecipe, sampling_rate: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.sampling_rate = sampling_rate
        self.mel = MelLoss(recipe.windows, recipe.mels, sampling_rate) if recipe.mel or recipe.magnitude else None
        self.stft = STFTLoss() if recipe.stft else None
        self.sub_band = SubBandLoss() if recipe.sub_band else None
        self.disturbance = DisturbanceLoss(sampling_rate) if recipe.disturbance else None
        self.intelligibility = IntelligibilityLoss(sampling_rate) if recipe.intelligibility else None
        self.perceptual = None
        if recipe.perceptual:
            assert recipe.perceptual_model is not None
            if sampling_rate != LISTENING_RATE:
                raise InputError(f"loss.perceptual hears {LISTENING_RATE} Hz; this codec writes {sampling_rate} Hz")
            self.perceptual = PerceptualLoss(recipe.perceptual_model, recipe.perceptual_layers)

    def forward(self, audio: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compare float32 (clips, samples) with (clips, samples): distances by the names of their weights."""
        terms: dict[str, Tensor] = {}
        with torch.autocast(audio.device.type, enabled=False):
            if self.mel is not None:
                mel, magnitude = self.mel(audio, target)
                terms |= {name: x for name, x in (("mel", mel), ("magnitude", magnitude)) if getattr(self.recipe, name)}
            if self.stft is not None:
                terms["stft"] = self.stft(audio, target)
            if self.recipe.compressed:
                terms["compressed"] = compressed_loss(audio, target)
            if self.sub_band is not None:
                terms["sub_band"] = self.sub_band(audio, target)
            if self.disturbance is not None:
                terms["disturbance"] = self.disturbance(audio, target)
            if self.intelligibility is not None:
                terms["intelligibility"] = self.intelligibility(audio, target)
            if self.recipe.level:
                terms["level"] = level_loss(audio, target, self.sampling_rate)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(audio, target)
        return terms
