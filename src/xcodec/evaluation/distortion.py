"""Distances between two signals that need no model of hearing: of waveforms, and of spectra in decibels."""

import math

import numpy as np
import torch
from torch import Tensor

from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Scale, Score, UndefinedError, audible
from xcodec.modules.mel import mel_filters

__all__ = ["LogSpectralDistance", "MelDistance", "SiSdr"]

SAMPLING_RATE = 16_000
FLOOR = 1e-5  # of a magnitude where a full sine is about 1: -100 dB, below what 16 bits hold


class SiSdr(Metric):
    """Scale-invariant signal-to-distortion ratio. A decoder that is free in phase scores low however it sounds."""

    def __init__(self) -> None:
        about = "scale-invariant signal-to-distortion ratio (Le Roux et al. 2019) at 16 kHz; it counts phase"
        self.scales = (Scale("si_sdr", "SI-SDR", about, 1, "dB"),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = (signal.astype(np.float64) for signal in pair.at(SAMPLING_RATE))
        reference, reconstruction = reference - reference.mean(), reconstruction - reconstruction.mean()
        audible(reference, "recording")
        audible(reconstruction, "reconstruction")
        target = reference * (reconstruction @ reference) / (reference @ reference)
        error = reconstruction - target
        signal, noise = float(target @ target), float(error @ error)
        if noise <= 1e-20 * signal:
            raise UndefinedError("the reconstruction equals the recording, and the ratio is infinite")
        if signal <= 1e-20 * noise:
            raise UndefinedError("nothing of the recording is in the reconstruction, and the ratio is minus infinity")
        return {"si_sdr": Score(10 * math.log10(signal / noise))}


class MelDistance(Metric):
    """Mean absolute difference of log-mel magnitudes over windows of seven lengths."""

    windows = (32, 64, 128, 256, 512, 1024, 2048)  # samples: 2 to 128 ms
    bands = (5, 10, 20, 40, 80, 160, 320)

    def __init__(self) -> None:
        about = "mean absolute difference of mel magnitudes, windows of 2 to 128 ms (as Kumar et al. 2023), at 16 kHz"
        self.scales = (Scale("mel_distance", "mel distance", about, 2, "dB", higher_is_better=False),)
        self._filters = [
            mel_filters(bands, window, SAMPLING_RATE).double()
            for window, bands in zip(self.windows, self.bands, strict=True)
        ]

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        reference, reconstruction = map(torch.tensor, pair.at(SAMPLING_RATE))
        distances = []
        for window, filters in zip(self.windows, self._filters, strict=True):
            both = [magnitudes(signal, window, window // 4) @ filters for signal in (reference, reconstruction)]
            distances.append((decibels(both[0]) - decibels(both[1])).abs().mean())
        return {"mel_distance": Score(float(torch.stack(distances).mean()))}


class LogSpectralDistance(Metric):
    """Root mean square over frequency of the difference of log power spectra, averaged over frames."""

    window, hop = 512, 128  # samples: 32 and 8 ms

    def __init__(self) -> None:
        about = "root mean square difference of log power spectra (Gray and Markel 1976), 32 ms windows, at 16 kHz"
        self.scales = (Scale("log_spectral_distance", "LSD", about, 2, "dB", higher_is_better=False),)

    def measure(self, pair: Pair) -> dict[str, Score]:
        """Score a pair."""
        both = [decibels(magnitudes(torch.tensor(each), self.window, self.hop)) for each in pair.at(SAMPLING_RATE)]
        return {"log_spectral_distance": Score(float((both[0] - both[1]).square().mean(-1).sqrt().mean()))}


def magnitudes(samples: Tensor, window: int, hop: int) -> Tensor:
    """STFT magnitudes of (samples,): (frames, window // 2 + 1), float64; silence lies before the start and the end."""
    taper = torch.hann_window(window, dtype=torch.float64)
    transform = torch.stft(
        samples.double(), window, hop, window=taper, center=True, pad_mode="constant", return_complex=True
    )
    return transform.abs().T * (2.0 / window)


def decibels(magnitude: Tensor) -> Tensor:
    """Compute 20 log10, floored at -100."""
    return 20 * magnitude.clamp(min=FLOOR).log10()
