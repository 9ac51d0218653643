"""What happens to a recording on its way to a codec, and should not change what its codes say."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xcodec.audio import Audio
from xcodec.probing.coder import as_long

__all__ = ["DISTURBANCES", "GAINS_DB", "NOISE_RATIOS_DB", "Disturbance", "noisy"]

NOISE_RATIOS_DB = (30, 20, 10, 0)
GAINS_DB = (-20, -6, 6)
TELEPHONE_RATE = 8_000  # Hz


@dataclass(frozen=True)
class Disturbance:
    """A way to disturb a recording.

    Args:
        key: part of a figure's key.
        label: for people.
        about: what is done, in a few words.
        apply: takes float32 (samples,), the rate in Hz and a source of random numbers, and gives as many samples.
    """

    key: str
    label: str
    about: str
    apply: Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def noisy(samples: np.ndarray, rate: int, rng: np.random.Generator, *, ratio_db: float) -> np.ndarray:  # noqa: ARG001
    """Add white Gaussian noise at a ratio of the whole recording's power to its own, in dB."""
    noise = rng.standard_normal(len(samples))
    level = np.sqrt(np.square(samples, dtype=np.float64).mean()) * 10 ** (-ratio_db / 20)
    return (samples + level * noise).astype(np.float32)


def louder(samples: np.ndarray, rate: int, rng: np.random.Generator, *, gain_db: float) -> np.ndarray:  # noqa: ARG001
    """Multiply by a gain in dB; what exceeds full scale is left so."""
    return (samples * 10 ** (gain_db / 20)).astype(np.float32)


def by_telephone(samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """Bring to 8 kHz and back: nothing is left above 4 kHz."""
    back = Audio(samples, rate).resample(TELEPHONE_RATE).resample(rate)
    return as_long(back.samples[0], len(samples))


def by_mp3(samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """Write MP3 as `Audio.save` does, of variable bitrate, and read it back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp3"
        Audio(samples, rate).save(path)
        return as_long(Audio.read(path).resample(rate).samples[0], len(samples))


DISTURBANCES = (
    *(
        Disturbance(
            f"noise_{ratio}",
            f"noise at {ratio} dB",
            "white noise, so far below the recording",
            partial(noisy, ratio_db=ratio),
        )
        for ratio in NOISE_RATIOS_DB
    ),
    *(Disturbance(f"gain_{gain}", f"{gain:+d} dB", "a gain", partial(louder, gain_db=gain)) for gain in GAINS_DB),
    Disturbance("telephone", "8 kHz and back", "resampled to 8 kHz and back", by_telephone),
    Disturbance("mp3", "MP3", "MP3 of variable bitrate, about 50 kbit/s at 16 kHz", by_mp3),
)
