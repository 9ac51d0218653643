"""Resampling by a windowed sinc inside a model, to the digit as torchaudio's default does it.

After Smith (1984), with six zero crossings to either side, a Hann window, and a roll-off of 0.99. Models were trained
behind this filter: another one, however good, gives other codes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SincResampler"]

ZERO_CROSSINGS = 6
ROLL_OFF = 0.99  # of the lower rate's Nyquist frequency


class SincResampler(nn.Module):
    """Change the sampling rate of waveforms.

    Args:
        source_rate: in Hz.
        target_rate: in Hz.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        super().__init__()
        divisor = math.gcd(source_rate, target_rate)
        self.down, self.up = source_rate // divisor, target_rate // divisor
        self.cutoff = min(self.down, self.up) * ROLL_OFF
        self.reach = math.ceil(ZERO_CROSSINGS * self.down / self.cutoff)

    def output_length(self, num_samples: Tensor) -> Tensor:
        """Tell how many samples so many make, in each clip."""
        return -(-num_samples * self.up // self.down)

    def forward(self, waveform: Tensor) -> Tensor:
        """Resample.

        Args:
            waveform: floating point, shape (batch, samples).

        Returns:
            float32, shape (batch, samples * target rate / source rate), rounded up.
        """
        if self.down == self.up:
            return waveform.float()
        num_samples = waveform.shape[-1]
        padded = F.pad(waveform.float(), (self.reach, self.reach + self.down))
        phases = F.conv1d(padded[:, None], self._filters(waveform.device), stride=self.down)  # (batch, up, steps)
        return phases.transpose(1, 2).flatten(1)[:, : -(-num_samples * self.up // self.down)]

    def _filters(self, device: torch.device) -> Tensor:
        """Make one filter for each of the `up` positions of a new sample between old ones: (up, 1, taps)."""
        taps = torch.arange(-self.reach, self.reach + self.down, dtype=torch.float32, device=device) / self.down
        shifts = torch.arange(0, -self.up, -1, device=device) / self.up
        time = (shifts[:, None, None] + taps).mul_(self.cutoff).clamp_(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
        time = time * math.pi
        sinc = torch.where(time == 0, torch.ones_like(time), time.sin() / time)
        return sinc * (window * (self.cutoff / self.down))
