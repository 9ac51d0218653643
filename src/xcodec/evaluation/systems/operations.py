"""How many multiplications and additions a model takes, counted by torch's counter while it runs."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import xcodec.kernels.attention_operator  # noqa: F401 - registers the operator
from xcodec.kernels import TOOM_TAPS
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.packing import HAS_ONEDNN

__all__ = ["SECONDS", "macs_of"]

SECONDS = 4  # of audio that are counted; attention takes more a second where a recording is longer

Shape = Sequence[int]


def macs_of(work: Callable[[], object], model: torch.nn.Module) -> float:
    """Count the multiplications, each with its addition, in the matrix products, convolutions and attention of a run.

    Activations, norms and Fourier transforms are not counted.

    Args:
        work: what runs the model.
        model: the model.
    """
    # Under inference mode the counter fails on weights that ask for gradients and are a module's input, as those are
    # that a parametrization norms.
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    counter = FlopCounterMode(display=False, custom_mapping=OPERATORS)
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with ExitStack() as stack:
            for module in model.modules():
                if isinstance(module, MaskedConv1d):  # what it computes of zeros is this machine's, not the codec's
                    stack.enter_context(module.lengthening_nothing())
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # in a compiled graph it would see nothing
            stack.enter_context(counter)
            work()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    return counter.get_total_flops() / 2


def linear_flops(x: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Count those of a linear map: 2 for each output and each of its inputs."""
    return 2 * size(out_shape) * x[-1]


def conv_flops(_: Shape, weight: Shape, *__: Any, out_shape: Shape) -> int:
    """Count those of a convolution whose weight is (out_channels, in_channels of a group, height, width)."""
    return 2 * size(out_shape) * size(weight[1:])


def toom_flops(x: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """Count those of a convolution of `TOOM_TAPS` taps: the codec's, not the fewer that the kernel takes for them."""
    return 2 * size(out_shape) * x[-1] * TOOM_TAPS


def attention_flops(q: Shape, k: Shape, *_: Any, **__: Any) -> int:
    """Count those of attention of (batch, queries, heads, head_dim): scores, and the sum of values by them."""
    return 4 * size(q) * k[1]


def size(shape: Shape) -> int:
    """Multiply the lengths of a shape."""
    return torch.Size(shape).numel()


OPERATORS: dict[Any, Callable[..., int]] = {
    torch.ops.xcodec.attention: attention_flops,
    torch.ops.xcodec.toom_conv: toom_flops,
}
if HAS_ONEDNN:
    OPERATORS |= {
        torch.ops.mkldnn._linear_pointwise: linear_flops,
        torch.ops.mkldnn._convolution_pointwise: conv_flops,
    }
"""How the operators are counted that torch's counter does not know."""
