"""Convolutions of 7 taps by the native kernel's fewer products, in every variant that this processor runs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernel_builds import NATIVE_HERE, native
from xcodec import InputError, kernels
from xcodec.evaluation.systems.operations import macs_of
from xcodec.modules.conv import MaskedConv1d, channels_last
from xcodec.modules.packing import HAS_ONEDNN, IS_X86, pack_weights
from xcodec.modules.toom_conv import ToomConv1d

needs_native = pytest.mark.skipif(not NATIVE_HERE, reason="the kernel was not compiled")
needs_packing = pytest.mark.skipif(not (HAS_ONEDNN and IS_X86 and NATIVE_HERE), reason="nothing is packed for it here")
# Steps below a tile and around whole ones, channels and outputs that fill no vector and more than one block, phases of
# a dilation that end differently, and no padding.
SIZES = [
    (3, 5, 1, 1, 3),
    (16, 16, 8, 1, 3),
    (17, 33, 9, 1, 3),
    (70, 50, 101, 3, 9),
    (64, 130, 72, 9, 27),
    (130, 48, 400, 9, 27),
    (48, 48, 900, 1, 3),
    (20, 16, 40, 2, 0),
]


def layer(inputs: int, outputs: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """An input, a weight and a bias."""
    torch.manual_seed(steps)
    return torch.randn(2, steps, inputs), torch.randn(outputs, inputs, 7), torch.randn(outputs)


@native
@pytest.mark.parametrize(("inputs", "outputs", "steps", "dilation", "padding"), SIZES)
def test_it_is_a_convolution_as_exact_as_float32_s_sums(variant, inputs, outputs, steps, dilation, padding):
    x, weight, bias = layer(inputs, outputs, steps)
    exact = F.conv1d(x.mT.double(), weight.double(), bias.double(), 1, padding, dilation).mT
    with kernels.use(variant):
        y = kernels.toom_conv(x, kernels.toom_weight(weight), bias, outputs, dilation, padding)
    assert y.shape == exact.shape
    assert (y - exact).square().mean().sqrt() < 1.5e-6 * exact.square().mean().sqrt()


@needs_native
def test_a_clip_gets_bit_for_bit_what_it_gets_alone_before_zeros_and_on_any_number_of_threads():
    x, weight, bias = layer(64, 64, 1500)
    x[1, 700:] = 0
    given = kernels.toom_weight(weight), bias, 64, 3, 9
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = kernels.toom_conv(x, *given)
        torch.set_num_threads(2)
        assert torch.equal(kernels.toom_conv(x, *given), together)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(kernels.toom_conv(x[1:, :700], *given)[0], together[1, :700])


@needs_native
def test_there_are_no_steps_where_the_taps_span_more_than_the_input():
    x, weight, _ = layer(4, 4, 5)
    assert kernels.toom_conv(x, kernels.toom_weight(weight), None, 4, 1, 0).shape == (2, 0, 4)


@needs_native
def test_what_the_operator_cannot_take_is_an_error_that_says_why():
    x, weight, bias = layer(4, 4, 20)
    given = kernels.toom_weight(weight)
    with pytest.raises(InputError, match="x: expected float32"):
        kernels.toom_conv(x.double(), given, bias, 4, 1, 3)
    with pytest.raises(InputError, match=r"weight: expected float32 \(20, 1, 4, 16\)"):
        kernels.toom_conv(x, weight, bias, 4, 1, 3)
    with pytest.raises(InputError, match=r"bias: expected float32 \(4,\)"):
        kernels.toom_conv(x, given, bias[:3], 4, 1, 3)


@needs_native
def test_it_is_a_well_behaved_torch_operator():
    x, weight, bias = layer(5, 6, 20)
    torch.library.opcheck(torch.ops.xcodec.toom_conv.default, (x, kernels.toom_weight(weight), bias, 6, 1, 3))


@needs_packing
def test_a_packed_layer_takes_it_and_torch_where_that_is_asked_for():
    conv = ToomConv1d(48, 64, 7, padding=27, dilation=9)
    x = channels_last(torch.randn(2, 48, 200))
    lengths = torch.tensor([200, 150])
    with torch.inference_mode():
        plain = conv(x, lengths)
        pack_weights(conv)
        assert conv.toom_weight is not None
        packed = conv(x, lengths)
        torch.testing.assert_close(packed, plain, rtol=0, atol=1e-5)
        assert packed.stride() == plain.stride()
        with kernels.use(kernels.TORCH):
            torch.testing.assert_close(conv(x, lengths), plain, rtol=0, atol=1e-5)
    assert torch.equal(conv.state_dict()["weight"], conv.weight)
    conv.train()
    assert conv.toom_weight is None
    assert conv.weight.requires_grad


@needs_packing
@pytest.mark.parametrize("change", [{"kernel_size": 5}, {"stride": 2}, {"groups": 2}, {"in_channels": 32}], ids=str)
def test_other_convolutions_are_left_to_torch(change):
    conv = ToomConv1d(**{"in_channels": 64, "out_channels": 64, "kernel_size": 7, **change})
    pack_weights(conv)
    assert conv.toom_weight is None


@needs_packing
def test_packing_changes_none_of_the_operations_that_a_codec_is_said_to_take():
    conv, x = ToomConv1d(64, 96, 7, padding=3), torch.randn(1, 64, 100)
    with torch.inference_mode():
        counted = macs_of(lambda: conv(x), conv)
        pack_weights(conv)
        assert macs_of(lambda: conv(x), conv) == counted == 64 * 96 * 7 * 100


@needs_packing
@torch.inference_mode()
def test_it_compiles_into_a_graph():
    conv, x = ToomConv1d(64, 96, 7, padding=3), channels_last(torch.randn(1, 64, 100))
    pack_weights(conv)
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True, dynamic=True)
    assert torch.equal(compiled(x), conv(x))
    assert isinstance(conv, MaskedConv1d)
