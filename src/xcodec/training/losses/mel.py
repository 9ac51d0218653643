"""The mel loss: spectra as an ear groups them, at several resolutions, without phases."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.modules.mel import mel_filters

__all__ = ["FLOOR", "MelLoss"]

FLOOR = 1e-5  # of a magnitude where full scale is about 1: -100 dB, below what 16 bits hold


class MelLoss(nn.Module):
    """The distance between the mel spectra of two signals over several resolutions.

    Short windows tell when, long windows tell which pitch. Two distances are given for each: of logarithms, which
    hears the quiet parts, and of magnitudes relative to the target's mean, which hears the loud ones.
    """

    def __init__(self, windows: Sequence[int], mels: Sequence[int], sampling_rate: int = 16_000) -> None:
        super().__init__()
        if len(windows) != len(mels) or not windows:
            raise InputError(f"each window takes one number of mel bands, but {len(windows)} windows and {len(mels)} "
                             "numbers were given")  # fmt: skip
        self.windows = tuple(windows)
        for window, bands in zip(windows, mels, strict=True):
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"filters_{window}", mel_filters(bands, window, sampling_rate), persistent=False)

    def spectrum(self, audio: Tensor, window: int) -> Tensor:
        """Mel magnitudes of `audio` (batch, samples): (batch, frames, bands), scaled so that a full sine is about 1."""
        taper: Tensor = getattr(self, f"window_{window}")
        filters: Tensor = getattr(self, f"filters_{window}")
        transform = torch.stft(audio, window, window // 4, window=taper, center=True, return_complex=True)
        # |z| has no gradient at 0, where silence is; the floor under the root keeps it finite.
        magnitude = (transform.real.square() + transform.imag.square() + 1e-9).sqrt() * (2.0 / window)
        return magnitude.transpose(1, 2) @ filters

    def forward(self, audio: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compare (batch, samples) with (batch, samples).

        Returns:
            the mean absolute difference of natural logarithms, and that of magnitudes relative to each target's mean.
        """
        logarithmic = audio.new_zeros(())
        linear = audio.new_zeros(())
        for window in self.windows:
            given, wanted = self.spectrum(audio, window), self.spectrum(target, window)
            logarithmic = logarithmic + (given.clamp(min=FLOOR).log() - wanted.clamp(min=FLOOR).log()).abs().mean()
            scale = wanted.mean(dim=(1, 2)) + 1e-3
            linear = linear + ((given - wanted).abs().mean(dim=(1, 2)) / scale).mean()
        return logarithmic / len(self.windows), linear / len(self.windows)
