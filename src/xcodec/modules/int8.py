"""Linear maps in int8, on the CPU: a quarter of the weights' memory, and faster where the processor has VNNI.

A weight has one scale for each output, kept; an input has one for each step, found as it comes. So a step's result
depends on that step alone, and a batch changes no more than float32's last digit does, where that digit decides which
way a number rounds.
"""

from functools import cache

import torch
from torch import Tensor, nn

from xcodec.errors import InputError
from xcodec.modules.linear import Linear, PointwiseConv

__all__ = ["Int8Linear", "is_int8", "quantize_linear_maps"]

LARGEST = 127  # symmetric: -128 is left out
NARROW = 64  # maps with fewer inputs or outputs cost nothing, and the quantizer's are among them
ROWS = 512  # in one product: its intermediate results stay in the cache


class Int8Linear(nn.Module):
    """A linear map whose weight and input are rounded to int8; sums are exact, in int32.

    Args:
        weight: floating point, shape (out_features, in_features).
        bias: shape (out_features,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        rounded, scale = quantized(weight.detach())
        self.weight = nn.Parameter(rounded, requires_grad=False)
        self.scale = nn.Parameter(scale.squeeze(-1), requires_grad=False)  # (out_features,)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (..., in_features) to (..., out_features), of the dtype of `x`."""
        rows = x.reshape(-1, self.in_features)
        if torch.compiler.is_compiling():  # a graph of several products would serve only lengths of as many
            return self._mapped(rows).to(x.dtype).view(*x.shape[:-1], self.out_features)
        y = x.new_empty(len(rows), self.out_features)
        for some, into in zip(rows.split(ROWS), y.split(ROWS), strict=True):
            into.copy_(self._mapped(some))
        return y.view(*x.shape[:-1], self.out_features)

    def _mapped(self, rows: Tensor) -> Tensor:
        """(rows, in_features) -> float32 (rows, out_features)."""
        rounded, scale = quantized(rows)
        sums = (torch._int_mm(rounded, self.weight.T) * scale).mul_(self.scale)
        return sums if self.bias is None else sums.add_(self.bias)


def quantized(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row by its own scale: int8 of the shape of `rows`, and float32 scales (rows, 1)."""
    rows = rows.float()
    scale = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True).div_(LARGEST)
    scale.clamp_min_(torch.finfo(torch.float32).tiny)
    return (rows / scale).round_().to(torch.int8), scale


def quantize_linear_maps(model: nn.Module) -> None:
    """Put int8 maps in the place of a model's linear maps, all but narrow ones. It can no longer be trained or saved.

    Raises:
        InputError: where it is not on a CPU, or the processor's int8 products overflow.
    """
    maps = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, (Linear, PointwiseConv)) and min(child.weight.shape[:2]) >= NARROW
    ]
    if any(child.weight.device.type != "cpu" for _, _, child in maps):
        raise InputError("int8 is for the CPU; on a GPU give bfloat16 or float16")
    if not sums_are_exact():
        raise InputError("this processor's int8 products overflow (it lacks VNNI)", remedy="give float32 or bfloat16")
    while maps:  # each float weight goes before the next is rounded
        parent, name, child = maps.pop()
        setattr(parent, name, Int8Linear(child.weight.flatten(1), child.bias))


def is_int8(model: nn.Module) -> bool:
    """Tell whether a model has int8 maps."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


@cache
def sums_are_exact() -> bool:
    """Test whether products of the largest numbers add up: without VNNI they may be added in 16 bits and overflow."""
    largest = torch.full((32, 64), LARGEST, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest.T) == 64 * LARGEST**2).all())
