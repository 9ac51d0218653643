"""Convolutions and linear maps in whole numbers over the native kernels: weights of int8, and of int16."""

import torch
import torch.nn.functional as F
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import DTYPES, call, serves

__all__ = ["DEEPEST", "INT8_BLOCK", "PANEL", "int8_conv", "int16_conv"]

PANEL = 16  # outputs whose weights lie together, as in whole_numbers.h
INT8_BLOCK = 128  # channels of an input of 8 bits that have a scale together, as in int8.cpp
DEEPEST = 256  # channels whose products with weights of int16 are added up in int32, as in int16.cpp
LEAST = 1e-30  # of the largest magnitude of a step, or its range: below it all is zero
BYTE = 255  # the largest input of 8 bits


def int8_conv(
    x: Tensor,
    weight: Tensor,
    sums: Tensor,
    scale: Tensor,
    bias: Tensor,
    outputs: int,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
) -> Tensor:
    """Convolve over time, with zeros around the input, each step of which is rounded to 8 bits.

    Every `INT8_BLOCK` channels of a step are put between their least and their greatest, in 255 parts. Products are
    exact, and so are sums over a tap and such a block.

    Args:
        x: float32 or bfloat16 (batch, time, channels), on the CPU.
        weight: int8 (panels, taps, fours, PANEL, 4): [p, t, c, n, i] is that of output PANEL p + n, tap t and channel
            4 c + i; zeros where there is no such output or channel.
        sums: of the weights of each block of channels, float32 (panels, taps, blocks, PANEL).
        scale: what a one in the weight stands for, float32 (panels * PANEL,).
        bias: float32 (panels * PANEL,).
        outputs: how many of them there are.
        stride: steps of the input from one of the output to the next.
        dilation: steps of the input from one tap to the next.
        padding: steps of zeros before the input and after it.

    Returns:
        The dtype of `x`, (batch, steps, outputs), contiguous; no steps where the input has fewer than the taps span.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    given = x, weight, sums, scale, bias, outputs, stride, dilation, padding
    return int8_conv_operator(*given) if _asks_torch(x) else _int8_conv(*given)


def int16_conv(
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
        x: as for `int8_conv`, and likewise what is not named here.
        weight: int16 (panels, taps, pairs, PANEL, 2): [p, t, c, n, i] is that of output PANEL p + n, tap t and channel
            2 c + i; zeros where there is no such output or channel.
        scale: what a one in the weight stands for, float32 (panels * PANEL,).
        bias: float32 (panels * PANEL,).
        outputs: how many of them there are.
        most: such that no sum passes the range of int32, and at most 32767.
        stride: steps of the input from one of the output to the next.
        dilation: steps of the input from one tap to the next.
        padding: steps of zeros before the input and after it.

    Returns:
        As `int8_conv`.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    given = x, weight, scale, bias, outputs, most, stride, dilation, padding
    return int16_conv_operator(*given) if _asks_torch(x) else _int16_conv(*given)


def _asks_torch(x: Tensor) -> bool:
    """Whether the registered operator is called, which is for graphs and says that it has no gradient.

    To call it takes a tenth of a millisecond.
    """
    return torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled())


def _int8_conv(
    x: Tensor,
    weight: Tensor,
    sums: Tensor,
    scale: Tensor,
    bias: Tensor,
    outputs: int,
    stride: int,
    dilation: int,
    padding: int,
) -> Tensor:
    """`int8_conv`."""
    _check(x, weight, torch.int8, 4, scale, bias, outputs)
    panels, taps = weight.shape[:2]
    if sums.dtype != torch.float32 or tuple(sums.shape) != (panels, taps, -(-x.shape[2] // INT8_BLOCK), PANEL):
        expected = f"float32 ({panels}, {taps}, {-(-x.shape[2] // INT8_BLOCK)}, {PANEL})"
        raise InputError(f"expected {expected}, got {sums.dtype} {tuple(sums.shape)}", argument="sums")
    x, weight, sums = x.contiguous(), weight.contiguous(), sums.contiguous()
    y = _out(x, taps, outputs, stride, dilation, padding)
    if y.numel() == 0:
        return y
    if not serves(x):
        return _int8_in_torch(x, weight, sums, scale, bias, y, (stride, dilation, padding))
    is_half, sizes = int(x.dtype == torch.bfloat16), (*x.shape, *y.shape[1:], taps, stride, dilation, padding)
    call("xcodec_int8_conv", is_half, x, weight, sums, scale.contiguous(), bias.contiguous(), y, *sizes)
    return y


def _int16_conv(
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
    """`int16_conv`."""
    _check(x, weight, torch.int16, 2, scale, bias, outputs)
    taps = weight.shape[1]
    x, weight = x.contiguous(), weight.contiguous()
    y = _out(x, taps, outputs, stride, dilation, padding)
    if y.numel() == 0:
        return y
    if not serves(x):
        return _int16_in_torch(x, weight, scale, bias, y, most, (stride, dilation, padding))
    is_half, sizes = int(x.dtype == torch.bfloat16), (*x.shape, *y.shape[1:], taps, stride, dilation, padding)
    call("xcodec_int16_conv", is_half, x, weight, scale.contiguous(), bias.contiguous(), y, *sizes, most)
    return y


def _out(x: Tensor, taps: int, outputs: int, stride: int, dilation: int, padding: int) -> Tensor:
    """Memory for what comes out of `x`."""
    steps = (x.shape[1] + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    return x.new_empty(x.shape[0], max(0, steps), outputs)


def _check(
    x: Tensor, weight: Tensor, dtype: torch.dtype, together: int, scale: Tensor, bias: Tensor, outputs: int
) -> None:
    """Check what pointers cannot; so many channels of a weight lie together."""
    if x.ndim != 3 or x.dtype not in DTYPES:
        raise InputError(
            f"expected float32 or bfloat16 (batch, time, channels), got {x.dtype} {tuple(x.shape)}", argument="x"
        )
    panels, rows = -(-outputs // PANEL), -(-x.shape[2] // together)
    fits = weight.ndim == 5 and tuple(weight.shape) == (panels, weight.shape[1], rows, PANEL, together)
    if weight.dtype != dtype or not fits:
        name = str(dtype).removeprefix("torch.")
        raise InputError(
            f"expected {name} ({panels}, taps, {rows}, {PANEL}, {together}), got {weight.dtype} {tuple(weight.shape)}",
            argument="weight",
        )
    for each, value in (("scale", scale), ("bias", bias)):
        if value.dtype != torch.float32 or tuple(value.shape) != (panels * PANEL,):
            raise InputError(
                f"expected float32 ({panels * PANEL},), got {value.dtype} {tuple(value.shape)}", argument=each
            )


def _plain(weight: Tensor) -> Tensor:
    """Put a weight into the order of a matrix for each tap: float64 (taps, channels, outputs)."""
    return weight.permute(1, 2, 4, 0, 3).reshape(weight.shape[1], weight.shape[2] * weight.shape[4], -1).double()


def _int8_in_torch(
    x: Tensor, weight: Tensor, sums: Tensor, scale: Tensor, bias: Tensor, y: Tensor, geometry: tuple[int, int, int]
) -> Tensor:
    """Do the same by torch's products of float64, which are exact too but slow; scales are applied without fusion."""
    stride, dilation, padding = geometry
    around, plain = (padding, padding), _plain(weight)
    total = x.new_zeros(*y.shape[:2], plain.shape[2], dtype=torch.float32)
    blocks = []
    for block in x.float().split(INT8_BLOCK, 2):
        lowest = block.amin(2, keepdim=True)
        extent = (block.amax(2, keepdim=True) - lowest).clamp_min(LEAST)
        rounded = ((block - lowest) * torch.full_like(extent, BYTE).div_(extent)).round()
        blocks.append([F.pad(each, (0, 0, *around)) for each in (rounded.double(), extent / BYTE, lowest)])
    for tap, matrix in enumerate(plain):
        seen = slice(tap * dilation, tap * dilation + (y.shape[1] - 1) * stride + 1, stride)
        for b, (each, block) in enumerate(zip(matrix.split(INT8_BLOCK), blocks, strict=True)):
            rounded, scales, lowest = (part[:, seen] for part in block)
            total += scales * (rounded @ each[: rounded.shape[2]]).float()
            total += lowest * sums[:, tap, b].flatten()
    return y.copy_((total * scale + bias)[..., : y.shape[2]])


