"""How alike a signal is to itself a period later."""

import math

import pytest
import torch

from xcodec.modules.autocorrelation import Autocorrelation
from xcodec.modules.fbank import povey_window

LOWEST, HIGHEST, NUM = 55.0, 480.0, 64


@pytest.fixture(scope="module")
def alike() -> Autocorrelation:
    return Autocorrelation(16000, NUM, LOWEST, HIGHEST, frame_length=1024, frame_shift=320)


def voice(frequency: float, level: float = 0.02) -> torch.Tensor:
    """Half a second of all harmonics, whose phases differ."""
    angles = 2 * math.pi * frequency * torch.arange(8000) / 16000
    return level * torch.stack([(k * angles + k * k).cos() for k in range(1, int(7000 / frequency))]).sum(0)[None]


def bin_of(frequency: float) -> float:
    return math.log(frequency / LOWEST) / math.log(HIGHEST / LOWEST) * (NUM - 1)


@pytest.mark.parametrize("frequency", [75.0, 120.0, 210.0, 333.0, 470.0])
def test_a_voice_is_alike_at_its_period_and_at_no_shorter_one(alike: Autocorrelation, frequency: float) -> None:
    found = alike(voice(frequency))[0, 10]
    place = bin_of(frequency)
    assert found[round(place)] > 0.85
    shorter = found[math.ceil(place) + 3 :]  # higher pitches than its own
    assert len(shorter) == 0 or shorter.max() < 0.6
    assert alike(voice(frequency, level=0.001))[0, 10] == pytest.approx(found, abs=2e-3), "however loud"


def test_between_its_bins_the_nearest_two_are_highest(alike: Autocorrelation) -> None:
    frequency = LOWEST * (HIGHEST / LOWEST) ** (40.5 / (NUM - 1))
    found = alike(voice(frequency))[0, 10]
    assert sorted((found[36:]).topk(2).indices.tolist()) == [4, 5]


def test_noise_and_silence_are_alike_to_nothing(alike: Autocorrelation) -> None:
    noise = 0.05 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    assert alike(noise).abs().mean() < 0.25
    assert torch.equal(alike(torch.zeros(1, 3200)), torch.zeros(1, 7, NUM))


def test_it_is_the_autocorrelation_of_samples(alike: Autocorrelation) -> None:
    """Of a period of whole samples, by hand."""
    period = 16000 / (LOWEST * (HIGHEST / LOWEST) ** (30 / (NUM - 1)))
    frame, window = voice(16000 / period)[:, :1024].double()[0] * 2.0**15, povey_window(1024)
    frame = frame - frame.mean()
    frame = (frame - 0.97 * torch.cat([frame[:1], frame[:-1]])) * window
    spectrum = torch.fft.rfft(frame, 2048)
    cycles = torch.arange(1025).double() / 2048 * period
    spectrum = spectrum * (0.5 + 0.5 * (math.pi * ((cycles - 5) / 4).clamp(0, 1)).cos()).sqrt()  # its first harmonics
    later = torch.fft.irfft(spectrum * torch.polar(torch.ones(1025).double(), -2 * math.pi * cycles), 2048)
    heard, power = torch.fft.irfft(spectrum, 2048), torch.fft.rfft(window, 2048).abs().square()
    of_window = torch.fft.irfft(power * (2 * math.pi * cycles).cos(), 2048)[0] / torch.fft.irfft(power, 2048)[0]
    expected = (heard * later).sum() / heard.square().sum() / of_window
    assert alike(voice(16000 / period)[:, :1024])[0, 0, 30].item() == pytest.approx(expected.item(), abs=1e-4)
