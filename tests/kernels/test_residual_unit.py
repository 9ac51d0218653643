"""What is computed of few channels with time along the vectors: the activation, and a whole residual unit."""

import pytest
import torch
from torch import Tensor

from kernel_builds import NATIVE_HERE, error, every_variant, in_float64, serving
from xcodec import InputError, kernels
from xcodec.evaluation.systems.operations import macs_of
from xcodec.models.acoustic import AcousticEncoder, EncoderBlock, ResidualUnit, anti_aliased_snake_beta
from xcodec.modules.snake import AntiAliasedActivation, SnakeBeta
from xcodec.modules.time import Whole

needs_native = pytest.mark.skipif(not NATIVE_HERE, reason="the kernel was not compiled")
# Clips shorter than the filters, and than what a dilation spans; one step to each side of a tile's border, and beyond
# the next one by less than a unit reaches.
SIZES = [(8, 1, 1), (8, 5, 9), (16, 40, 3), (24, 341, 1), (24, 342, 9), (32, 256, 9), (32, 261, 1), (8, 2060, 9)]
sizes = pytest.mark.parametrize(("channels", "steps", "dilation"), SIZES)


def unit(channels: int, dilation: int) -> ResidualUnit:
    module = ResidualUnit(channels, dilation, anti_aliased_snake_beta).eval().requires_grad_(False)
    for snake in (module.snake1, module.snake2):
        torch.nn.init.normal_(snake.act.alpha, std=0.7)
        torch.nn.init.normal_(snake.act.beta, std=0.7)
    return module


