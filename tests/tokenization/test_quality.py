"""The figures that tell good recordings from bad ones say what is known of recordings that were made for it."""

import numpy as np
import pytest

from builders import speech
from xcodec.audio import Audio
from xcodec.tokenization.quality import QUALITY, measure

RATE = 16000


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    """White noise of a level in dB of full scale."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (samples * 10 ** (level / 20)).astype(np.float32)


def level(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def test_levels_are_those_of_a_sine() -> None:
    times = np.arange(RATE) / RATE
    figures = measure((0.5 * np.sin(2 * np.pi * 500 * times)).astype(np.float32), RATE)
    assert figures["peak"] == pytest.approx(-6.02, abs=0.01)
    assert figures["rms"] == pytest.approx(-9.03, abs=0.01)
    assert (figures["clipping"], figures["silence"]) == (0.0, 0.0)
    assert figures["bandwidth"] == pytest.approx(500, abs=150)


@pytest.mark.parametrize("ratio", [0, 5, 10, 15])
def test_noise_of_a_known_ratio_is_found(ratio: int) -> None:
    clean = speech(7.0)
    mixed = clean + noise(len(clean) / RATE, level(clean) - ratio)[: len(clean)]
    assert measure(mixed, RATE)["snr"] == pytest.approx(ratio, abs=1.0)


def test_steady_noise_has_no_signal_and_no_speech() -> None:
    figures = measure(noise(10.0, -20.0), RATE)
    assert figures["snr"] is not None
    assert figures["snr"] < -5
    assert figures["speech"] == 0.0
    assert figures["rms"] == pytest.approx(-20, abs=0.1)


def test_digital_silence_around_noisy_speech_does_not_make_it_clean() -> None:
    clean = speech(7.0)
    mixed = clean + noise(len(clean) / RATE, level(clean) - 10)[: len(clean)]
    padded = np.concatenate([np.zeros(RATE, np.float32), mixed, np.zeros(RATE, np.float32)])
    assert measure(padded, RATE)["snr"] == pytest.approx(10, abs=1.0)


@pytest.mark.parametrize(("rate", "least", "most"), [(8000, 3700, 4100), (11025, 5100, 5600), (16000, 7000, 8000)])
def test_speech_that_was_once_at_a_lower_rate_shows_it(rate: int, least: float, most: float) -> None:
    upsampled = Audio(speech(7.0), RATE).resample(rate).resample(RATE).samples[0]
    stored = np.round(upsampled * 32768).astype(np.float32) / 32768  # as 16-bit files have it
    bandwidth = measure(stored, RATE)["bandwidth"]
    assert bandwidth is not None
    assert least <= bandwidth <= most


def test_clipped_samples_are_counted() -> None:
    samples = 0.1 * np.ones(1000, np.float32)
    samples[::100] = np.where(np.arange(10) % 2, 1.0, -1.0)
    assert measure(samples, RATE)["clipping"] == pytest.approx(0.01)


def test_silence_and_speech_share_a_recording() -> None:
    spoken = speech(7.0)
    figures = measure(np.concatenate([spoken, noise(len(spoken) / RATE, -80.0)]), RATE)
    assert figures["silence"] == pytest.approx(0.5, abs=0.02)
    assert figures["speech"] == pytest.approx(0.5, abs=0.05)


def test_digital_silence_a_few_samples_and_none_have_figures() -> None:
    silent = measure(np.zeros(RATE, np.float32), RATE)
    assert silent == {
        "rms": None, "peak": None, "clipping": 0.0, "silence": 1.0, "snr": None, "bandwidth": None, "speech": 0.0,
    }  # fmt: skip
    assert measure(np.full(3, 0.5, np.float32), RATE)["peak"] == pytest.approx(-6.02, abs=0.01)
    assert measure(np.zeros(0, np.float32), RATE) == dict.fromkeys(QUALITY)


def test_long_recordings_are_measured_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.tile(speech(7.0), 5)[: 30 * RATE + 123]
    whole = measure(samples, RATE)
    monkeypatch.setattr("xcodec.tokenization.quality._BLOCK_FRAMES", 1 << 20)
    at_once = measure(samples, RATE)
    assert at_once.keys() == whole.keys() == QUALITY.keys()
    for name, value in whole.items():
        assert value == pytest.approx(at_once[name], rel=1e-3), name
