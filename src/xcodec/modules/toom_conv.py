"""Convolutions of 7 taps over many steps, which packed weights give in fewer products."""

import torch
from torch import Tensor

from xcodec import kernels
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.packing import NARROW

__all__ = ["ToomConv1d"]

FEWEST_CHANNELS = 48  # below which making the combinations takes longer than what they save


class ToomConv1d(MaskedConv1d):
    """A `MaskedConv1d` that sees many steps: once packed, the native kernel takes 20 products in place of 56.

    Its combinations of the weight are 20/7 as large as the weight, which stays beside them as it is. So short signals,
    whose cost is to read weights, are better served by `MaskedConv1d`.

    Attributes:
        toom_weight: what the kernel reads, where it serves and the weight is packed.
    """

    toom_weight: Tensor | None = None

    def pack(self) -> None:
        """`Packable.pack`."""
        self.narrow = FEWEST_CHANNELS if self._is_served else NARROW
        super().pack()

    def unpack(self) -> None:
        """`Packable.unpack`."""
        super().unpack()
        self.toom_weight = None

    def packed_conv(self, x: Tensor) -> Tensor:
        """Convolve `x`, which it takes, by the packed weight."""
        if self.toom_weight is None:
            return super().packed_conv(x)
        if not kernels.serves(x):  # since it was packed
            return self.plain_conv(x)
        dilation, padding = self.dilation[0], int(self.padding[0])
        return kernels.toom_conv(x.mT, self.toom_weight, self.bias, self.out_channels, dilation, padding).mT

    def packed(self) -> Tensor:
        """Return the plain weight where the kernel serves, whose own is `toom_weight`; else that in oneDNN's order."""
        if not self._is_served:
            return super().packed()
        self.toom_weight = kernels.toom_weight(self.weight)
        return self.weight.detach()

    def unpacked(self) -> Tensor:
        """Undo `packed`."""
        return super().unpacked() if self.toom_weight is None else self.weight.detach().clone()

    @property
    def _is_served(self) -> bool:
        """Whether the kernel takes such a convolution."""
        weight = self._parameters.get("weight")
        is_plain = self.stride == (1,) and self.groups == 1 and self.padding_mode == "zeros"
        is_taken = weight is not None and weight.dtype == torch.float32 and kernels.serves(weight)
        return is_taken and is_plain and self.kernel_size == (kernels.TOOM_TAPS,)
