"""The disturbance loss: how much more or less loud a reconstruction is than its recording, as PESQ hears it.

It follows ITU-T P.862 as Beerends et al. ("Perceptual evaluation of speech quality (PESQ), part II", 2002) and
Martin-Donas et al. ("A deep learning loss function based on the perceptual evaluation of the speech quality", 2018)
describe it, but for the alignment in time, which a codec's output does not need. The bands are equally wide on the Bark
scale of Schroeder et al. (1979), the threshold of hearing is Terhardt's (1979), and loudness is Zwicker's power law.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DisturbanceLoss"]

FRAME = 0.032  # seconds; frames overlap by half
BANDS = 49
WIDENING = 0.0135  # each band is wider on the Bark scale than the one below it by so much
SPEECH_BAND = (325.0, 3250.0)  # Hz, where levels are compared
SPEECH_POWER = 2e9  # of a clip's mean frame there; 1 is 0 dB of sound pressure
HIGH_PASS = 98.0  # Hz, of a second-order filter before the ear
SPEECH_FRAME = 1e7  # the audible power from which on a frame is speech
LOUDNESS_SCALE = 0.1866
LOUDNESS_EXPONENT = 0.23
DEAD_ZONE = 0.25  # of the smaller of two loudnesses: what is below it is masked
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309  # how many points of the score each unit of disturbance costs
LARGEST = 45.0  # disturbance of a frame
FLOOR = 1e-12  # of a sixth power: roots have a gradient where nothing is disturbed
INTERVAL = 20  # frames of a syllable, whose worst frames count most


class DisturbanceLoss(nn.Module):
    """What PESQ would take off the score of a reconstruction, before the score is mapped to opinions.

    Args:
        sampling_rate: of the signals, in Hz.
    """

    window: Tensor
    bands: Tensor
    widths: Tensor
    speech_band: Tensor
    threshold: Tensor
    exponent: Tensor

    def __init__(self, sampling_rate: int = 16_000) -> None:
        super().__init__()
        self.n_fft = round(FRAME * sampling_rate)
        steps = (WIDENING * torch.arange(BANDS + 1)).exp() - 1
        edges = _frequency(steps / steps[-1] * _bark(torch.tensor(sampling_rate / 2)))
        centres = _frequency((_bark(edges[:-1]) + _bark(edges[1:])) / 2)
        # Loudness grows more steeply at low frequencies.
        steeper = (6 / (_bark(centres) + 2)).clamp(1.0, 2.0).pow(0.15)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("bands", _shares(edges, self.n_fft, sampling_rate), persistent=False)
        is_speech = (centres > SPEECH_BAND[0]) & (centres < SPEECH_BAND[1])
        self.register_buffer("speech_band", is_speech.float(), persistent=False)
        self.register_buffer("widths", _bark(edges).diff(), persistent=False)
        self.register_buffer("threshold", 10 ** (_threshold(centres) / 10), persistent=False)
        self.register_buffer("exponent", LOUDNESS_EXPONENT * steeper, persistent=False)

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Compare float32 (clips, samples) with (clips, samples): 0 for equal ones, about 4 for noise."""
        given, wanted = self._powers(audio), self._powers(target)
        heard = wanted * self._response(given, wanted)
        power = ((heard * (heard > self.threshold)).sum(-1), (given * (given > self.threshold)).sum(-1))
        gain = (power[0] + 5e3) / (power[1] + 5e3)
        gain = 0.8 * gain + 0.2 * F.pad(gain, (1, 0), value=1.0)[:, :-1]
        given = given * gain.clamp(3e-4, 5.0)[..., None]
        loudness = self._loudness(given), self._loudness(heard)
        difference = loudness[0] - loudness[1]
        disturbance = difference.abs() - DEAD_ZONE * torch.minimum(*loudness)
        disturbance = disturbance.clamp(min=0.0) * self.widths
        # What was added is worse than what is missing.
        added = ((given + 50) / (heard + 50)).pow(1.2)
        added = (added * (added > 3)).clamp(max=12.0)
        width = self.widths.sum()
        symmetric = (disturbance.square().sum(-1) * width + 1e-6).sqrt()
        asymmetric = (disturbance * added).sum(-1)
        # Quiet frames weigh more.
        weight = ((power[0] + 1e5) / 1e7).pow(0.04)
        frames = (LARGEST * (each / weight / LARGEST).tanh() for each in (symmetric, asymmetric))
        symmetric, asymmetric = (_over_time(each) for each in frames)
        score = SYMMETRIC * symmetric + ASYMMETRIC * asymmetric
        return score.mean()

    def _powers(self, signal: Tensor) -> Tensor:
        """Compute powers in bands, (clips, frames, bands), of a signal brought to the level of speech."""
        transform = torch.stft(signal, self.n_fft, self.n_fft // 2, window=self.window, return_complex=True)
        power = (transform.real.square() + transform.imag.square()).transpose(1, 2) @ self.bands
        level = (power @ self.speech_band).mean(-1)
        return power * (SPEECH_POWER / (level + 1e-3))[:, None, None]

    def _response(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Compute the part of the difference that is a steady filter, (clips, 1, bands), within 20 dB."""
        is_speech = ((wanted * (wanted > 100 * self.threshold)).sum(-1) > SPEECH_FRAME)[..., None]
        audible = [power * (power > 100 * self.threshold) * is_speech for power in (given, wanted)]
        mean = [power.mean(1, keepdim=True) for power in audible]
        return ((mean[0] + 1000) / (mean[1] + 1000)).clamp(0.01, 100.0)

    def _loudness(self, power: Tensor) -> Tensor:
        """Compute the loudness of powers (clips, frames, bands), 0 below the threshold of hearing."""
        steps = (0.5 + 0.5 * power / self.threshold).clamp(min=1.0).pow(self.exponent) - 1
        return LOUDNESS_SCALE * (self.threshold / 0.5).pow(self.exponent) * steps


def _over_time(disturbance: Tensor) -> Tensor:
    """Bring (clips, frames) to (clips,): a mean of sixth powers in each interval, of squares over intervals."""
    if disturbance.shape[1] < INTERVAL:
        disturbance = F.pad(disturbance, (0, INTERVAL - disturbance.shape[1]))
    intervals = disturbance.unfold(1, INTERVAL, INTERVAL // 2)
    return (intervals.pow(6).mean(-1) + FLOOR).pow(1 / 3).mean(-1).sqrt()


def _bark(frequency: Tensor) -> Tensor:
    return 7 * torch.asinh(frequency / 650)


def _frequency(bark: Tensor) -> Tensor:
    return 650 * torch.sinh(bark / 7)


def _threshold(frequency: Tensor) -> Tensor:
    """Return the threshold of hearing in dB at frequencies in Hz."""
    f = frequency.clamp(min=30.0) / 1000
    return 3.64 * f.pow(-0.8) - 6.5 * (-0.6 * (f - 3.3).square()).exp() + 1e-3 * f.pow(4)


def _shares(edges: Tensor, n_fft: int, sampling_rate: int) -> Tensor:
    """Tell which share of each bin of a transform lies in each band: (n_fft // 2 + 1, bands)."""
    spacing = sampling_rate / n_fft
    bins = torch.arange(n_fft // 2 + 1)[:, None] * spacing
    upper = torch.minimum(bins + spacing / 2, edges[1:])
    lower = torch.maximum(bins - spacing / 2, edges[:-1])
    passed = bins**4 / (bins**4 + HIGH_PASS**4)
    return passed * (upper - lower).clamp(min=0.0) / spacing
