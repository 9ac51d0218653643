"""The operator torch.ops.xcodec.snake, with its gradients, over the native kernel: Snake, and Snake anti-aliased.

x + gain * sin^2(alpha x), as it is or between an upsampling and a downsampling by 2. Only one tensor is read and one
written: the upsampled signal stays in the cache, and the backward pass computes it again from the input.

On GPUs torch.ops.xcodec.snake_planar is the second of these, without gradients, over the kernel in snake_triton.py. It
is an operator of its own because it takes and leaves time where it lies, as the convolutions there do.
"""

import ctypes
import functools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.kernels.library import DTYPES, call, is_torch_asked_for

__all__ = ["anti_aliased_snake", "anti_aliased_snake_planar", "serves_planar", "snake"]

logger = logging.getLogger(__name__)

NUM_TAPS = 12
PLANAR_DTYPES = (*DTYPES, torch.float16)


def _contiguous(x: Tensor, alpha: Tensor, gain: Tensor, lengths: Tensor | None) -> tuple[Tensor, ...]:
    """Check what pointers cannot; give x, alpha and gain, and lengths if any, in the layout the kernel reads."""
    if x.ndim != 3 or x.dtype not in DTYPES:
        raise InputError(
            f"expected float32 or bfloat16 (batch, time, channels), got {x.dtype} {tuple(x.shape)}", argument="x"
        )
    return x.contiguous(), *_parameters(x, x.shape[2], alpha, gain, lengths)


def _parameters(x: Tensor, channels: int, alpha: Tensor, gain: Tensor, lengths: Tensor | None) -> tuple[Tensor, ...]:
    for name, value in (("alpha", alpha), ("gain", gain)):
        if tuple(value.shape) != (channels,) or value.dtype != torch.float32:
            raise InputError(
                f"expected float32 ({channels},) for x of shape {tuple(x.shape)}, got {value.dtype} "
                f"{tuple(value.shape)}",
                argument=name,
            )
    if lengths is None:
        return alpha.contiguous(), gain.contiguous()
    if tuple(lengths.shape) != (x.shape[0],) or lengths.is_floating_point():
        raise InputError(
            f"expected integers ({x.shape[0]},) for x of shape {tuple(x.shape)}, got {lengths.dtype} "
            f"{tuple(lengths.shape)}",
            argument="lengths",
        )
    return alpha.contiguous(), gain.contiguous(), lengths.long().contiguous()


def _shared(x: Tensor, alpha: Tensor, gain: Tensor, taps: Sequence[float], lengths: Tensor | None) -> tuple[Any, ...]:
    """Return the arguments that both passes end with."""
    if len(taps) not in (0, NUM_TAPS):
        raise InputError(f"expected {NUM_TAPS} numbers, or none, got {len(taps)}", argument="taps")
    return alpha, gain, (ctypes.c_float * NUM_TAPS)(*taps) if taps else None, lengths, *x.shape


def snake(x: Tensor, alpha: Tensor, gain: Tensor, lengths: Tensor | None) -> Tensor:
    """Apply x + gain * sin^2(alpha x); arguments, result and errors are those of `anti_aliased_snake`."""
    return snake_operator(x, alpha, gain, [], lengths)


