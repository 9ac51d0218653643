"""The source of harmonics: its frequency, its power, its phase across stretches; and the head around it."""

import math

import numpy as np
import pytest
import torch

from builders import randomized
from module_builders import LENGTHS, clips_of_mixed_lengths, same
from xcodec.modules.harmonic_head import HarmonicHead, PitchPredictor
from xcodec.modules.pulse_train import PERIOD, PulseTrain
from xcodec.modules.time import Streamed, Whole

RATE, HOP = 16000, 320


def source() -> PulseTrain:
    return PulseTrain(RATE, HOP, 55.0, 480.0)


def begins(train: PulseTrain, pitch: torch.Tensor) -> torch.Tensor:
    return Whole().sum_before(train.turns(pitch))


def head(lookahead: int = 1) -> HarmonicHead:
    return randomized(HarmonicHead(64, 40, 4, 16, 2000, 16, 50.0, 400.0, lookahead))  # type: ignore[return-value]


@pytest.mark.parametrize("frequency", [55.0, 101.3, 220.0, 480.0])
def test_pulses_are_all_the_harmonics_of_their_frequency_at_unit_power(frequency: float) -> None:
    train = source()
    pitch = train.scale_steps(torch.full((1, 100), frequency))
    pulses = train.pulses(pitch, begins(train, pitch))[0].double().numpy()
    real = 55.0 * 2 ** (int(pitch[0, 0]) / 120)
    assert abs(math.log2(real / frequency)) <= 0.5 / 120
    assert np.mean(pulses**2) == pytest.approx(1, abs=0.02)
    phase = 2 * np.pi * real / RATE * (np.arange(len(pulses)) + 1)
    count = int(0.49375 * RATE / real)
    expected = sum(np.cos(k * phase) for k in range(1, count + 1)) * np.sqrt(2 / count)
    assert np.abs(pulses - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_gliding_pitch_turns_as_far_as_the_mean_of_its_frequencies() -> None:
    train = source()
    pitch = train.scale_steps(torch.tensor([[100.0, 200.0, 200.0]]))
    low, high = (train.increments[int(step)] for step in (pitch[0, 0], pitch[0, 1]))
    turns = train.turns(pitch)[0].double() / HOP
    assert turns[0] == pytest.approx(0.875 * low + 0.125 * high, rel=1e-4)
    assert turns[1] == pytest.approx(0.125 * low + 0.875 * high, rel=1e-4)
    assert turns[2] == high


def test_the_phase_is_exact_however_long_a_signal_is() -> None:
    """An hour, in whole numbers: the last pulse is where the first ones say that it is."""
    train = source()
    pitch = torch.full((1, 50 * 3600), 200)
    phase = begins(train, pitch)
    expected = train.increments[200] * HOP * (pitch.shape[1] - 1)
    assert int(phase[0, -1]) == expected > PERIOD
    last = train.pulses(pitch[:, :2], phase[:, -2:])
    shifted = train.pulses(pitch[:, :2], phase[:, -2:] % PERIOD)
    assert torch.equal(last, shifted)


def test_what_lies_past_a_clips_end_does_not_move_its_pulses() -> None:
    train = source()
    torch.manual_seed(0)
    pitch = torch.randint(0, 300, (1, 9))
    alone = train.pulses(pitch[:, :5], begins(train, pitch[:, :5]))
    lengths = torch.tensor([5])
    phase = Whole(lengths).sum_before(train.turns(pitch, lengths))
    assert torch.equal(train.pulses(pitch, phase, lengths)[:, : 5 * HOP], alone)


def test_the_pitch_is_the_mean_of_the_bins_around_the_likeliest() -> None:
    predictor = PitchPredictor(8, 64, 55.0, 480.0)
    logits = torch.full((1, 2, 64), -20.0)
    logits[0, 0, 20] = logits[0, 0, 21] = 0.0
    logits[0, 1, 5], logits[0, 1, 60] = 3.0, 2.0  # an octave error far away draws nothing
    octaves = torch.tensor([20.5, 5.0]) / 63 * math.log2(480 / 55)
    assert predictor.scale_steps(logits, 120)[0].tolist() == (120 * octaves).round().tolist()
    assert (predictor.scale_steps(logits, 1_000_000)[0] - 1e6 * octaves).abs().max() < 1


def test_the_filter_of_the_harmonics_answers_at_once() -> None:
    """The minimum phase of a one-pole filter's magnitudes is that filter's phase."""
    block = HarmonicHead(8, 320, 4, 16, RATE, 16, 55.0, 480.0)
    response = 1 / (1 - 0.7 * torch.exp(-2j * math.pi * torch.arange(161) / 320))
    phase = block.minimum_phase(response.abs().log()[None, None])[0, 0]
    assert torch.allclose(phase, response.angle(), atol=1e-4)


def test_a_clip_of_a_padded_batch_sounds_as_it_does_alone() -> None:
    block, x = head(), clips_of_mixed_lengths(64).transpose(1, 2) * 0.05
    together = block(x, Whole(LENGTHS))
    for i, n in enumerate(LENGTHS.tolist()):
        assert same(together[i, :, : n * 40], block(x[i : i + 1, :n])[0])
        assert not together[i, :, n * 40 :].any()


@pytest.mark.parametrize(("lookahead", "reach"), [(1, (4, 3)), (0, (6, 2))])
def test_windows_that_show_what_it_reaches_give_the_whole(lookahead: int, reach: tuple[int, int]) -> None:
    block = head(lookahead)
    assert block.reach == reach
    torch.manual_seed(3)
    x = torch.randn(2, 30, 64) * 0.05
    whole, pieces, pasts, start = block(x)[:, 0], [], [None, None], 0
    for size in (1, 2, 9, 4, 10, 4):
        ahead = min(30, start + size + block.reach[1])
        time = Streamed(pasts, size)
        pieces.append(block(x[:, start:ahead], time)[:, 0, : size * 40])
        pasts, start = list(time.after), start + size
    assert same(torch.cat(pieces, 1), whole)


def test_noise_fills_what_the_harmonics_leave() -> None:
    """With the harmonics' filter shut, white noise comes out whose level is the filter's."""
    block = HarmonicHead(8, 320, 4, 16, RATE, 16, 55.0, 480.0)
    with torch.no_grad():
        block.linear.weight.zero_()
        block.linear.bias.fill_(-60.0)
        block.linear.bias[block.num_bins :] = math.log(0.1)
        noise = block(torch.zeros(1, 100, 8))[0, 0]
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    spectrum = torch.stft(noise, 512, window=torch.hann_window(512), return_complex=True).abs().square().mean(1)
    assert spectrum[10:-10].max() / spectrum[10:-10].min() < 4
