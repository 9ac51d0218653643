"""Packed weights: the same codes, and plain weights again for all that asks for them."""

import copy
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from builders import prepare, save_tiny, speech, tiny_model
from xcodec import Codec
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.modules.conv import MaskedConv1d, channels_last
from xcodec.modules.hubert import PositionalConv
from xcodec.modules.linear import Linear, PointwiseConv
from xcodec.modules.packing import HAS_ONEDNN, IS_X86, NARROW, Packable, pack_weights, unpack_weights
from xcodec_builders import tiny_xcodec

pytestmark = pytest.mark.skipif(not HAS_ONEDNN or not IS_X86, reason="nothing is packed here")
DTYPES = [torch.float32] + [torch.bfloat16] * torch.ops.mkldnn._is_mkldnn_bf16_supported()
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def layers() -> list[tuple[nn.Module, Tensor]]:
    """Layers with an input each."""
    torch.manual_seed(0)
    steps = torch.randn(2, 33, 96)
    return [
        (Linear(96, 70), steps),
        (Linear(96, 70, bias=False), steps[0]),
        (PointwiseConv(96, 128), steps),
        (MaskedConv1d(96, 128, 7, padding=3), channels_last(steps.mT)),
        (MaskedConv1d(96, 64, 4, stride=2, padding=1), channels_last(steps.mT)),
        (MaskedConv1d(96, 96, 3, dilation=9, padding=9), channels_last(steps.mT)),
        (MaskedConv1d(128, 128, 5, padding=2, groups=2), channels_last(torch.randn(2, 128, 33))),
    ]


def num_packed(model: nn.Module) -> int:
    return sum(module.is_packed for module in model.modules() if isinstance(module, Packable))


