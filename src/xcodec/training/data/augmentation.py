"""What happens to a crop of speech before it is both the codec's input and its target.

A codec that heard only clean synthesizers, each at one level, would know nothing of rooms, microphones and hiss.
"""

import numpy as np
import soxr

from xcodec.training.sections import AugmentationRecipe

__all__ = ["augment"]

SILENCE = 1e-4  # of a peak: -80 dB
_KNOTS = np.array([60.0, 150.0, 400.0, 1000.0, 2500.0, 5000.0, 8000.0])  # Hz, where the random equalizer is drawn


def augment(
    samples: np.ndarray,
    sampling_rate: float,
    output_rate: int,
    length: int,
    recipe: AugmentationRecipe,
    rng: np.random.Generator,
) -> np.ndarray:
    """Make a crop of what was read.

    Args:
        samples: float32 (samples,), longer than the crop or the crop itself; cut, or padded with zeros.
        sampling_rate: of `samples`, in Hz; times a speed, if they are to be played faster.
        output_rate: in Hz, of the crop.
        length: of the crop, in samples.
        recipe: what to do.
        rng: draws how much.

    Returns:
        float32 (length,).
    """
    if sampling_rate != output_rate:
        samples = soxr.resample(samples, sampling_rate, output_rate)
    samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    # Everything linear is one multiplication in the frequency domain; that it wraps around the crop's end does no harm.
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(length, 1 / output_rate)
    if rng.random() < recipe.tilt_probability:
        spectrum *= _equalizer(frequencies, rng)
    if rng.random() < recipe.reverberation_probability:
        spectrum *= np.fft.rfft(_room(length, output_rate, rng))
    if rng.random() < recipe.noise_probability:
        spectrum += _noise(spectrum, frequencies, recipe.noise_snr_db, rng)
    samples = np.fft.irfft(spectrum, length)
    if recipe.level_db is not None:
        level = 10 ** (rng.uniform(*recipe.level_db) / 20)
        samples = samples * (level / max(float(np.abs(samples).max(initial=0.0)), 1e-4))
    if float(np.abs(samples).max(initial=0.0)) < SILENCE:
        # Norms over digital silence, one inside the other, have gradients that overflow, and the step would be lost.
        samples = samples + SILENCE * rng.standard_normal(length)
    return samples.astype(np.float32)


def _equalizer(frequencies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth random gain, a few dB up and down over a random tilt."""
    octaves = np.log2(_KNOTS / 1000.0)
    gains_db = rng.normal(0.0, 2.5, len(_KNOTS)) + rng.normal(0.0, 1.5) * octaves
    curve = np.interp(np.log2(np.maximum(frequencies, 20.0) / 1000.0), octaves, gains_db)
    return np.asarray(10 ** (curve / 20))


def _room(length: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an impulse response: the direct sound, then noise that decays by 60 dB in 0.1 to 0.5 s."""
    seconds = rng.uniform(0.1, 0.5)
    time = np.arange(min(length, int(seconds * sampling_rate))) / sampling_rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3.0 * time / seconds)
    tail *= 10 ** (rng.uniform(-20.0, -6.0) / 20) / np.sqrt(np.square(tail).sum())
    response = np.zeros(length)
    response[: len(tail)] = tail
    response[0] = 1.0
    return response


def _noise(
    spectrum: np.ndarray, frequencies: np.ndarray, snr_db: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Noise between white and brown at a random level below the speech."""
    noise = rng.standard_normal(len(spectrum)) + 1j * rng.standard_normal(len(spectrum))
    noise *= np.maximum(frequencies, 50.0) ** -rng.uniform(0.0, 1.0)
    ratio = np.sqrt(np.square(np.abs(spectrum)).sum() / np.square(np.abs(noise)).sum())
    return np.asarray(noise * (ratio * 10 ** (-rng.uniform(*snr_db) / 20)))
