"""The operator torch.ops.xcodec.integer_conv over the native kernel: convolutions and linear maps in whole numbers."""

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import DTYPES, call, serves

__all__ = ["DEEPEST", "PANEL", "integer_conv"]

PANEL = 16  # outputs whose weights lie together, as in integer.cpp
DEEPEST = 256  # channels whose products are added up in int32, likewise
LEAST = 1e-30  # of the largest magnitude of a step: below it all is zero


def integer_conv(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    outputs: int,
    most: int,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
) -> Tensor:
    """Convolve over time, with zeros around the input, each step of which is rounded by a scale of its own.

    A step becomes whole numbers from -most to most. Products are exact; sums are, over a tap and `DEEPEST` channels.

    Args:
        x: float32 or bfloat16 (batch, time, channels), on the CPU.
        weight: int8 or int16 (panels, taps, pairs, PANEL, 2): [p, t, c, n, i] is that of output PANEL p + n, tap t and
            channel 2 c + i; zeros where there is no such output or channel.
        scale: what a one in the weight stands for, float32 (panels * PANEL,).
        bias: float32 (panels * PANEL,).
        outputs: how many of them there are.
        most: such that no sum passes the range of int32, and at most 32767.
        stride: steps of the input from one of the output to the next.
        dilation: steps of the input from one tap to the next.
        padding: steps of zeros before the input and after it.

    Returns:
        The dtype of `x`, (batch, steps, outputs), contiguous; no steps where the input has fewer than the taps span.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    # The operator is for graphs, and says that it has no gradient; to call it takes a tenth of a millisecond.
    if torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled()):
        return integer_conv_operator(x, weight, scale, bias, outputs, most, stride, dilation, padding)
    return _integer_conv(x, weight, scale, bias, outputs, most, stride, dilation, padding)


def _steps(time: int, taps: int, stride: int, dilation: int, padding: int) -> int:
    return max(0, (time + 2 * padding - dilation * (taps - 1) - 1) // stride + 1)


def _integer_conv(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    outputs: int,
    most: int,
    stride: int,
    dilation: int,
    padding: int,
) -> Tensor:
    """`integer_conv`."""
    _check(x, weight, scale, bias, outputs)
    x, weight = x.contiguous(), weight.contiguous()
    batch, time, channels = x.shape
    taps = weight.shape[1]
    steps = _steps(time, taps, stride, dilation, padding)
    y = x.new_empty(batch, steps, outputs)
    if y.numel() == 0:
        return y
    if not serves(x):
        return _in_torch(x, weight, scale, bias, y, most, (stride, dilation, padding))
    kinds = int(x.dtype == torch.bfloat16), int(weight.dtype == torch.int16)
    sizes = batch, time, channels, steps, outputs, taps, stride, dilation, padding, most
    call("xcodec_integer_conv", *kinds, x, weight, scale.contiguous(), bias.contiguous(), y, *sizes)
    return y


def _check(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, outputs: int) -> None:
    """Check what pointers cannot."""
    if x.ndim != 3 or x.dtype not in DTYPES:
        raise InputError(
            f"expected float32 or bfloat16 (batch, time, channels), got {x.dtype} {tuple(x.shape)}", argument="x"
        )
    panels, pairs = -(-outputs // PANEL), -(-x.shape[2] // 2)
    fits = weight.ndim == 5 and tuple(weight.shape) == (panels, weight.shape[1], pairs, PANEL, 2)
    if weight.dtype not in (torch.int8, torch.int16) or not fits:
        raise InputError(
            f"expected int8 or int16 ({panels}, taps, {pairs}, {PANEL}, 2), got {weight.dtype} {tuple(weight.shape)}",
            argument="weight",
        )
    for name, value in (("scale", scale), ("bias", bias)):
        if value.dtype != torch.float32 or tuple(value.shape) != (panels * PANEL,):
            raise InputError(
                f"expected float32 ({panels * PANEL},), got {value.dtype} {tuple(value.shape)}", argument=name
            )


def _in_torch(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, y: Tensor, most: int, geometry: tuple[int, int, int]
) -> Tensor:
    """Do the same by torch's products of float64, which are exact too but slow; scales are applied without fusion."""
    stride, dilation, padding = geometry
    largest = torch.linalg.vector_norm(x.float(), torch.inf, -1, keepdim=True).clamp_min(LEAST)
    rounded = (x.float() * torch.full_like(largest, most).div_(largest)).round()
    rounded = torch.nn.functional.pad(rounded, (0, 2 * weight.shape[2] - x.shape[2], padding, padding)).double()
    steps = torch.nn.functional.pad(largest / most, (0, 0, padding, padding))
    # (panels, taps, pairs, PANEL, 2) -> (taps, channels, outputs)
    plain = weight.permute(1, 2, 4, 0, 3).reshape(weight.shape[1], rounded.shape[2], -1).double()
    sums = x.new_zeros(*y.shape[:2], plain.shape[2], dtype=torch.float32)
    for tap, each in enumerate(plain):
        seen = slice(tap * dilation, tap * dilation + (y.shape[1] - 1) * stride + 1, stride)
        for first in range(0, len(each), DEEPEST):
            block = slice(first, first + DEEPEST)
            sums += steps[:, seen] * (rounded[:, seen, block] @ each[block]).float()
    return y.copy_((sums * scale + bias)[..., : y.shape[2]])


integer_conv_operator = torch.library.custom_op(
    "xcodec::integer_conv",
    _integer_conv,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor weight, Tensor scale, Tensor bias, int outputs, int most, int stride, int dilation,"
    " int padding) -> Tensor",
)


@integer_conv_operator.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,  # noqa: ARG001
    bias: Tensor,  # noqa: ARG001
    outputs: int,
    most: int,  # noqa: ARG001
    stride: int,
    dilation: int,
    padding: int,
) -> Tensor:
    return x.new_empty(x.shape[0], _steps(x.shape[1], weight.shape[1], stride, dilation, padding), outputs)
