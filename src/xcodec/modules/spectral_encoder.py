"""The acoustic encoder of the small codecs: log mel spectra and autocorrelations, and ConvNeXt blocks over codes.

An encoder of samples has to find out what a spectrum is and what a pitch, at thousands of steps a second; this one is
told, and all of its weights work at the rate of the codes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.autocast import without_autocast
from xcodec.modules.autocorrelation import Autocorrelation
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.fbank import FramedPower, KaldiFbank, stack_frames
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.linear import Linear
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.vocos import AROUND, EPS, VocosBlock

__all__ = ["SpectralEncoder"]

MEAN, DEVIATION = 10.0, 5.0  # about, of natural logarithms of speech's mel energies as Kaldi scales them


class SpectralEncoder(nn.Module):
    """From a waveform to one latent vector per hop, by its spectra, and by how alike it is to itself a period later.

    Args:
        sampling_rate: of the waveform, in Hz.
        hop_length: samples per latent vector.
        windows: samples in the windows of each filter bank.
        frames: spectra of each per latent vector, of which `hop_length` is a multiple.
        num_mel_bins: mel filters of each.
        pitches: the autocorrelation that is read beside them, whose frames are a hop apart.
        hidden_size: width of the blocks.
        intermediate_size: width inside them.
        num_layers: how many there are.
        output_size: width of the latents.
    """

    def __init__(
        self,
        sampling_rate: int,
        hop_length: int,
        windows: Sequence[int],
        frames: Sequence[int],
        num_mel_bins: int,
        pitches: Autocorrelation,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        output_size: int,
    ) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.frames = (*frames, 1)
        banks = [
            KaldiFbank(sampling_rate, num_mel_bins, window, hop_length // number)
            for window, number in zip(windows, frames, strict=True)
        ]
        self.banks = nn.ModuleList([*banks, pitches])
        num_features = num_mel_bins * sum(frames) + pitches.num_outputs
        self.embed = MaskedConv1d(num_features, hidden_size, kernel_size=3, padding=1)
        self.layers = nn.ModuleList(
            VocosBlock(hidden_size, intermediate_size, 1 / num_layers) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.linear = Linear(hidden_size, output_size)
        self.direct = Linear(num_features, output_size)
        self.width = num_features + intermediate_size
        margin = max(max(self.margins(i)) for i in range(len(self.banks)))
        self.halo = -(-margin // hop_length) + 1 + AROUND * num_layers

    def margins(self, i: int) -> tuple[int, int]:
        """Samples that the windows of a filter bank reach before the first hop, and past the last one."""
        bank = self.banks[i]
        assert isinstance(bank, FramedPower)
        reach = bank.frame_length - bank.frame_shift
        return reach // 2, reach - reach // 2

    def output_length(self, num_samples: int) -> int:
        """How many latent vectors so many samples make."""
        return num_samples // self.hop_length

    def forward(self, waveform: Tensor, time: Time = WHOLE) -> Tensor:
        """Encode.

        Args:
            waveform: float32, shape (batch, 1, samples), samples a multiple of the hop length.
            time: of the samples; the clips' lengths are multiples of the hop length.

        Returns:
            Shape (batch, output_size, samples // hop_length); past a clip's end it means nothing.
        """
        return time.map(
            self._encoded,
            waveform,
            width=self.width,
            reach=self.halo,
            dim=2,
            down=self.hop_length,
            steps=self.output_length(waveform.shape[-1]),
            clips_apart=True,
            told=True,
        )

    def _encoded(self, waveform: Tensor, lengths: Tensor | None) -> Tensor:
        features = self.features(zero_past_end(waveform, lengths)[:, 0]).to(self.norm.weight.dtype)
        lengths = None if lengths is None else lengths // self.hop_length
        x = self.embed(features.transpose(1, 2), lengths).transpose(1, 2)
        for layer in self.layers:
            x = layer(x, lengths)
        latents: Tensor = self.linear(self.norm(x)) + self.direct(features)
        return latents.transpose(1, 2)

    def features(self, waveform: Tensor) -> Tensor:
        """Compute what is read of samples (batch, samples), side by side: float32 (batch, steps, features)."""
        with torch.no_grad(), without_autocast(waveform):
            *spectra, alike = (
                stack_frames(bank(F.pad(waveform, self.margins(i))), number)
                for i, (bank, number) in enumerate(zip(self.banks, self.frames, strict=True))
            )
            return torch.cat([(torch.cat(spectra, -1) - MEAN) / DEVIATION, alike], -1)
