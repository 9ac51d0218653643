"""What the tests of single blocks share: clips of mixed lengths, and when two signals are the same."""

import torch

from xcodec.modules.lengths import valid_steps

LENGTHS = torch.tensor([1, 7, 20, 33])


def clips_of_mixed_lengths(channels: int) -> torch.Tensor:
    """(batch, channels, time) with loud garbage past each clip's end, which must not matter."""
    torch.manual_seed(0)
    x = torch.randn(len(LENGTHS), channels, int(LENGTHS.max()))
    return torch.where(valid_steps(LENGTHS, x.shape[-1])[:, None], x, 100.0)


def same(ours: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal up to the rounding of float32, relative to the loudest value."""
    return bool((ours - expected).abs().max() <= 1e-5 * expected.abs().max())