def _int16_in_torch(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, y: Tensor, most: int, geometry: tuple[int, int, int]
) -> Tensor:
    """`_int8_in_torch`, of weights of int16."""
    stride, dilation, padding = geometry
    around, plain = (padding, padding), _plain(weight)
    largest = torch.linalg.vector_norm(x.float(), torch.inf, -1, keepdim=True).clamp_min(LEAST)
    rounded = (x.float() * torch.full_like(largest, most).div_(largest)).round()
    rounded = F.pad(rounded, (0, plain.shape[1] - x.shape[2], *around)).double()
    steps = F.pad(largest / most, (0, 0, *around))
    total = x.new_zeros(*y.shape[:2], plain.shape[2], dtype=torch.float32)
    for tap, matrix in enumerate(plain):
        seen = slice(tap * dilation, tap * dilation + (y.shape[1] - 1) * stride + 1, stride)
        for block, each in zip(rounded[:, seen].split(DEEPEST, 2), matrix.split(DEEPEST), strict=True):
            total += steps[:, seen] * (block @ each).float()
    return y.copy_((total * scale + bias)[..., : y.shape[2]])


_GEOMETRY = "int stride, int dilation, int padding) -> Tensor"
int8_conv_operator = torch.library.custom_op(
    "xcodec::int8_conv",
    _int8_conv,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weight, Tensor sums, Tensor scale, Tensor bias, int outputs, {_GEOMETRY}",
)
int16_conv_operator = torch.library.custom_op(
    "xcodec::int16_conv",
    _int16_conv,
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weight, Tensor scale, Tensor bias, int outputs, int most, {_GEOMETRY}",
)


@int8_conv_operator.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    sums: Tensor,  # noqa: ARG001
    scale: Tensor,  # noqa: ARG001
    bias: Tensor,  # noqa: ARG001
    outputs: int,
    stride: int,
    dilation: int,
    padding: int,
) -> Tensor:
    return _out(x, weight.shape[1], outputs, stride, dilation, padding)


@int16_conv_operator.register_fake
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
    return _out(x, weight.shape[1], outputs, stride, dilation, padding)
