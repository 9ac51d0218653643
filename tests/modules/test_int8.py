"""Weights in whole numbers: how near results are, that a batch changes nothing, and what a codec of them keeps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from builders import RECORDINGS, spectral_snr
from kernel_builds import every_variant, serving
from xcodec import Audio, Codec, XcodecFeatureExtractor, kernels
from xcodec.device import Precision
from xcodec.errors import InputError
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.int8 import (
    LARGEST,
    Int16Weight,
    IntegerConv1d,
    IntegerLinear,
    is_int8,
    largest_input,
    quantize_weights,
)
from xcodec.modules.linear import Linear, PointwiseConv
from xcodec.modules.resnet import ResNetBlock
from xcodec.streaming import StreamDecoder
from xcodec_builders import tiny_xcodec

DTYPES = [torch.int8, torch.int16]
CONVOLUTIONS = {  # channels, outputs, taps, stride, padding, dilation
    "dilated": (64, 70, 7, 1, 27, 9),
    "strided, of odd channels": (65, 64, 4, 2, 1, 1),
    "several blocks deep": (600, 64, 3, 1, 1, 1),
    "without padding": (64, 64, 5, 3, 0, 2),
}


@pytest.fixture(scope="module")
def in_float() -> Codec:
    return Codec.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def in_int8() -> Codec:
    return Codec.from_pretrained(device="cpu", dtype="int8")


def snr(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2)))


def uneven(*shape: int) -> torch.Tensor:
    """Noise whose steps, the last dimension but one, are of magnitudes from a thousandth to a thousand."""
    return torch.randn(*shape) * torch.logspace(-3, 3, shape[-2])[:, None]


def test_mini_general_keeps_nearly_all_of_its_first_codes_in_int8() -> None:
    codecs = [Codec.from_pretrained("mini-general", device="cpu", dtype=dtype) for dtype in ("float32", "int8")]
    whole, narrow = (codec.encode(RECORDINGS[0]) for codec in codecs)
    kept = (whole.ids == narrow.ids).mean(1)
    assert kept[0] > 0.97
    assert kept[1] > 0.9
    assert codecs[1].decode(narrow).num_samples == codecs[0].decode(whole).num_samples


@pytest.mark.parametrize(("dtype", "least"), [(torch.int8, 40), (torch.int16, 60)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_map_is_near_the_float_one(dtype: torch.dtype, least: float, kind: torch.dtype) -> None:
    linear = Linear(256, 97)
    x = torch.randn(2, 211, 256).to(kind)
    with torch.no_grad():
        expected = linear(x.float())
    found = IntegerLinear(linear, dtype)(x)
    assert found.dtype == kind
    assert snr(expected.numpy(), found.float().numpy()) > (least if kind == torch.float32 else 40)


def test_what_whole_numbers_hold_is_exact() -> None:
    for dtype in DTYPES:
        linear = Linear(64, 80, bias=False)
        weight = torch.randint(-LARGEST[dtype], LARGEST[dtype] + 1, (80, 64)).float()
        weight[:, 0] = LARGEST[dtype]
        linear.weight.data.copy_(weight)
        rounded = IntegerLinear(linear, dtype)
        least, most = whole_inputs(rounded)
        x = torch.randint(least, most + 1, (5, 64)).float()
        x[:, 0], x[:, 1] = most, least
        expected = x.double() @ weight.T.double()
        torch.testing.assert_close(rounded(x).double(), expected, rtol=3e-7, atol=1e-6 * float(expected.abs().max()))


def whole_inputs(rounded: IntegerLinear) -> tuple[int, int]:
    """The least and the largest whole number between which a step is rounded to whole numbers."""
    if isinstance(rounded.rounded, Int16Weight):
        return -rounded.rounded.most, rounded.rounded.most
    return -100, 155  # 255 parts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_inputs_and_weights_do_not_overflow(dtype: torch.dtype, sign: int) -> None:
    linear = Linear(kernels.DEEPEST, 64, bias=False)
    linear.weight.data.fill_(sign)
    rounded = IntegerLinear(linear, dtype)
    x = torch.full((3, kernels.DEEPEST), -2.0)
    torch.testing.assert_close(rounded(x), torch.full((3, 64), -2.0 * sign * kernels.DEEPEST))
    if dtype == torch.int8:
        x[:, :: kernels.INT8_BLOCK] = -1002.0  # all others of a block become the largest number
        torch.testing.assert_close(rounded(x), sign * x.sum(1, keepdim=True).expand(-1, 64), rtol=1e-5, atol=0)
    else:
        assert isinstance(rounded.rounded, Int16Weight)
        assert rounded.rounded.most * LARGEST[dtype] * kernels.DEEPEST < 2**31


def test_eight_bits_lie_between_the_least_and_the_greatest_of_a_block() -> None:
    linear = Linear(2 * kernels.INT8_BLOCK, 64, bias=False)
    layer = IntegerLinear(linear, torch.int8)
    in_whole_numbers = layer.rounded.scale[:64, None] * linear.weight.div(layer.rounded.scale[:64, None]).round()
    x = 50 + torch.rand(7, 2 * kernels.INT8_BLOCK)  # far from zero, which has no part in it
    x[:, kernels.INT8_BLOCK :] *= 1e4
    parts = x.unflatten(1, (2, -1))
    step = (parts.amax(2) - parts.amin(2)) / 255
    most = 0.51 * (step @ in_whole_numbers.abs().unflatten(1, (2, -1)).sum(2).T)
    with torch.no_grad():
        assert bool(((layer(x) - x @ in_whole_numbers.T).abs() <= most + 1e-6 * 1e4 * 50).all())
    assert torch.equal(layer(torch.full((2, 256), 3.0))[0], layer(torch.full((1, 256), 3.0))[0])


@pytest.mark.parametrize(("dtype", "least"), [(torch.int8, 35), (torch.int16, 60)])
@pytest.mark.parametrize("geometry", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_is_near_the_float_one(geometry: tuple[int, ...], dtype: torch.dtype, least: float) -> None:
    channels, outputs, taps, stride, padding, dilation = geometry
    conv = MaskedConv1d(channels, outputs, taps, stride, padding, dilation)
    x, lengths = torch.randn(2, channels, 300), torch.tensor([300, 211])
    with torch.no_grad():
        expected = conv(x, lengths)
    assert snr(expected.numpy(), IntegerConv1d(conv, dtype)(x, lengths).numpy()) > least


@every_variant
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_variant_computes_the_same_but_for_the_last_digit(
    variant: str, geometry: tuple[int, ...], dtype: torch.dtype
) -> None:
    channels, outputs, taps, stride, padding, dilation = geometry
    conv = IntegerConv1d(MaskedConv1d(channels, outputs, taps, stride, padding, dilation), dtype)
    x = uneven(2, 300, channels).transpose(1, 2)
    with kernels.use("torch"):
        expected = conv(x)
    with serving(variant):
        found = conv(x)
    scale = expected.abs().amax(1, keepdim=True)
    assert float(((expected - found).abs() / scale).max()) < 2e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_gets_bit_for_bit_what_it_gets_alone(dtype: torch.dtype) -> None:
    layer = IntegerLinear(Linear(300, 96), dtype)
    x = uneven(600, 300)
    alone = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(layer(x), alone)


def test_threads_change_nothing() -> None:
    layer = IntegerLinear(Linear(128, 512), torch.int8)
    x = torch.randn(400, 128)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = layer(x)
        torch.set_num_threads(3)
        assert torch.equal(layer(x), expected)
    finally:
        torch.set_num_threads(before)


def test_silence_gives_the_bias_and_no_rows_give_none() -> None:
    linear = Linear(64, 70)
    layer = IntegerLinear(linear, torch.int8)
    assert torch.equal(layer(torch.zeros(3, 64)), linear.bias.detach().expand(3, 70))
    assert layer(torch.zeros(2, 0, 64)).shape == (2, 0, 70)


def test_inputs_get_as_many_bits_as_the_sums_leave() -> None:
    assert largest_input(torch.full((4, 64, 1), 127, dtype=torch.int8)) == 2**15 - 1
    assert largest_input(torch.full((4, 256, 1), 4095, dtype=torch.int16)) == (2**31 - 1) // (256 * 4095)
    assert largest_input(torch.zeros(4, 64, 1, dtype=torch.int8)) == 2**15 - 1


def test_no_gradient_goes_unnoticed() -> None:
    x = torch.randn(2, 64, requires_grad=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        IntegerLinear(Linear(64, 64), torch.int8)(x).sum().backward()


def test_a_compiled_map_is_the_same() -> None:
    layer = IntegerLinear(Linear(64, 80), torch.int8)
    x = torch.randn(5, 64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), layer(x))


def test_layers_in_lists_and_residual_blocks_become_int8_the_rest_int16_and_narrow_ones_stay() -> None:
    model = nn.ModuleDict(
        {
            "layers": nn.ModuleList([Linear(64, 64), PointwiseConv(64, 128), MaskedConv1d(64, 64, 3)]),
            "residual": ResNetBlock(64),
            "fusion": Linear(64, 64),
            "narrow": Linear(64, 8),
            "grouped": MaskedConv1d(64, 64, 3, groups=64),
        }
    )
    quantize_weights(model)
    dtypes = {name: parameter.dtype for name, parameter in model.named_parameters() if name.endswith("weight")}
    assert dtypes == {
        "layers.0.rounded.weight": torch.int8,
        "layers.1.rounded.weight": torch.int8,
        "layers.2.rounded.weight": torch.int16,
        "residual.norm1.weight": torch.float32,
        "residual.conv1.rounded.weight": torch.int8,
        "residual.norm2.weight": torch.float32,
        "residual.conv2.rounded.weight": torch.int8,
        "fusion.rounded.weight": torch.int16,
        "narrow.weight": torch.float32,
        "grouped.weight": torch.float32,
    }


def test_fusion_is_int16_and_the_quantizer_stays_float32(in_int8: Codec) -> None:
    dtypes = {name: parameter.dtype for name, parameter in in_int8.model.named_parameters()}
    assert dtypes["fc_encoder.rounded.weight"] == torch.int16
    assert {dtype for name, dtype in dtypes.items() if name.startswith("quantizer.")} == {torch.float32}


def test_mini_keeps_95_of_100_codes_on_real_speech(in_int8: Codec, in_float: Codec) -> None:
    expected, found = in_float.encode(RECORDINGS), in_int8.encode(RECORDINGS)
    assert found[0].codec == expected[0].codec, "it is the same model"
    equal = np.concatenate([a.ids == b.ids for a, b in zip(expected, found, strict=True)], 1)
    assert float(equal.mean()) >= 0.95
    whole, rounded = in_float.decode(expected[0]), in_int8.decode(expected[0])
    assert spectral_snr(whole.samples[0], rounded.samples[0]) > 15
    latents = in_float.model.quantizer.decode(torch.tensor(expected[0].ids))
    states, in_whole_numbers = (each.model.acoustic_decoder.hidden(latents)[0] for each in (in_float, in_int8))
    assert snr(states.numpy(), in_whole_numbers.numpy()) > 40


def test_a_clip_gets_bit_for_bit_what_it_gets_alone(in_int8: Codec) -> None:
    together = in_int8.encode(RECORDINGS)
    for path, codes in zip(RECORDINGS, together, strict=True):
        np.testing.assert_array_equal(in_int8.encode(path).ids, codes.ids)
    for codes, audio in zip(together, in_int8.decode(together), strict=True):
        np.testing.assert_array_equal(in_int8.decode(codes).samples, audio.samples)


def test_a_codec_loaded_again_gives_the_same(in_int8: Codec) -> None:
    again = Codec.from_pretrained(device="cpu", dtype="int8")
    first, second = in_int8.encode(RECORDINGS[1]), again.encode(RECORDINGS[1])
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(in_int8.decode(first).samples, again.decode(first).samples)


def test_a_stream_is_near_the_float_one(in_int8: Codec, in_float: Codec) -> None:
    ids = in_float.encode(RECORDINGS[1]).ids[:, :60]
    expected, found = (np.concatenate(streamed(StreamDecoder(codec), ids)) for codec in (in_float, in_int8))
    assert spectral_snr(expected, found) > 15


def test_streams_that_share_a_step_get_bit_for_bit_what_each_gets_alone(in_int8: Codec) -> None:
    ids = np.random.default_rng(0).integers(0, 65536, (2, 1, 50))
    together, alone = ([StreamDecoder(in_int8) for _ in ids] for _ in range(2))
    for first in range(0, 50, 10):
        given = [own[:, first : first + 10] for own in ids]
        pieces = StreamDecoder.push_many(together, given)
        for stream, codes, piece in zip(alone, given, pieces, strict=True):
            expected = stream.push(codes)
            assert (piece is None) == (expected is None)
            if piece is not None and expected is not None:
                np.testing.assert_array_equal(piece.samples, expected.samples)


def streamed(decoder: StreamDecoder, ids: np.ndarray) -> list[np.ndarray]:
    pieces = [decoder.push(ids[:, first : first + 20]) for first in range(0, ids.shape[1], 20)]
    return [piece.samples[0] for piece in (*pieces, decoder.flush()) if piece is not None]


def test_xcodec_runs_in_int8_too() -> None:
    recording = Audio.read(RECORDINGS[0])
    wide = {"hidden_size": 64, "intermediate_size": 128}
    expected = Codec(tiny_xcodec(semantic_model_config=wide), XcodecFeatureExtractor())
    model = tiny_xcodec(semantic_model_config=wide)
    quantize_weights(model)
    assert is_int8(model)
    found = Codec(model, XcodecFeatureExtractor())
    codes = expected.encode(recording)
    assert found.encode(recording).ids.shape == codes.ids.shape
    decoded = found.decode(codes, check_identity=False)  # its decoder is narrow, and keeps its floats
    np.testing.assert_allclose(decoded.samples, expected.decode(codes).samples, atol=1e-6)


def test_a_codec_in_int8_says_so_and_takes_less_memory(in_int8: Codec, in_float: Codec) -> None:
    def size(codec: Codec) -> int:
        return sum(parameter.numel() * parameter.element_size() for parameter in codec.model.parameters())

    assert (in_int8.precision, in_float.precision) == (Precision.INT8, Precision.FLOAT32)
    assert in_int8.dtype == torch.float32
    assert repr(in_int8).endswith("on cpu in int8)")
    assert size(in_int8) < 0.35 * size(in_float)


def test_a_model_in_int8_is_not_saved(in_int8: Codec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loaded in int8, which no checkpoint holds"):
        in_int8.model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_int8_is_for_the_cpu() -> None:
    with pytest.raises(InputError, match="int8 is for the CPU; on a GPU give bfloat16 or float16"):
        quantize_weights(nn.Sequential(Linear(64, 64, device="meta")))
