"""Convolutions from samples to steps: branches that see envelopes, then ConvNeXt units between strides."""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.modules.conv import MaskedConv1d, channels_last
from xcodec.modules.convnext import ConvNeXtUnit, GlobalResponseNorm
from xcodec.modules.lengths import zero_past_end
from xcodec.modules.time import WHOLE, Whole

__all__ = ["ConvEncoder", "PooledBranches", "Stage"]


class PooledBranches(nn.Module):
    """The first block: convolutions of the samples and, side by side, of smoother and smoother envelopes of them.

    Args:
        pool_sizes: samples over which each branch takes the envelope, odd; 1 reads the samples themselves.
        branch_channels: of each branch.
        output_channels: of the result.
    """

    def __init__(self, pool_sizes: Sequence[int], branch_channels: int, output_channels: int) -> None:
        super().__init__()
        channels = len(pool_sizes) * branch_channels
        self.pool_sizes = tuple(pool_sizes)
        self.convs = nn.ModuleList(MaskedConv1d(1, branch_channels, kernel_size=7, padding=3) for _ in pool_sizes)
        self.conv1 = MaskedConv1d(channels, 4 * channels, kernel_size=1)
        self.conv2 = MaskedConv1d(4 * channels + 1, output_channels, kernel_size=1)

    @property
    def reach(self) -> int:
        """How many samples to either side an output depends on: of two poolings, and of a convolution."""
        return 2 * (max(self.pool_sizes) // 2) + 3

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map (batch, 1, samples) to (batch, output_channels, samples); `lengths` counts valid samples."""
        branches = [
            conv(waveform if size == 1 else envelope(waveform, size, lengths), lengths)
            for conv, size in zip(self.convs, self.pool_sizes, strict=True)
        ]
        x = F.gelu(self.conv1(torch.cat(branches, 1)))
        return self.conv2(torch.cat([x, waveform], 1))  # pointwise: no lengths


def envelope(x: Tensor, size: int, lengths: Tensor | None) -> Tensor:
    """Take the largest magnitude around each step, and of these the mean around each; past the ends are zeros."""
    x = F.max_pool1d(zero_past_end(x, lengths).abs(), size, stride=1, padding=size // 2)
    return F.avg_pool1d(zero_past_end(x, lengths), size, stride=1, padding=size // 2)


class Stage(nn.Module):
    """Units at one rate, and a convolution to the next; or, in the last stage, to the width of the result."""

    def __init__(self, channels: int, num_units: int, conv: MaskedConv1d) -> None:
        super().__init__()
        self.units = nn.ModuleList(ConvNeXtUnit(channels) for _ in range(num_units))
        self.conv = conv

    @property
    def reach(self) -> int:
        """How many steps of its input to either side an output depends on."""
        return 3 * len(self.units) + int(self.conv.padding[0])


class ConvEncoder(nn.Module):
    """Samples to steps: the first block, and units between strided convolutions, each of which doubles the channels.

    Each unit's norm has a gain that the whole clip decides, and which is 1 unless next to nothing happens in it. So the
    clip is encoded, tile by tile if need be, as if they were 1, and again by the gains that were found as long as these
    are others: those of the first unit are true after one pass, those of the second after two at the latest.

    Args:
        pool_sizes: as for `PooledBranches`.
        branch_channels: likewise.
        base_channels: after the first block.
        strides: of the convolutions between units.
        depths: units before each of these, and after the last.
        output_size: width of the result.
    """

    def __init__(
        self,
        pool_sizes: Sequence[int],
        branch_channels: int,
        base_channels: int,
        strides: Sequence[int],
        depths: Sequence[int],
        output_size: int,
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.branches = PooledBranches(pool_sizes, branch_channels, base_channels)
        channels = [base_channels * 2**i for i in range(len(depths))]
        convs = [
            MaskedConv1d(width, 2 * width, kernel_size=stride, stride=stride)
            for width, stride in zip(channels, strides, strict=False)
        ]
        convs.append(MaskedConv1d(channels[-1], output_size, kernel_size=3, padding=1))
        self.stages = nn.ModuleList(Stage(*each) for each in zip(channels, depths, convs, strict=True))

    @property
    def num_units(self) -> int:
        """How many units there are."""
        return sum(len(cast(Stage, stage).units) for stage in self.stages)

    @property
    def halo(self) -> int:
        """How many steps' worth of samples to either side one depends on, beyond its own."""
        samples, rate = self.branches.reach, 1
        for stage, stride in zip(self.stages, (*self.strides, 1), strict=True):
            samples += cast(Stage, stage).reach * rate
            rate *= stride
        return -(-samples // rate)

    def forward(self, waveform: Tensor, time: Whole = WHOLE) -> Tensor:
        """Encode.

        Args:
            waveform: shape (batch, 1, samples), samples a multiple of the strides' product.
            time: of the samples; the clips' lengths are such multiples too.

        Returns:
            Shape (batch, output_size, steps); past a clip's end it means nothing.
        """
        batch, _, num_samples = waveform.shape
        down = math.prod(self.strides)
        num_steps = num_samples // down
        gains = waveform.new_ones(batch, self.num_units, 1, dtype=torch.float32)
        for _ in range(self.num_units + 1):  # the last of which changes nothing but where numbers are none
            encoded, energy = time.map(
                self._encoded,
                waveform,
                gains.expand(-1, -1, num_samples),  # cut as the samples are, though it is all the same
                width=down * 4 * self.branches.conv2.out_channels,
                reach=self.halo,
                dim=2,
                down=down,
                steps=num_steps,
                clips_apart=True,
                told=True,
            )
            lengths = None if time.lengths is None else time.lengths // down
            found = GlobalResponseNorm.gain(zero_past_end(energy, lengths).sum(2, keepdim=True, dtype=torch.float64))
            if torch.equal(found, gains):
                break
            gains = found
        return encoded

    def _encoded(self, waveform: Tensor, gains: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Encode a stretch by the gains of its clips' units, (batch, units, samples); and give what decides these.

        Returns:
            Shape (batch, output_size, steps), and each unit's sums of squares, (batch, units, steps).
        """
        num_steps = waveform.shape[2] // math.prod(self.strides)
        x = channels_last(self.branches(waveform, lengths))
        energies: list[Tensor] = []
        for i, stage in enumerate(self.stages):
            for unit in cast(Stage, stage).units:
                x, energy = unit(x, gains[:, len(energies), :1, None], lengths)
                energies.append(energy.unflatten(1, (num_steps, -1)).sum(2))
            x = cast(Stage, stage).conv(x, lengths)
            if lengths is not None and i < len(self.strides):
                lengths = lengths // self.strides[i]
        return x, torch.stack(energies, 1)
