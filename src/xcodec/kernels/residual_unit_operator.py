"""The operator torch.ops.xcodec.residual_unit over the native kernel: what a residual unit of few channels computes.

Activation, dilated convolution of 7 taps, activation, pointwise convolution, and the sum with the input, without
gradients. Between its input and its output nothing leaves the cache.
"""

import ctypes

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import NARROW_MULTIPLE, call

__all__ = ["UNIT_TAPS", "residual_unit"]

UNIT_TAPS = 7
NUM_TAPS = 12  # of an activation's filter


@torch.library.custom_op("xcodec::residual_unit", mutates_args=(), device_types="cpu")
def residual_unit(
    x: Tensor,
    alpha1: Tensor,
    gain1: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    alpha2: Tensor,
    gain2: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    taps: list[float],
    dilation: int,
    lengths: Tensor | None,
) -> Tensor:
    """Compute x + conv2(act2(conv1(act1(x)))), as the layers by themselves do but for rounding.

    Args:
        x: float32 (batch, channels, time), on the CPU; channels are a multiple of 8.
        alpha1: angular frequency of the first activation, float32 (channels,); see `anti_aliased_snake`.
        gain1: height of its wave, likewise.
        weight1: of the convolution, float32 (channels, channels, 7).
        bias1: float32 (channels,).
        alpha2: of the second activation.
        gain2: likewise.
        weight2: of the pointwise convolution, float32 (channels, channels, 1).
        bias2: float32 (channels,).
        taps: the 12 taps of the activations' filters, summing to 1.
        dilation: steps from one tap of the convolution to the next; zeros around a clip keep its length.
        lengths: valid steps of each clip, integers (batch,); None where all are.

    Returns:
        The shape and dtype of `x`, contiguous; zeros past each clip's end.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    if x.ndim != 3 or x.dtype != torch.float32 or x.shape[1] % NARROW_MULTIPLE:
        raise InputError(
            f"expected float32 (batch, a multiple of {NARROW_MULTIPLE} channels, time), got {x.dtype} {tuple(x.shape)}",
            argument="x",
        )
    batch, channels, _ = x.shape
    vectors = {"alpha1": alpha1, "gain1": gain1, "bias1": bias1, "alpha2": alpha2, "gain2": gain2, "bias2": bias2}
    for name, vector in vectors.items():
        _check(name, vector, (channels,))
    _check("weight1", weight1, (channels, channels, UNIT_TAPS))
    _check("weight2", weight2, (channels, channels, 1))
    if len(taps) != NUM_TAPS:
        raise InputError(f"expected {NUM_TAPS} numbers, got {len(taps)}", argument="taps")
    if lengths is not None and (tuple(lengths.shape) != (batch,) or lengths.is_floating_point()):
        raise InputError(
            f"expected integers ({batch},), got {lengths.dtype} {tuple(lengths.shape)}", argument="lengths"
        )
    x = x.contiguous()
    y = torch.empty_like(x)
    alpha1, gain1, bias1, alpha2, gain2, bias2 = (vector.contiguous() for vector in vectors.values())
    # -> by input, tap and output
    weight1, weight2 = (weight.permute(1, 2, 0).contiguous() for weight in (weight1, weight2))
    filters = (ctypes.c_float * NUM_TAPS)(*taps)
    given = None if lengths is None else lengths.long().contiguous()
    unit = alpha1, gain1, weight1, bias1, alpha2, gain2, weight2, bias2
    call("xcodec_residual_unit", x, y, filters, *unit, given, *x.shape, dilation)
    return y


def _check(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.dtype != torch.float32 or tuple(value.shape) != shape:
        raise InputError(f"expected float32 {shape}, got {value.dtype} {tuple(value.shape)}", argument=name)


@residual_unit.register_fake
def _(x: Tensor, *_others: object) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)
