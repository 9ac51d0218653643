"""Spectra that quantized latents tell by themselves, before a decoder knows what to make of them."""

import torch
from torch import Tensor, nn

from xcodec.training.losses.mel import FLOOR, MelLoss

__all__ = ["SpectrumHead"]

BANDS = 40
FRAMES = 4  # for each code, of a code's length: they show how loud bands are and when, and hardly a voice's harmonics
TYPICAL = -6.0  # of the natural logarithm of speech's magnitudes in bands


class SpectrumHead(nn.Module):
    """A linear map from latents to log mel spectra, four frames for each code.

    Encoders that read samples have to find out what a spectrum is, and hear of it through all of the decoder; this
    tells them at once.

    Args:
        latent_size: width of the quantized latents.
        hop_length: samples of the recordings that a code becomes, a multiple of 4.
        sampling_rate: of the recordings, in Hz.
    """

    def __init__(self, latent_size: int, hop_length: int, sampling_rate: int) -> None:
        super().__init__()
        self.window = hop_length  # which hops by a quarter of itself
        self.mel = MelLoss([self.window], [BANDS], sampling_rate)
        self.linear = nn.Linear(latent_size, FRAMES * BANDS)
        nn.init.constant_(self.linear.bias, TYPICAL)

    def forward(self, quantized: Tensor, target: Tensor) -> Tensor:
        """Compute the mean absolute difference of natural logarithms.

        Args:
            quantized: latents, (clips, codes, latent_size).
            target: the recordings, float32 (clips, samples), whole codes.
        """
        with torch.no_grad(), torch.autocast(target.device.type, enabled=False):
            frames = self.mel.spectrum(target, self.window)[:, : FRAMES * quantized.shape[1]]
            wanted = frames.clamp(min=FLOOR).log().unflatten(1, (-1, FRAMES)).flatten(2)
        return (self.linear(quantized).float() - wanted).abs().mean()
