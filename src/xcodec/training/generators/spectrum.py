"""Spectra that quantized latents are to hold as they are, before a decoder knows what to make of them."""

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.training.losses.mel import MelLoss

__all__ = ["BANDS", "FRAMES", "SpectrumLoss"]

BANDS = 40
FRAMES = 4  # for each code, of a code's length: they show how loud bands are and when, and hardly a voice's harmonics
QUIET = 1e-3  # of a magnitude where full scale is about 1: what is softer than -60 dB differs little from nothing
TYPICAL = -5.0  # of the natural logarithm of speech's magnitudes in bands


class SpectrumLoss(nn.Module):
    """The distance of the first numbers of quantized latents from log mel spectra, four frames for each code.

    A quantizer keeps what is far apart among the latents, and gradients pass it as if it were not there: they tell an
    encoder what latents have to hold, and not by how much for that to be kept. Where latents are spectra, distances
    between them are distances between spectra, and the codebooks are spent on these. The other numbers are free.

    Args:
        latent_size: width of the quantized latents.
        hop_length: samples of the recordings that a code becomes, a multiple of 4.
        sampling_rate: of the recordings, in Hz.

    Raises:
        InputError: where latents have no room for them.
    """

    def __init__(self, latent_size: int, hop_length: int, sampling_rate: int) -> None:
        super().__init__()
        if latent_size < FRAMES * BANDS:
            raise InputError(
                f"latents of {latent_size} numbers have no room for {FRAMES} spectra of {BANDS} bands",
                argument="loss.spectrum",
                remedy="raise acoustic_model_config.hidden_size, or leave the loss out",
            )
        if hop_length % FRAMES:
            raise InputError(
                f"{FRAMES} spectra do not keep step with codes of {hop_length} samples",
                argument="loss.spectrum",
                remedy=f"train a decoder of a multiple of {FRAMES} samples a code, or leave the loss out",
            )
        self.window = hop_length  # which hops by a quarter of itself
        self.mel = MelLoss([self.window], [BANDS], sampling_rate)

    def forward(self, quantized: Tensor, target: Tensor) -> Tensor:
        """Compute the mean absolute difference of natural logarithms.

        Args:
            quantized: latents, (clips, codes, latent_size).
            target: the recordings, float32 (clips, samples), whole codes.
        """
        with torch.no_grad(), torch.autocast(target.device.type, enabled=False):
            frames = self.mel.spectrum(target, self.window)[:, : FRAMES * quantized.shape[1]]
            wanted = (frames + QUIET).log().unflatten(1, (-1, FRAMES)).flatten(2) - TYPICAL
        return (quantized[..., : FRAMES * BANDS].float() - wanted).abs().mean()
