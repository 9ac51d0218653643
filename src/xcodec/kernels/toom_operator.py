"""The operator torch.ops.xcodec.toom_conv over the native kernel: convolutions of 7 taps in fewer products."""

from fractions import Fraction

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import call

__all__ = ["TOOM_TAPS", "toom_conv", "toom_weight"]

TOOM_TAPS = 7
PRODUCTS, PANEL = 20, 16  # for a tile of 8 steps; outputs whose weights lie together: as in toom.cpp
POINTS = [Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2), Fraction(-1, 2)]  # and infinity, likewise


def toom_weight(weight: Tensor) -> Tensor:
    """Compute what the kernel reads in place of a convolution's weight, in float64 until it is rounded once.

    Args:
        weight: (outputs, channels, TOOM_TAPS).

    Returns:
        float32 (PRODUCTS, panels, channels, PANEL), zeros where there is no such output.
    """
    outputs = weight.shape[0]
    even, odd = weight[..., ::2].double(), weight[..., 1::2].double()
    both = even.clone()
    both[..., :3] += odd
    values = _values()
    products = torch.cat([even @ values, both @ values, odd @ values[:3, :-1]], -1).float()
    products = torch.nn.functional.pad(products.permute(2, 1, 0), (0, -outputs % PANEL))
    return products.unflatten(2, (-1, PANEL)).transpose(1, 2).contiguous()


def _values() -> Tensor:
    """Return what four taps are multiplied by for their polynomial's value at each point, (4, points), float64.

    A value is divided by the product of the factors that make up the kernel's combination of steps for that point.
    """
    rows = []
    for point in POINTS:
        others = Fraction(1)
        for other in POINTS:
            if other != point:
                others *= point - other
        if point.denominator == 1:
            others *= 2  # the factor of -1/2 is (2x + 1)
        rows.append([float(point**power / others) for power in range(4)])
    rows.append([0.0, 0.0, 0.0, 0.5])
    return torch.tensor(rows, dtype=torch.float64).T


def toom_conv(x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int, dilation: int, padding: int) -> Tensor:
    """Convolve over time, with zeros around the input, without gradients; the error is that of float32's sums.

    Args:
        x: float32 (batch, time, channels), on the CPU.
        weight: as `toom_weight` gives it.
        bias: float32 (outputs,), or None.
        outputs: how many of them there are.
        dilation: steps of the input from one tap to the next.
        padding: steps of zeros before the input and after it.

    Returns:
        float32 (batch, steps, outputs), contiguous; no steps where the input has fewer than the taps span.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    return toom_conv_operator(x, weight, bias, outputs, dilation, padding)


@torch.library.custom_op("xcodec::toom_conv", mutates_args=(), device_types="cpu")
def toom_conv_operator(
    x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int, dilation: int, padding: int
) -> Tensor:
    """`toom_conv`, registered."""
    _check(x, weight, bias, outputs)
    x, weight = x.contiguous(), weight.contiguous()
    batch, time, channels = x.shape
    y = x.new_empty(batch, _steps(time, dilation, padding), outputs)
    if y.numel() == 0:
        return y
    panels = weight.shape[1]
    padded = x.new_zeros(panels * PANEL)
    if bias is not None:
        padded[:outputs] = bias
    call("xcodec_toom_conv", x, weight, padded, y, batch, time, channels, y.shape[1], outputs, dilation, padding)
    return y


def _steps(time: int, dilation: int, padding: int) -> int:
    """How many steps come out."""
    return max(0, time + 2 * padding - (TOOM_TAPS - 1) * dilation)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int) -> None:
    """Check what pointers cannot."""
    if x.ndim != 3 or x.dtype != torch.float32:
        raise InputError(f"expected float32 (batch, time, channels), got {x.dtype} {tuple(x.shape)}", argument="x")
    shape = PRODUCTS, -(-outputs // PANEL), x.shape[2], PANEL
    if weight.dtype != torch.float32 or tuple(weight.shape) != shape:
        raise InputError(f"expected float32 {shape}, got {weight.dtype} {tuple(weight.shape)}", argument="weight")
    if bias is not None and (bias.dtype != torch.float32 or tuple(bias.shape) != (outputs,)):
        raise InputError(f"expected float32 ({outputs},), got {bias.dtype} {tuple(bias.shape)}", argument="bias")


@toom_conv_operator.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int, dilation: int, padding: int) -> Tensor:  # noqa: ARG001
    return x.new_empty(x.shape[0], _steps(x.shape[1], dilation, padding), outputs)