def anti_aliased_snake(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> Tensor:
    """Upsample by 2, apply u + gain * sin^2(alpha u), downsample by 2; both filters see their input's edges repeated.

    Args:
        x: float32 or bfloat16 (batch, time, channels), on the CPU; computed in float32 either way.
        alpha: angular frequency of each channel, float32 (channels,).
        gain: height of each channel's wave, float32 (channels,).
        taps: the 12 taps of both filters, summing to 1.
        lengths: valid steps of each clip, integers (batch,); None where all are. A clip's edge is its own end.

    Returns:
        The shape and dtype of `x`, contiguous; zeros past each clip's end.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    return snake_operator(x, alpha, gain, taps, lengths)


@torch.library.custom_op(
    "xcodec::snake",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor alpha, Tensor gain, float[] taps, Tensor? lengths) -> Tensor",
)
def snake_operator(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> Tensor:
    """`anti_aliased_snake`, or `snake` where there are no taps."""
    x, alpha, gain, *rest = _contiguous(x, alpha, gain, lengths)
    y = torch.empty_like(x)
    shared = _shared(x, alpha, gain, taps, rest[0] if rest else None)
    call("xcodec_snake_forward", int(x.dtype == torch.bfloat16), x, y, *shared)
    return y


@torch.library.custom_op(
    "xcodec::snake_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor grad, Tensor alpha, Tensor gain, float[] taps, Tensor? lengths)"
    " -> (Tensor, Tensor, Tensor)",
)
def snake_backward(
    x: Tensor, grad: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `x`, `alpha` and `gain`, given the output's, `grad`, of the shape and dtype of `x`."""
    if grad.shape != x.shape or grad.dtype != x.dtype:
        raise InputError(
            f"expected {x.dtype} {tuple(x.shape)} like x, got {grad.dtype} {tuple(grad.shape)}", argument="grad"
        )
    x, alpha, gain, *rest = _contiguous(x, alpha, gain, lengths)
    dx, d_alpha, d_gain = torch.empty_like(x), torch.empty_like(alpha), torch.empty_like(gain)
    shared = _shared(x, alpha, gain, taps, rest[0] if rest else None)
    is_bfloat16 = int(x.dtype == torch.bfloat16)
    call("xcodec_snake_backward", is_bfloat16, x, grad.contiguous(), dx, d_alpha, d_gain, *shared)
    return dx, d_alpha, d_gain


@snake_operator.register_fake
def _(x: Tensor, *_parameters: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@snake_backward.register_fake
def _(x: Tensor, _grad: Tensor, alpha: Tensor, gain: Tensor, *_others: Any) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(each, memory_format=torch.contiguous_format) for each in (x, alpha, gain))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 torch passes it by name
    x, alpha, gain, ctx.taps, lengths = inputs
    ctx.save_for_backward(x, alpha, gain, lengths)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, alpha, gain, lengths = ctx.saved_tensors
    return *snake_backward(x, grad, alpha, gain, ctx.taps, lengths), None, None


snake_operator.register_autograd(_differentiate, setup_context=_keep)


# On GPUs


def serves_planar(x: Tensor, *parameters: Tensor) -> bool:
    """Tell whether the Triton kernel takes `x`: on a GPU, of a dtype it knows, where none of these needs a gradient."""
    if x.device.type != "cuda" or x.dtype not in PLANAR_DTYPES or is_torch_asked_for():
        return False
    if torch.is_grad_enabled() and any(each.requires_grad for each in (x, *parameters)):
        return False
    # A graph being compiled for a GPU is compiled by Triton; what follows cannot be traced.
    return torch.compiler.is_compiling() or _triton_runs()


@functools.cache
def _triton_runs() -> bool:
    try:
        from xcodec.kernels.snake_triton import compile_for_this_gpu
    except ImportError:  # which torch brings along where there is one
        return False
    try:
        compile_for_this_gpu()
    except Exception as error:  # whatever its drivers, its compilers and the system's C compiler may raise
        logger.warning(f"Triton cannot compile here, so torch's operators serve: {type(error).__name__}: {error}")
        return False
    return True


def anti_aliased_snake_planar(
    x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None
) -> Tensor:
    """Do what `anti_aliased_snake` does, on a GPU and without gradients.

    Args:
        x: float32, bfloat16 or float16 (batch, channels, time); computed in float32.
        alpha: as for `anti_aliased_snake`, like all that follows.
        gain: likewise.
        taps: likewise.
        lengths: likewise.

    Returns:
        The shape, dtype and layout of `x`; zeros past each clip's end.

    Raises:
        InputError: where a shape or dtype does not fit.
    """
    return planar_operator(x, alpha, gain, taps, lengths)


@torch.library.custom_op(
    "xcodec::snake_planar",
    mutates_args=(),
    device_types="cuda",
    schema="(Tensor x, Tensor alpha, Tensor gain, float[] taps, Tensor? lengths) -> Tensor",
)
def planar_operator(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> Tensor:
    """`anti_aliased_snake_planar`."""
    from xcodec.kernels import snake_triton

    if x.ndim != 3 or x.dtype not in PLANAR_DTYPES:
        raise InputError(
            f"expected float32, bfloat16 or float16 (batch, channels, time), got {x.dtype} {tuple(x.shape)}",
            argument="x",
        )
    if len(taps) != NUM_TAPS:
        raise InputError(f"expected {NUM_TAPS} numbers, got {len(taps)}", argument="taps")
    alpha, gain, *rest = _parameters(x, x.shape[1], alpha, gain, lengths)
    return snake_triton.anti_aliased_snake(x, alpha, gain, taps, rest[0] if rest else None)


@planar_operator.register_fake
def _(x: Tensor, *_parameters: Any) -> Tensor:
    return torch.empty_like(x)