@dtypes
def test_a_packed_layer_gives_what_it_gave(dtype):
    for layer, x in layers():
        layer, x = layer.to(dtype), x.to(dtype)
        with torch.inference_mode():
            plain = layer(x)
            pack_weights(layer)
            packed = layer(x)
        assert num_packed(layer) == 1
        if isinstance(layer, MaskedConv1d) and layer.steps_read(steps := plain.shape[2]) > steps:  # it was lengthened
            torch.testing.assert_close(packed, plain, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
        else:
            assert torch.equal(packed, plain), layer
        assert packed.stride() == plain.stride()


@dtypes
@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("avx512", [True, False], ids=["avx512", "avx2"])
def test_a_short_input_that_is_lengthened_gives_what_it_gave(avx512, stride, dtype):
    torch.manual_seed(0)
    layer = MaskedConv1d(64, 96, 7, padding=3, stride=stride).to(dtype)
    clips = [torch.randn(2, steps, 64, dtype=dtype).mT for steps in (1, 6, 50, 700)]
    with torch.inference_mode():
        plain = [layer(x) for x in clips]
        pack_weights(layer)
        layer.fewest_steps, layer.even_steps = (128, 1) if avx512 else (1, 4)
        for x, expected in zip(clips, plain, strict=True):
            packed = layer(x)
            torch.testing.assert_close(packed, expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
            assert packed.stride() == expected.stride()
    assert num_packed(layer) == 1


@dtypes
@pytest.mark.parametrize(("taps", "stride", "padding"), [(10, 5, 3), (3, 2, 0), (8, 4, 2), (1, 2, 0)])
def test_a_strided_convolution_of_many_channels_is_a_map_of_windows(taps, stride, padding, dtype):
    torch.manual_seed(0)
    layer = MaskedConv1d(256, 96, taps, stride=stride, padding=padding).to(dtype)
    weight = layer.weight.detach().clone()
    lengths = torch.tensor([40, 23])
    with torch.inference_mode():
        for steps in (10, 11, 57, 700):
            x = torch.randn(2, steps, 256, dtype=dtype).mT
            unpack_weights(layer)
            expected = layer(x, lengths)
            pack_weights(layer)
            packed = layer(x, lengths)
            torch.testing.assert_close(packed, expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
            assert packed.stride() == expected.stride()
            assert torch.equal(layer(x.contiguous(), lengths), packed), "however it lies"
    assert layer.weight.shape == (96, 256 * taps)
    assert torch.equal(layer.state_dict()["weight"], weight)


def test_an_input_in_another_layout_or_dtype_is_taken_too():
    for layer, x in layers():
        pack_weights(layer)
        with torch.inference_mode():
            expected = layer(x)
            assert (layer(x.contiguous()) - expected).abs().max() < 1e-5
            assert layer(x[:0]).shape == (0, *expected.shape[1:])
            with torch.autocast("cpu", torch.bfloat16):
                assert (layer(x) - expected).abs().max() < 0.05


@pytest.mark.gradients
def test_weights_that_were_packed_can_be_trained():
    for layer, x in layers():
        with torch.inference_mode():
            pack_weights(layer)
            unpack_weights(layer)
        layer(x).square().sum().backward()
        assert layer.weight.grad.abs().max() > 0


@pytest.mark.gradients
def test_an_input_s_gradient_passes_through_packed_weights():
    for layer, x in layers():
        x = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
        pack_weights(layer)
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x)
        assert (gradient - expected).abs().max() < 1e-3


@pytest.mark.parametrize(
    "layer",
    [Linear(NARROW - 1, 200), Linear(200, 200).half(), PositionalConv(128, 16, 2, nn.GELU())],
    ids=["narrow", "float16", "weight-normalised"],
)
def test_what_would_gain_nothing_or_cannot_be_packed_stays_plain(layer):
    pack_weights(layer)
    assert not num_packed(layer)


@pytest.mark.gradients
def test_a_bias_has_its_gradient_beside_packed_weights():
    for layer, x in layers():
        if layer.bias is not None:
            pack_weights(layer)
            layer(x).sum().backward()
            assert layer.bias.grad.abs().max() > 0


@pytest.mark.gradients
def test_a_call_that_could_be_asked_for_gradients_unpacks_for_good():
    model = tiny_model()
    codes = torch.arange(9)[None, None]
    with torch.no_grad():
        model.pack_weights()
        expected = model.decode(codes).audio_values
    others = num_packed(model) - num_packed(model.acoustic_decoder)
    audio = model.decode(codes).audio_values
    assert (audio - expected).abs().max() < 1e-5
    assert not num_packed(model.acoustic_decoder)
    assert num_packed(model) == others > 0
    audio.square().sum().backward()
    weights = [layer.weight for layer in model.acoustic_decoder.modules() if isinstance(layer, Packable)]
    assert all(weight.grad is not None for weight in weights)


def test_a_part_of_a_packed_model_can_be_moved_and_copied():
    model = tiny_model()
    model.pack_weights()
    decoder = copy.deepcopy(model.acoustic_decoder).to(torch.float64)
    assert decoder.embed.weight.dtype == torch.float64
    model.acoustic_decoder.to(torch.bfloat16)
    assert model.acoustic_decoder.embed.weight.dtype == torch.bfloat16


def test_a_packed_model_takes_a_state_dict():
    model, other = tiny_model(), tiny_model(seed=1)
    model.pack_weights()
    model.load_state_dict(other.state_dict())
    inputs = prepare(speech(1.0))
    assert torch.equal(model.encode(**inputs).audio_codes, other.encode(**inputs).audio_codes)


def test_a_packed_and_compiled_model_can_be_pickled():
    model = tiny_model()
    model.pack_weights()
    model.compile()
    again = pickle.loads(pickle.dumps(model))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_weights_that_were_frozen_come_back_frozen():
    model = tiny_model().requires_grad_(False)
    model.pack_weights()
    model.unpack_weights()
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_packed_layers_compile():
    for layer, x in layers():
        expected = layer(x)
        pack_weights(layer)
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
        assert torch.equal(compiled(x), expected)
        shorter = x[..., :20] if isinstance(layer, MaskedConv1d) else x[..., :20, :]
        assert torch.equal(compiled(shorter), layer(shorter))


def test_one_graph_serves_layers_of_one_kind_packed_or_compiled_first():
    one, other, x = Linear(96, 96), Linear(96, 96), torch.randn(5, 96)
    expected = [layer(x) for layer in (one, other)]
    graphs = CompileCounter()
    for layer in (one, other):
        pack_weights(layer)
        layer.compile(backend=graphs, dynamic=True)
    assert all(torch.equal(layer(x), y) for layer, y in zip((one, other), expected, strict=True))
    assert graphs.frame_count == 1


@dtypes
def test_a_packed_x_codec2_gives_the_same_codes_and_samples(dtype):
    model = tiny_model().to(dtype)
    inputs = prepare(speech(2.0), speech(1.0))
    codes = model.encode(**inputs).audio_codes
    audio = model.decode(codes).audio_values
    model.pack_weights()
    assert num_packed(model) > 10
    assert torch.equal(model.encode(**inputs).audio_codes, codes)
    assert torch.equal(model.decode(codes).audio_values, audio)


def test_a_packed_x_codec_gives_the_same_codes_and_samples():
    model = tiny_xcodec(semantic_model_config={"hidden_size": 64, "intermediate_size": 96})
    wave = torch.from_numpy(speech(2.0))[None, None]
    codes = model.encode(wave).audio_codes
    audio = model.decode(codes).audio_values
    model.pack_weights()
    assert num_packed(model) > 10
    assert torch.equal(model.encode(wave).audio_codes, codes)
    assert torch.equal(model.decode(codes).audio_values, audio)


@pytest.mark.parametrize(
    "ask",
    [
        StrictPreTrainedModel.train,
        StrictPreTrainedModel.unpack_weights,
        copy.deepcopy,
        lambda model: model.to(torch.float64),
    ],
    ids=["train", "unpack_weights", "deepcopy", "to"],
)
def test_whatever_asks_for_plain_weights_gets_them(ask):
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.pack_weights()
    within = model.state_dict()
    assert num_packed(model)
    assert all(torch.equal(within[name], tensor) for name, tensor in before.items())
    ask(model)
    assert not num_packed(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name].to(tensor.dtype), tensor) for name, tensor in before.items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_packed_model_is_saved_as_it_was(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path / "plain")
    model.pack_weights()
    model.save_pretrained(tmp_path / "packed")
    assert num_packed(model)
    plain, packed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "packed"))
    assert plain == packed


def test_a_codec_is_packed_unless_it_is_told_not_to_be(tmp_path):
    save_tiny(tmp_path)
    packed, plain = (Codec.from_pretrained(tmp_path, device="cpu", **given) for given in ({}, {"pack": False}))
    assert num_packed(packed.model) > 10
    assert not num_packed(plain.model)
    assert packed.identity == plain.identity
    assert repr(packed) == repr(plain)
    assert packed.encode(speech(1.0), 16000) == plain.encode(speech(1.0), 16000)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_packed_codec_lets_go_of_the_file_it_came_from(tmp_path):
    save_tiny(tmp_path)
    codec = Codec.from_pretrained(tmp_path, device="cpu")
    assert codec.encode(speech(1.0), 16000).ids.size
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_unpacking_twice_or_what_is_not_packed_does_nothing():
    model = tiny_model()
    weight = model.fc_encoder.weight
    unpack_weights(model)
    assert model.fc_encoder.weight is weight
