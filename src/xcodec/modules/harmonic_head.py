"""The head that makes speech as a voice does: a source of harmonics and one of noise, each behind a filter.

A source-filter model (Fant, 1960) whose parts a network predicts, as in neural source-filter models (Wang, Takaki and
Yamagishi, 2019) and differentiable signal processing (Engel et al., 2020). Where an inverse STFT of predicted phases
leaves it to the network to keep a harmonic's phase from frame to frame, here the phase is the sum of the fundamental
frequency, so that a small network has harmonics from the beginning.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d, as_many_steps, conv_ahead, conv_reach
from xcodec.modules.istft import OVERLAP, normalized_overlap_add
from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear
from xcodec.modules.pulse_train import STEPS_PER_OCTAVE, PulseTrain
from xcodec.modules.time import WHOLE, Time

__all__ = ["HarmonicHead", "PitchPredictor"]

NEIGHBOURS = 3  # bins to either side of the likeliest one that its frequency is the mean of
MAX_LOG_MAGNITUDE = 5.0
TURNS_REACH = 1  # steps to either side that what the phase turns by depends on
TAPS = 3
NOISE_STEPS = 64  # after which the noise comes again: 1.28 s at 50 steps a second


class PitchPredictor(nn.Module):
    """Predict the fundamental frequency of each step, as probabilities of bins that lie evenly by its logarithm.

    Args:
        hidden_size: width of the input.
        num_bins: how many there are.
        lowest: fundamental frequency in Hz of the first one.
        highest: of the last one.
        inner_size: width on the way.
        lookahead: how many steps after its own a pitch depends on: 1, or 0.
    """

    def __init__(
        self,
        hidden_size: int,
        num_bins: int,
        lowest: float,
        highest: float,
        inner_size: int = 128,
        lookahead: int = TAPS // 2,
    ) -> None:
        super().__init__()
        self.num_bins, self.lowest, self.highest = num_bins, lowest, highest
        self.conv = conv_ahead(hidden_size, inner_size, TAPS, lookahead)
        self.linear = Linear(inner_size, num_bins)
        self.reach = conv_reach(self.conv)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, time, hidden_size) to the bins' logits, (batch, time, num_bins)."""
        inner = F.gelu(as_many_steps(self.conv, x.transpose(1, 2), lengths).transpose(1, 2))
        logits: Tensor = self.linear(inner)
        return logits

    def scale_steps(self, logits: Tensor, per_octave: int) -> Tensor:
        """Tell which steps of a scale are meant, int64 (batch, time); rounding may pass its end by one.

        What is rounded is a distance from a bin, a small number, so that two machines hardly ever round it otherwise.

        Args:
            logits: (batch, time, num_bins).
            per_octave: steps of the scale, which begins at `lowest`, in an octave.
        """
        likeliest = logits.argmax(-1)
        distances = torch.arange(self.num_bins, device=logits.device) - likeliest[..., None]
        probabilities = logits.float().softmax(-1) * (distances.abs() <= NEIGHBOURS)
        distance = (probabilities * distances).sum(-1) / probabilities.sum(-1)
        width = math.log2(self.highest / self.lowest) / (self.num_bins - 1) * per_octave  # steps in a bin
        places = [number * width for number in range(self.num_bins)]
        whole = torch.tensor([math.floor(place) for place in places], device=logits.device)
        part = torch.tensor([place % 1 for place in places], dtype=torch.float32, device=logits.device)
        return whole[likeliest] + (part[likeliest] + distance * width).round().long()

    def centres(self, device: torch.device) -> Tensor:
        """Natural logarithms of the bins' frequencies in Hz, float32 (num_bins,)."""
        return torch.linspace(math.log(self.lowest), math.log(self.highest), self.num_bins, device=device)


