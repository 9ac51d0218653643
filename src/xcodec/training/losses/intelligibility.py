"""The intelligibility loss: how unlike the envelopes of a reconstruction and of its recording are, as STOI hears it.

After Taal et al., "An algorithm for intelligibility prediction of time-frequency weighted noisy speech" (2011): the
correlation of envelopes in bands of a third of an octave over 384 ms.
"""

import torch
from torch import Tensor, nn

__all__ = ["IntelligibilityLoss"]

FRAME = 0.0256  # seconds; frames overlap by half
SEGMENT = 30  # frames
STEP = 7  # frames from one segment to the next
BANDS = 15
LOWEST = 150.0  # Hz, centre of the lowest band
CLIPPED = 1 + 10 ** (15 / 20)  # an envelope counts up to 15 dB of distortion
DYNAMIC_RANGE = 1e-4  # of a clip's powers: frames 40 dB below its loudest are silence
FLOOR = 1e-9


class IntelligibilityLoss(nn.Module):
    """One less the mean correlation of envelopes.

    Args:
        sampling_rate: of the signals, in Hz.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, sampling_rate: int = 16_000) -> None:
        super().__init__()
        self.hop_length = round(FRAME * sampling_rate / 2)
        self.n_fft = 1 << (3 * self.hop_length).bit_length()
        self.register_buffer("window", torch.hann_window(2 * self.hop_length), persistent=False)
        frequencies = torch.linspace(0.0, sampling_rate / 2, self.n_fft // 2 + 1)[:, None]
        centres = LOWEST * 2 ** (torch.arange(BANDS) / 3)
        bands = (frequencies >= centres * 2 ** (-1 / 6)) & (frequencies < centres * 2 ** (1 / 6))
        self.register_buffer("bands", bands.float(), persistent=False)

    def forward(self, audio: Tensor, target: Tensor) -> Tensor:
        """Compare float32 (clips, samples) with (clips, samples), 384 ms and more: 0 for equal ones, up to 1."""
        given = self._envelopes(audio)
        with torch.no_grad():
            wanted = self._envelopes(target)
            energy = wanted.square().sum(1)
            audible = (energy > DYNAMIC_RANGE * energy.amax(-1, keepdim=True)).float()
        weights = audible.unfold(-1, SEGMENT, STEP).mean(-1)[:, None]
        x, y = (each.unfold(-1, SEGMENT, STEP) for each in (wanted, given))  # -> (clips, bands, segments, frames)
        norms = [torch.linalg.vector_norm(segments, dim=-1, keepdim=True) + FLOOR for segments in (x, y)]
        y = torch.minimum(y * (norms[0] / norms[1]), x * CLIPPED)
        x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
        spread = torch.linalg.vector_norm(x, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
        correlation = (x * y).sum(-1) / (spread + FLOOR)
        return 1 - (correlation * weights).sum() / (weights.sum() * BANDS + FLOOR)

    def _envelopes(self, signal: Tensor) -> Tensor:
        """Compute the magnitudes in each band, (clips, bands, frames)."""
        transform = torch.stft(
            signal, self.n_fft, self.hop_length, 2 * self.hop_length, self.window, return_complex=True
        )
        power = (transform.real.square() + transform.imag.square()).transpose(1, 2) @ self.bands
        return (power + FLOOR).sqrt().transpose(1, 2)