def clips(channels: int, steps: int) -> tuple[Tensor, Tensor]:
    """Three, and their lengths: whole, half, and nothing."""
    torch.manual_seed(channels * 1000 + steps)
    return 2 * torch.randn(3, channels, steps), torch.tensor([steps, (steps + 1) // 2, 0])


@every_variant
@sizes
def test_a_unit_is_its_layers(variant, channels, steps, dilation):
    (x, lengths), module = clips(channels, steps), unit(channels, dilation)
    expected = in_float64(module, x, lengths)
    with serving(variant):
        assert module.is_narrow(x)
        y = module(x, lengths)
        alone = module(x)
    assert error(alone, in_float64(module, x)) < 5e-6
    for clip, length in enumerate(lengths.tolist()):
        assert not y[clip, :, length:].any()
        if length:
            assert error(y[clip, :, :length], expected[clip, :, :length]) < 5e-6


@every_variant
@pytest.mark.parametrize("steps", [1, 5, 2047, 2049, 2053])
def test_a_planar_activation_is_its_definition(variant, steps):
    (x, lengths), module = clips(8, steps), unit(8, 1).snake1
    with serving(variant):
        assert kernels.serves_planar(x, *module.parameters())
        y, short = module(x), module(x, lengths)
    assert y.is_contiguous()
    assert error(y, in_float64(module, x)) < 5e-6
    assert error(short, in_float64(module, x, lengths)) < 5e-6


@needs_native
@pytest.mark.parametrize("layer", ["unit", "activation"])
def test_a_clip_gets_bit_for_bit_what_it_gets_alone_and_on_any_number_of_threads(layer):
    x, _ = clips(8, 5000)
    module = unit(8, 9) if layer == "unit" else unit(8, 9).snake1
    lengths = torch.tensor([5000, 1031, 2500])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = module(x, lengths)
        torch.set_num_threads(2)
        assert torch.equal(module(x, lengths), together)
    finally:
        torch.set_num_threads(before)
    for clip, length in enumerate(lengths.tolist()):
        assert torch.equal(module(x[clip : clip + 1, :, :length].contiguous())[0], together[clip, :, :length])


@needs_native
@pytest.mark.gradients
def test_only_what_is_narrow_float32_and_without_gradients_is_served():
    x = torch.randn(1, 16, 50)
    assert kernels.serves_narrow(x)
    assert not kernels.serves_narrow(torch.randn(1, 12, 50))
    assert not kernels.serves_narrow(torch.randn(1, 40, 50))
    assert not kernels.serves_narrow(x.bfloat16())
    assert not kernels.serves_narrow(x, torch.ones(16, device="meta"))
    assert not kernels.serves_planar(x.mT.contiguous().mT)
    assert not kernels.serves_narrow(x, torch.ones(16, requires_grad=True))
    with torch.no_grad():
        assert kernels.serves_narrow(x, torch.ones(16, requires_grad=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernels.serves_narrow(x)
    with kernels.use(kernels.TORCH):
        assert not kernels.serves_narrow(x)


@needs_native
@pytest.mark.gradients
@pytest.mark.parametrize("channels", [4, 8])
def test_an_encoder_gives_the_same_with_gradients_and_without(channels):
    """4, 8 and 16 channels one after the other, or 8, 16 and 32."""
    torch.manual_seed(0)
    encoder, wave = AcousticEncoder(channels, (2, 4), 8), torch.randn(2, 1, 4000)
    whole = Whole(torch.tensor([4000, 2400]))
    expected = encoder(wave, whole)
    assert expected.requires_grad
    with torch.inference_mode():
        found = encoder(wave, whole)
    for clip, length in enumerate((500, 300)):
        torch.testing.assert_close(found[clip, :, :length], expected[clip, :, :length], rtol=1e-4, atol=1e-5)


@needs_native
def test_it_changes_none_of_the_operations_that_a_codec_is_said_to_take():
    block, x = EncoderBlock(8, 2, anti_aliased_snake_beta), torch.randn(1, 8, 100)
    with torch.inference_mode():
        assert macs_of(lambda: block(x), block) == 3 * 8 * 8 * (7 + 1) * 100 + 8 * 16 * 4 * 50


@needs_native
@torch.inference_mode()
def test_it_compiles_into_a_graph():
    block, x = EncoderBlock(8, 2, anti_aliased_snake_beta), torch.randn(1, 8, 100)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    assert torch.equal(compiled(x), block(x))


def arguments(channels: int) -> list[object]:
    """Of `kernels.residual_unit`."""
    wave, bias = torch.ones(channels), torch.zeros(channels)
    taps = AntiAliasedActivation(SnakeBeta(channels)).taps
    weight1, weight2 = torch.randn(channels, channels, 7), torch.randn(channels, channels, 1)
    return [torch.randn(2, channels, 30), wave, wave, weight1, bias, wave, wave, weight2, bias, taps, 3, None]


@needs_native
def test_they_are_well_behaved_torch_operators():
    given = arguments(8)
    torch.library.opcheck(torch.ops.xcodec.residual_unit.default, tuple(given))
    lengths = torch.tensor([30, 7])
    torch.library.opcheck(torch.ops.xcodec.snake_planar.default, (given[0], given[1], given[2], given[9], lengths))


@needs_native
@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, torch.randn(2, 12, 30), r"x: expected float32 \(batch, a multiple of 8 channels, time\)"),
        (0, torch.randn(2, 8, 30).double(), "x: expected float32"),
        (2, torch.ones(7), r"gain1: expected float32 \(8,\), got torch.float32 \(7,\)"),
        (3, torch.randn(8, 8, 5), r"weight1: expected float32 \(8, 8, 7\)"),
        (7, torch.randn(8, 8), r"weight2: expected float32 \(8, 8, 1\)"),
        (9, [0.5], "taps: expected 12 numbers, got 1"),
        (11, torch.tensor([3]), r"lengths: expected integers \(2,\)"),
    ],
)
def test_what_the_operator_cannot_take_is_an_error_that_says_why(place, wrong, message):
    given = arguments(8)
    given[place] = wrong
    with pytest.raises(InputError, match=message):
        kernels.residual_unit(*given)
