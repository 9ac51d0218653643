"""The source of voiced speech: pulses that repeat at the fundamental frequency, all its harmonics at once.

The fundamental frequency is a step of a scale, and the phase is counted in whole numbers, so that it is the same on
every machine, and goes on exactly where an earlier stretch of a signal has ended.
"""

import math

import torch
from torch import Tensor

__all__ = ["STEPS_PER_OCTAVE", "PulseTrain"]

STEPS_PER_OCTAVE = 120  # 10 cents each: neighbours sound alike
PERIOD = 1 << 32  # a period, in the units that phases are counted in
HIGHEST_HARMONIC = 0.49375  # of the rate: 7,900 Hz of 16 kHz


class PulseTrain:
    """Pulses of equal power whose frequency glides from each step's middle to the next one's.

    Args:
        sampling_rate: of the pulses, in Hz.
        hop_length: samples in a step.
        lowest: fundamental frequency in Hz of scale step 0.
        highest: of the last one, or a little above it.
    """

    def __init__(self, sampling_rate: int, hop_length: int, lowest: float, highest: float) -> None:
        self.hop_length = hop_length
        self.lowest = lowest
        self.highest_step = round(math.log2(highest / lowest) * STEPS_PER_OCTAVE)
        frequencies = [lowest * 2 ** (step / STEPS_PER_OCTAVE) for step in range(self.highest_step + 1)]
        self.increments = [round(frequency / sampling_rate * PERIOD) for frequency in frequencies]
        self.harmonics = [int(HIGHEST_HARMONIC * sampling_rate / frequency) for frequency in frequencies]

    def scale_steps(self, frequency: Tensor) -> Tensor:
        """Find the scale's steps, int64, that are nearest to frequencies in Hz, of any shape."""
        octaves = (frequency / self.lowest).log2()
        return (octaves * STEPS_PER_OCTAVE).round().long().clamp(0, self.highest_step)

    def turns(self, pitch: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute how far the phase goes within each step, int64 (batch, time); it depends on a step to either side.

        Args:
            pitch: scale steps, int64 (batch, time).
            lengths: valid steps of each clip, (batch,); None means all.
        """
        return self._increments(pitch, lengths).sum(-1)

    def pulses(self, pitch: Tensor, phase: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Make samples of unit power, float32 (batch, time * hop_length).

        Args:
            pitch: as for `turns`.
            phase: where each step begins, int64 (batch, time): the sum of all `turns` before it.
            lengths: as for `turns`.
        """
        angle = phase[..., None] + self._increments(pitch, lengths).cumsum(-1)
        angle = within(angle, PERIOD)
        count = torch.tensor(self.harmonics, device=pitch.device)[pitch][..., None]
        # The sum of cos(k * angle) over the harmonics, in closed form.
        numerator = half(count * angle).sin() * half((count + 1) * angle).cos()
        at_pulse = angle == 0
        pulses = torch.where(at_pulse, count.float(), numerator / torch.where(at_pulse, 1.0, half(angle).sin()))
        return (pulses * (2.0 / count.float()).sqrt()).flatten(1)

    def _increments(self, pitch: Tensor, lengths: Tensor | None) -> Tensor:
        """Glide from middle to middle: what each sample adds to the phase, int64 (batch, time, hop_length)."""
        before, after = torch.cat([pitch[:, :1], pitch[:, :-1]], 1), torch.cat([pitch[:, 1:], pitch[:, -1:]], 1)
        if lengths is not None:
            steps = torch.arange(pitch.shape[1], device=pitch.device)
            after = torch.where(steps == lengths[:, None] - 1, pitch, after)
        table = torch.tensor(self.increments, device=pitch.device)
        from_middle = 2 * torch.arange(self.hop_length, device=pitch.device) + 1 - self.hop_length
        is_early = from_middle < 0
        own, other = table[pitch][..., None], torch.where(is_early, table[before][..., None], table[after][..., None])
        weight = from_middle.abs()  # of 2 * hop_length
        return (own * (2 * self.hop_length - weight) + other * weight) // (2 * self.hop_length)


def within(angle: Tensor, period: int) -> Tensor:
    """Return the angle within half a period of 0."""
    return (angle + period // 2) % period - period // 2


def half(angle: Tensor) -> Tensor:
    """Half of an angle that is counted in units, in radians, float32."""
    return within(angle, 2 * PERIOD).float() * (math.pi / PERIOD)
