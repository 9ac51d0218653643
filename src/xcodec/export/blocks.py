"""Blocks as a graph computes them: the same results by operators that every runtime has, and computes right.

Fourier transforms become products with a matrix, so that no number is complex; upsampling by 2 is a convolution of two
phases rather than a transposed one; and a codebook may be left out, since how many there are is fixed in a graph.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.export.local_blocks import OnePassConvEncoder, WindowedTransformer
from xcodec.modules.autocorrelation import Autocorrelation
from xcodec.modules.convnext_encoder import ConvEncoder
from xcodec.modules.fbank import FramedPower, KaldiFbank
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.local_attention import LocalTransformer
from xcodec.modules.snake import FILTER_TAPS, RATIO, AntiAliasedActivation
from xcodec.quantizers.rvq import VectorQuantizer
from xcodec.runtime.manifest import LEFT_OUT

__all__ = ["portable"]


Module = TypeVar("Module", bound=nn.Module)


def portable(model: Module) -> Module:
    """Copy a model for a graph: some of its blocks are replaced by those of this file."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if (replacement := REPLACEMENTS.get(type(child))) is not None:
                setattr(module, name, replacement(child))
    return model


def waves(num_frequencies: int, num_samples: int, period: int) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines of every frequency, float64 (num_frequencies, num_samples)."""
    product = torch.arange(num_frequencies)[:, None] * torch.arange(num_samples) % period  # exact, however large
    angles = product.double() * (2 * math.pi / period)
    return angles.cos(), angles.sin()


def inverse_waves(num_samples: int) -> tuple[Tensor, Tensor]:
    """Compute what takes the real and the imaginary part of a spectrum to samples, float64 (bins, num_samples) each."""
    cosines, sines = waves(num_samples // 2 + 1, num_samples, num_samples)
    twice = torch.full((num_samples // 2 + 1, 1), 2.0 / num_samples, dtype=torch.float64)
    twice[[0, -1]] /= 2  # 0 Hz and Nyquist stand for themselves alone, the others for their mirror images too
    return twice * cosines, -twice * sines


class MatrixPower(FramedPower):
    """Power spectra by products with matrices, of all frames at once.

    Args:
        given: what is told of power spectra.
    """

    def __init__(self, given: FramedPower) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(given.__dict__)
        cosines, sines = waves(self.fft_length // 2 + 1, self.frame_length, self.fft_length)
        # No buffers: they stay float32 where the model becomes half precision.
        self.cosines, self.sines = cosines.T.float().contiguous(), sines.T.float().contiguous()
        self.povey, self.matrix = given.constants()

    def forward(self, waveform: Tensor) -> Tensor:
        """`FramedPower.forward`."""
        num_frames = (waveform.shape[-1] - self.frame_length) // self.frame_shift + 1
        first = torch.arange(num_frames, device=waveform.device)[:, None] * self.frame_shift
        frames = waveform.float()[:, first + torch.arange(self.frame_length, device=waveform.device)]
        return self.of_frames(frames, self.povey, self.matrix)

    def power(self, frames: Tensor) -> Tensor:
        """`FramedPower.power`."""
        return (frames @ self.cosines).square() + (frames @ self.sines).square()


class MatrixFbank(MatrixPower, KaldiFbank):
    """A filter bank whose spectrum is a product with a matrix."""


class MatrixAutocorrelation(MatrixPower, Autocorrelation):
    """Likewise."""


class MatrixISTFTHead(ISTFTHead):
    """A head whose inverse Fourier transform is a product with a matrix.

    Args:
        head: the head.
    """

    def __init__(self, head: ISTFTHead) -> None:
        super().__init__(head.linear.in_features, head.n_fft, head.hop_length)
        self.linear = head.linear
        cosines, sines = inverse_waves(self.n_fft)
        self.cosines, self.sines = cosines.float(), sines.float()

    def inverse_transform(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """`ISTFTHead.inverse_transform`."""
        return (magnitude * phase.cos()) @ self.cosines + (magnitude * phase.sin()) @ self.sines


class MatrixHarmonicHead(HarmonicHead):
    """A harmonic head whose Fourier transforms are products with matrices, and so is its minimum phase.

    Args:
        head: the head.
    """

    def __init__(self, head: HarmonicHead) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(head.__dict__)
        cosines, sines = waves(self.num_bins, self.n_fft, self.n_fft)
        self.forth = (cosines.T.float().contiguous(), -sines.T.float().contiguous())
        back_real, back_imaginary = inverse_waves(self.n_fft)
        self.back = (back_real.float(), back_imaginary.float())
        folded = torch.zeros(self.n_fft, dtype=torch.float64)
        folded[1 : self.n_fft // 2] = 2
        self.to_phase = (back_real * folded @ -sines.T).float()

    def transform(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """`HarmonicHead.transform`."""
        return frames @ self.forth[0], frames @ self.forth[1]

    def inverse_transform(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """`HarmonicHead.inverse_transform`."""
        return real @ self.back[0] + imaginary @ self.back[1]

    def minimum_phase(self, log_magnitude: Tensor) -> Tensor:
        """`HarmonicHead.minimum_phase`."""
        return log_magnitude @ self.to_phase


def extended(x: Tensor, lengths: Tensor, before: int, after: int) -> Tensor:
    """Extend clips by their first and last valid steps: (batch, channels, time) to (..., before + time + after)."""
    steps = torch.arange(-before, x.shape[-1] + after, device=x.device).clamp(min=0)
    return x.gather(-1, torch.minimum(steps, lengths.unsqueeze(1) - 1).unsqueeze(1).expand(-1, x.shape[1], -1))


class TwoPhaseActivation(AntiAliasedActivation):
    """An anti-aliased activation that upsamples by a convolution for each of the two new samples of an old one.

    Channels are convolved as if they were clips: all have the same filter.

    Args:
        activation: the activation.
    """

    def __init__(self, activation: AntiAliasedActivation) -> None:
        super().__init__(activation.act)
        taps = [RATIO * tap for tap in reversed(activation.taps)]
        # Of the old samples q - 3 to q + 3 the first new one reads the first six, the second one the last six.
        self.phases = torch.tensor([[[*taps[0::2], 0.0]], [[0.0, *taps[1::2]]]])
        self.filter = torch.tensor([[activation.taps]])

    def _in_torch(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        batch, channels, time = x.shape
        lengths = torch.full((batch,), time, device=x.device) if lengths is None else lengths
        x = extended(x, lengths, 3, 3).reshape(batch * channels, 1, time + 6)
        phases = F.conv1d(x, self.phases.to(x.dtype))
        # (batch * channels, phases, time) -> (batch, channels, time * phases)
        x = self.act(phases.transpose(1, 2).reshape(batch, channels, RATIO * time))

        x = extended(x, RATIO * lengths, FILTER_TAPS // 2 - 1, FILTER_TAPS // 2)
        x = x.reshape(batch * channels, 1, RATIO * time + FILTER_TAPS - 1)
        return F.conv1d(x, self.filter.to(x.dtype), stride=RATIO).reshape(batch, channels, time)


class OptionalVectorQuantizer(VectorQuantizer):
    """A stage of a residual quantizer that adds nothing where its codes are `LEFT_OUT`.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: VectorQuantizer) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(stage.__dict__)

    def decode(self, codes: Tensor) -> Tensor:
        """`VectorQuantizer.decode`."""
        return super().decode(codes.clamp(min=0)).masked_fill((codes == LEFT_OUT)[..., None], 0.0)


REPLACEMENTS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    Autocorrelation: MatrixAutocorrelation,
    KaldiFbank: MatrixFbank,
    ISTFTHead: MatrixISTFTHead,
    HarmonicHead: MatrixHarmonicHead,
    AntiAliasedActivation: TwoPhaseActivation,
    VectorQuantizer: OptionalVectorQuantizer,
    ConvEncoder: OnePassConvEncoder,
    LocalTransformer: WindowedTransformer,
}