class HarmonicHead(nn.Module):
    """Predict a fundamental frequency and two filters, and send a pulse train and noise through them.

    The filters change `ratio` times a step. That of the pulses has the phase that goes with its magnitudes in a system
    that answers as soon as it can (minimum phase); that of the noise needs none.

    Args:
        hidden_size: width of the input.
        hop_length: samples per input step, a multiple of `ratio`.
        ratio: filters per input step.
        inner_size: width of what filters are made of.
        sampling_rate: of the samples, in Hz.
        num_pitch_bins: as for `PitchPredictor`.
        lowest_pitch: in Hz; likewise.
        highest_pitch: in Hz; likewise.
        lookahead: how many steps after its own the convolutions of the input see: 1, or 0.
    """

    noise: Tensor

    def __init__(
        self,
        hidden_size: int,
        hop_length: int,
        ratio: int,
        inner_size: int,
        sampling_rate: int,
        num_pitch_bins: int,
        lowest_pitch: float,
        highest_pitch: float,
        lookahead: int = TAPS // 2,
    ) -> None:
        super().__init__()
        self.ratio, self.inner_size, self.hop_length = ratio, inner_size, hop_length
        self.filter_hop = hop_length // ratio
        self.n_fft = OVERLAP * self.filter_hop
        self.num_bins = self.n_fft // 2 + 1
        self.pitch = PitchPredictor(hidden_size, num_pitch_bins, lowest_pitch, highest_pitch, lookahead=lookahead)
        self.source = PulseTrain(sampling_rate, hop_length, lowest_pitch, highest_pitch)
        self.up = conv_ahead(hidden_size, ratio * inner_size, TAPS, lookahead)
        self.mix = MaskedConv1d(inner_size, inner_size, kernel_size=TAPS, padding=TAPS // 2)
        self.norm = nn.LayerNorm(inner_size)
        self.linear = Linear(inner_size, 2 * self.num_bins)
        angles = torch.rand(NOISE_STEPS * ratio, self.num_bins, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", 2 * math.pi * angles - math.pi)

    @property
    def samples_reach(self) -> tuple[int, int]:
        """How many steps before and after its own a sample depends on, if pitch and phase are known."""
        overlap = -(-OVERLAP // self.ratio)  # and what is mixed
        before, after = conv_reach(self.up)
        return overlap + max(before, TURNS_REACH), overlap + max(after, TURNS_REACH)

    @property
    def reach(self) -> tuple[int, int]:
        """How many steps before and after its own a sample depends on, if the phase that they begin with is known."""
        before, after = zip(self.samples_reach, (TURNS_REACH, 0), self.pitch.reach, strict=True)
        return sum(before), sum(after)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Make samples.

        Args:
            x: shape (batch, time, hidden_size).
            time: of `x`.

        Returns:
            float32 samples of shape (batch, 1, time * hop_length), zeros past each clip's end.
        """
        return self.voiced(x, time.map(self._pitch, x, reach=self.pitch.reach, width=x.shape[2]), time)

    def voiced(self, x: Tensor, pitch: Tensor, time: Time = WHOLE) -> Tensor:
        """Make samples of a given pitch, in steps of `source`'s scale, int64 (batch, time); else as `forward`."""
        phase = time.sum_before(time.map(self.source.turns, pitch, reach=TURNS_REACH, width=2 * self.hop_length))
        positions = time.positions(x).expand(x.shape[0], -1)
        width = 8 * self.ratio * self.n_fft
        signals = (x, pitch, phase, positions)
        return time.map(self._samples, *signals, reach=self.samples_reach, up=self.hop_length, width=width)[:, None]

    def _pitch(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self.pitch.scale_steps(self.pitch(x, lengths), STEPS_PER_OCTAVE).clamp(0, self.source.highest_step)

    def _samples(self, x: Tensor, pitch: Tensor, phase: Tensor, positions: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, time, ...) to (batch, time * hop_length)."""
        harmonic, noisy = self.filters(x, lengths).clamp(max=MAX_LOG_MAGNITUDE).chunk(2, -1)
        pulses = self.source.pulses(pitch, phase, lengths)
        valid = None if lengths is None else valid_steps(lengths * self.ratio, x.shape[1] * self.ratio)
        if valid is not None:
            pulses = pulses.masked_fill(~valid.repeat_interleave(self.filter_hop, 1), 0.0)
        window = torch.hann_window(self.n_fft, dtype=torch.float32, device=x.device)
        margin = (self.n_fft - self.filter_hop) // 2
        frames = F.pad(pulses, (margin, margin)).unfold(-1, self.n_fft, self.filter_hop)
        real, imaginary = self.transform(frames * window)
        real, imaginary = rotated(real, imaginary, harmonic.exp(), self.minimum_phase(harmonic))
        # What is drawn anew for each frame has unit power, as the pulses have, when it is this strong.
        noise_level = noisy.exp() * (OVERLAP * window.square().sum()).sqrt()
        noise = self._noise(positions)
        frames = self.inverse_transform(real + noise_level * noise.cos(), imaginary + noise_level * noise.sin())
        return normalized_overlap_add(frames, window, self.filter_hop, valid)

    def filters(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Predict log-magnitudes, those of the harmonics' filter and of the noise's.

        Args:
            x: (batch, time, hidden_size).
            lengths: valid steps of each clip, (batch,); None means all.

        Returns:
            float32 (batch, time * ratio, 2 * (n_fft / 2 + 1)).
        """
        y = as_many_steps(self.up, x.transpose(1, 2), lengths)
        # (batch, ratio * inner, time) -> (batch, inner, time * ratio)
        y = F.gelu(y.unflatten(1, (self.ratio, self.inner_size)).permute(0, 2, 3, 1).flatten(2))
        y = y + self.mix(y, None if lengths is None else lengths * self.ratio)
        magnitudes: Tensor = self.linear(F.gelu(self.norm(y.transpose(1, 2))))
        return magnitudes.float()

    def _noise(self, positions: Tensor) -> Tensor:
        """Look up the noise's angles at steps: float32 (batch, time * ratio, bins)."""
        table = self.noise.float().unflatten(0, (NOISE_STEPS, self.ratio))
        return table[positions % NOISE_STEPS].flatten(1, 2)

    def transform(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Transform frames (batch, steps, n_fft) to spectra, the real and the imaginary part, (batch, steps, bins)."""
        spectra = torch.fft.rfft(frames)
        return spectra.real, spectra.imag

    def inverse_transform(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Undo `transform`."""
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)

    def minimum_phase(self, log_magnitude: Tensor) -> Tensor:
        """Compute the phase that goes with log-magnitudes, both (batch, steps, bins), by folding their cepstrum."""
        cepstrum = torch.fft.irfft(log_magnitude.to(torch.complex64), self.n_fft)
        middle = self.n_fft // 2
        folded = torch.cat([torch.zeros_like(cepstrum[..., :1]), 2 * cepstrum[..., 1:middle]], -1)
        return torch.fft.rfft(folded, self.n_fft).imag


def rotated(real: Tensor, imaginary: Tensor, magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply complex numbers by others, which are given as magnitude and phase."""
    a, b = magnitude * phase.cos(), magnitude * phase.sin()
    return real * a - imaginary * b, real * b + imaginary * a
