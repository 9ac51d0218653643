"""Figures that tell good recordings from bad ones, from samples alone: levels, clipping, pauses, noise, bandwidth."""

import numpy as np

__all__ = ["QUALITY", "Figures", "measure"]

Figures = dict[str, float | None]
"""A figure for each name of `QUALITY`; None where there is nothing to measure it on."""

QUALITY = {
    "rms": "level of all samples, in dB of full scale",
    "peak": "largest sample, in dB of full scale",
    "clipping": "share of the samples that are at full scale",
    "silence": "share of the frames of 20 ms that are below -60 dB of full scale",
    "snr": "how far the sound is above its background, in dB",
    "bandwidth": "frequency in Hz above which there is nothing",
    "speech": "share of the frames of 20 ms in which something stands out of the background",
}
"""The figures, and what each of them says."""

_FULL = 0.999  # of full scale, from which on a sample is clipped
_SILENT = -60.0  # dB of full scale
_NOTHING = -90.0  # dB of full scale, below which a frame is digital silence, which tells nothing of the background
_FRAME_SECONDS = 0.02
_BLOCK_FRAMES = 1000  # 20 s: what is measured at once, so that long recordings take no more memory
_BACKGROUND, _LOUD = 5, 99  # percentiles of the frames' levels
_STANDS_OUT = 6.0  # dB over the background, at least
_BRIDGED = 10  # frames: a pause of 0.2 s within speech is part of it
_WINDOW = 0.032  # seconds of a spectrum
_RANGE = 70.0  # dB below the strongest of the spectrum, beyond which there is nothing
_LOWEST = 100.0  # Hz: hum below it does not count as the strongest
_STEP = 2.0**-15  # of 16-bit samples, whose rounding is heard at every frequency
_ABOVE_ROUNDING = 10.0  # dB


def measure(samples: np.ndarray, sampling_rate: int) -> Figures:
    """Measure a recording. What is said of it does not depend on what else is measured.

    The signal-to-noise ratio takes the fifth percentile of the energies of its frames for the noise, and what the mean
    energy exceeds it by for the signal; it needs pauses, and noise that is in them as in the speech. `speech` goes by
    energy too: a frame counts whose level is above the middle between that of the background and that of the loudest
    percent, and at least 6 dB above the background, with gaps of up to 0.2 s between such frames; what stands out may
    be music as well. The bandwidth is where the mean spectrum, above 100 Hz, last is within 70 dB of its maximum and
    10 dB above what 16-bit samples are rounded by.

    Args:
        samples: one channel, float32, full scale 1, shape (samples,).
        sampling_rate: in Hz; of the bandwidth no more than half of it can be seen.

    Returns:
        The figures of `QUALITY`, rounded to float32 as they are stored. Decibels of digital silence are None, and of no
        samples all are.
    """
    if not len(samples):
        return dict.fromkeys(QUALITY)
    hop = round(_FRAME_SECONDS * sampling_rate)
    square, peak, clipped = 0.0, 0.0, 0
    energies: list[np.ndarray] = []
    spectrum = Spectrum(sampling_rate)
    for at in range(0, len(samples), hop * _BLOCK_FRAMES):
        block = samples[at : at + hop * _BLOCK_FRAMES].astype(np.float64)
        square += float(block @ block)
        loudness = np.abs(block)
        peak = max(peak, float(loudness.max()))
        clipped += int(np.count_nonzero(loudness >= _FULL))
        whole = block[: len(block) // hop * hop] if len(samples) >= hop else block[None]
        energies.append(np.mean(whole.reshape(-1, hop if len(samples) >= hop else len(block)) ** 2, axis=1))
        spectrum.add(block)
    frames = np.concatenate(energies)
    levels = 10 * np.log10(np.maximum(frames, 1e-30))
    figures = {
        "rms": decibels(square / len(samples)),
        "peak": decibels(peak * peak),
        "clipping": clipped / len(samples),
        "silence": float(np.mean(levels < _SILENT)),
        "snr": signal_to_noise(frames[levels > _NOTHING]),
        "bandwidth": spectrum.bandwidth(),
        "speech": share_standing_out(levels),
    }
    return {name: None if value is None else float(np.float32(value)) for name, value in figures.items()}


def decibels(power: float) -> float | None:
    """A power relative to 1; None of nothing."""
    return 10 * float(np.log10(power)) if power > 0 else None


def signal_to_noise(frames: np.ndarray) -> float | None:
    """How far frames are above their background, in dB, of the energies of those that are not digital silence."""
    if not len(frames):
        return None
    noise = float(np.percentile(frames, _BACKGROUND))
    signal = max(float(np.mean(frames)) - noise, 1e-3 * noise)  # of steady noise -30 dB
    return decibels(signal / noise)


def share_standing_out(levels: np.ndarray) -> float:
    """The share of the frames in which something stands out of the background, pauses within it included."""
    heard = np.maximum(levels, _NOTHING)
    background, loud = np.percentile(heard, [_BACKGROUND, _LOUD])
    active = np.flatnonzero(heard > background + max(_STANDS_OUT, (loud - background) / 2))
    if not len(active):
        return 0.0
    gaps = np.diff(active) - 1
    return float((len(active) + gaps[gaps <= _BRIDGED].sum()) / len(levels))


class Spectrum:
    """The mean power spectrum of a recording, which comes in blocks.

    Args:
        sampling_rate: in Hz.
    """

    def __init__(self, sampling_rate: int) -> None:
        self._rate, self._size = sampling_rate, round(_WINDOW * sampling_rate)
        self._window = np.hanning(self._size + 2)[1:-1]
        self._power, self._count = np.zeros(self._size // 2 + 1), 0

    def add(self, block: np.ndarray) -> None:
        """Take the next samples; what does not fill a window is passed over, but of the first block."""
        if len(block) < self._size:
            if self._count:
                return
            block = np.pad(block, (0, self._size - len(block)))
        windows = np.lib.stride_tricks.sliding_window_view(block, self._size)[:: self._size // 2]
        self._power += np.sum(np.abs(np.fft.rfft(windows * self._window)) ** 2, axis=0)
        self._count += len(windows)

    def bandwidth(self) -> float | None:
        """The highest frequency at which there is something, in Hz; None where there is nothing."""
        power = self._power / self._count
        frequencies = np.arange(len(power)) * self._rate / self._size
        rounding = _STEP**2 / 12 * float(self._window @ self._window)
        strongest = float(power[frequencies >= _LOWEST].max())
        least = max(strongest * 10 ** (-_RANGE / 10), rounding * 10 ** (_ABOVE_ROUNDING / 10))
        found = np.flatnonzero(power > least)
        return float(frequencies[found[-1]]) if len(found) else None
