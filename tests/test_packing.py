"""Packed weights: the same codes, and plain weights again for all that asks for them."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from builders import prepare, speech, tiny_model
from xcodec import Codec, Xcodec2FeatureExtractor
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.modules.conv import MaskedConv1d, channels_last
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
    return sum(module.weight.is_mkldnn for module in model.modules() if isinstance(module, Packable))


@dtypes
def test_a_packed_layer_gives_what_it_gave(dtype):
    for layer, x in layers():
        layer, x = layer.to(dtype), x.to(dtype)
        with torch.inference_mode():
            plain = layer(x)
            pack_weights(layer)
            packed = layer(x)
        assert num_packed(layer) == 1
        assert torch.equal(packed, plain), layer
        assert packed.stride() == plain.stride()


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
def test_an_input_s_gradient_passes_through_packed_weights():
    for layer, x in layers():
        x = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
        pack_weights(layer)
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x)
        assert (gradient - expected).abs().max() < 1e-3


def test_what_is_narrow_or_of_another_dtype_stays_plain():
    narrow, half = Linear(NARROW - 1, 200), Linear(200, 200).half()
    pack_weights(narrow)
    pack_weights(half)
    assert not num_packed(narrow) + num_packed(half)


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
        lambda model: model.compile_layers(),
    ],
    ids=["train", "unpack_weights", "deepcopy", "to", "compile_layers"],
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
    plain, packed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "packed"))
    assert plain == packed


def test_a_codec_is_packed_unless_it_is_told_not_to_be(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    Xcodec2FeatureExtractor().save_pretrained(tmp_path)
    packed, plain = (Codec.from_pretrained(tmp_path, device="cpu", **given) for given in ({}, {"pack": False}))
    assert num_packed(packed.model) > 10
    assert not num_packed(plain.model)
    assert packed.identity == plain.identity
    assert repr(packed) == repr(plain)
    assert packed.encode(speech(1.0), 16000) == plain.encode(speech(1.0), 16000)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_packed_codec_lets_go_of_the_file_it_came_from(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    Xcodec2FeatureExtractor().save_pretrained(tmp_path)
    codec = Codec.from_pretrained(tmp_path, device="cpu")
    assert codec.encode(speech(1.0), 16000).ids.size
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_unpacking_twice_or_what_is_not_packed_does_nothing():
    model = tiny_model()
    weight = model.fc_encoder.weight
    unpack_weights(model)
    assert model.fc_encoder.weight is weight
