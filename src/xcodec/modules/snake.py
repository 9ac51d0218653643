"""Periodic activations: Snake, and the anti-aliased SnakeBeta: upsample by 2, SnakeBeta, downsample by 2.

Snake (Ziyin et al., 2020) is the activation of DAC and X-Codec. SnakeBeta is that of BigVGAN (Lee et al., 2022); the
alias-free wrapper and its Kaiser-windowed sinc filters come from the same work and, before it, from StyleGAN3 (Karras
et al., 2021).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec import kernels
from xcodec.modules.lengths import replicate_past_end, zero_past_end

__all__ = ["AntiAliasedActivation", "Snake", "SnakeBeta", "at_least_float32", "kaiser_sinc_filter"]

RATIO = 2
FILTER_TAPS = 12


class Snake(nn.Module):
    """x + sin^2(alpha x) / alpha, with one `alpha` per channel; `eps` is added to the one that divides."""

    def __init__(self, channels: int, eps: float = 1e-9) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))
        self.eps = eps

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Activate `x` of shape (batch, channels, time); what comes out past a clip's end means nothing."""
        if kernels.serves(x):
            alpha = at_least_float32(self.alpha[0, :, 0])
            return kernels.snake(x.transpose(1, 2), alpha, 1 / (alpha + self.eps), lengths).transpose(1, 2)
        return x + (x * self.alpha).sin().square() / (self.alpha + self.eps)


class SnakeBeta(nn.Module):
    """x + sin^2(alpha x) / beta, with `alpha` (frequency) and `beta` (magnitude) per channel, stored as logarithms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def alpha_and_gain(self) -> tuple[Tensor, Tensor]:
        """Return the wave's angular frequency and height 1 / beta, each (channels,), never narrower than float32."""
        return at_least_float32(self.alpha).exp(), 1 / (at_least_float32(self.beta).exp() + 1e-9)

    def forward(self, x: Tensor) -> Tensor:
        """Activate `x` of shape (batch, channels, time)."""
        alpha, gain = self.alpha_and_gain()
        return x + (x * alpha.unsqueeze(1)).sin().square() * gain.unsqueeze(1)


def at_least_float32(x: Tensor) -> Tensor:
    """Widen half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def kaiser_sinc_filter(cutoff: float, half_width: float, num_taps: int) -> list[float]:
    """Taps of a low-pass sinc filter under a Kaiser window, summing to 1.

    Args:
        cutoff: cutoff frequency in cycles per sample, above 0 and at most 0.5.
        half_width: half the width of the transition band, in cycles per sample.
        num_taps: number of taps; an even number puts the centre between the two middle taps.
    """
    half_taps = num_taps // 2
    attenuation = 2.285 * (half_taps - 1) * math.pi * 4 * half_width + 7.95  # dB, by Kaiser's formula
    if attenuation > 50.0:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation >= 21.0:
        beta = 0.5842 * (attenuation - 21.0) ** 0.4 + 0.07886 * (attenuation - 21.0)
    else:
        beta = 0.0
    window = torch.kaiser_window(num_taps, periodic=False, beta=beta, dtype=torch.float32, device="cpu")
    time = torch.arange(num_taps, dtype=torch.float32, device="cpu") - half_taps + (0.5 if num_taps % 2 == 0 else 0.0)
    taps = 2 * cutoff * window * torch.sinc(2 * cutoff * time)
    return (taps / taps.sum()).tolist()


class AntiAliasedActivation(nn.Module):
    """Wrap a pointwise activation so that the harmonics it makes do not fold back below the Nyquist frequency.

    The signal is upsampled by 2, activated, and downsampled by 2, each time through a 12-tap filter whose input is
    extended by its first and last value.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.act = activation
        # Numbers rather than a buffer: no checkpoint stores them, and half precision must not round them.
        self.taps = kaiser_sinc_filter(0.5 / RATIO, 0.6 / RATIO, FILTER_TAPS)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Activate.

        Args:
            x: shape (batch, channels, time). Half precision is computed in float32.
            lengths: valid steps of each clip, shape (batch,).

        Returns:
            The shape and dtype of `x`, zeros past each clip's end. Where the kernel for GPUs serves, it lies as `x`
            does. Where the native one does, it lies in memory as (batch, time, channels), and an input that does so as
            well is read without a copy.
        """
        if isinstance(self.act, SnakeBeta) and kernels.serves_planar(x, *self.act.parameters()):
            return kernels.anti_aliased_snake_planar(x, *self.act.alpha_and_gain(), self.taps, lengths)
        if isinstance(self.act, SnakeBeta) and kernels.serves(x):
            # (batch, channels, time) -> (batch, time, channels) and back
            y = kernels.anti_aliased_snake(x.transpose(1, 2), *self.act.alpha_and_gain(), self.taps, lengths)
            return y.transpose(1, 2)
        return zero_past_end(self._in_torch(at_least_float32(x), lengths), lengths).to(x.dtype)

    def _in_torch(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        channels = x.shape[1]
        taps = torch.tensor(self.taps, dtype=x.dtype, device=x.device).expand(channels, 1, -1)

        x = F.pad(replicate_past_end(x, lengths), (FILTER_TAPS // RATIO - 1,) * 2, mode="replicate")
        x = F.conv_transpose1d(x, RATIO * taps, stride=RATIO, groups=channels)
        trim = (FILTER_TAPS // RATIO - 1) * RATIO + (FILTER_TAPS - RATIO) // 2
        x = self.act(x[..., trim:-trim])

        x = replicate_past_end(x, None if lengths is None else RATIO * lengths)
        x = F.pad(x, (FILTER_TAPS // 2 - 1, FILTER_TAPS // 2), mode="replicate")
        return F.conv1d(x, taps, stride=RATIO, groups=channels)
