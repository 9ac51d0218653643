"""Linear maps in int8: how near they are, that a batch changes nothing, and what a codec made of them does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xcodec import Audio, Codec, XcodecFeatureExtractor
from xcodec.device import Precision
from xcodec.errors import InputError
from xcodec.modules import int8
from xcodec.modules.int8 import Int8Linear, quantize_linear_maps, quantized
from xcodec.modules.linear import Linear
from xcodec_builders import tiny_xcodec

pytestmark = pytest.mark.skipif(not int8.sums_are_exact(), reason="int8 products overflow without VNNI")

RECORDINGS = sorted((Path(__file__).parents[1] / "audio").glob("*.wav"))


@pytest.fixture(scope="module")
def in_float() -> Codec:
    return Codec.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def in_int8() -> Codec:
    return Codec.from_pretrained(device="cpu", dtype="int8")


def snr(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2)))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_int8_map_is_near_the_float_one(bias: bool, dtype: torch.dtype) -> None:
    linear = Linear(256, 96, bias=bias)
    x = torch.randn(2, 700, 256)  # more rows than one product takes
    expected = nn.functional.linear(x, linear.weight, linear.bias).detach()
    found = Int8Linear(linear.weight, linear.bias)(x.to(dtype))
    assert found.dtype == dtype
    assert snr(expected.numpy(), found.float().numpy()) > 37


def test_an_int8_map_is_exact_on_what_int8_holds() -> None:
    weight = torch.randint(-127, 128, (80, 64)).float()
    weight[:, 0] = 127
    x = torch.randint(-127, 128, (5, 64)).float()
    x[:, 0] = 127
    torch.testing.assert_close(Int8Linear(weight, None)(x), x @ weight.T, rtol=1e-6, atol=0)


def test_a_step_is_rounded_by_itself() -> None:
    layer = Int8Linear(torch.randn(96, 64), torch.randn(96))
    x = torch.randn(600, 64) * torch.logspace(-3, 3, 600)[:, None]
    alone = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(layer(x), alone)


def test_silence_has_a_scale_too() -> None:
    rounded, scale = quantized(torch.zeros(3, 64))
    assert not rounded.any()
    assert scale.isfinite().all()
    assert (scale > 0).all()


def test_a_batch_changes_hardly_a_code(in_int8: Codec) -> None:
    """What is left is float32's own rounding, where it decides which way an input rounds to int8."""
    together = in_int8.encode(RECORDINGS)
    alone = [in_int8.encode(path) for path in RECORDINGS]
    equal = np.concatenate([a.ids == b.ids for a, b in zip(together, alone, strict=True)], 1)
    assert float(equal.mean()) > 0.98


def test_a_codec_in_int8_is_near_the_one_in_float(in_int8: Codec, in_float: Codec) -> None:
    expected, found = in_float.encode(RECORDINGS[0]), in_int8.encode(RECORDINGS[0])
    assert found.codec == expected.codec, "it is the same model"
    assert float((expected.ids == found.ids).mean()) > 0.5
    whole = in_float.decode(expected).samples[0]
    assert snr(whole, in_int8.decode(expected).samples[0]) > 20


def test_xcodec_runs_in_int8_too() -> None:
    recording = Audio.read(RECORDINGS[0])
    wide = {"hidden_size": 64, "intermediate_size": 128}
    expected = Codec(tiny_xcodec(semantic_model_config=wide), XcodecFeatureExtractor())
    model = tiny_xcodec(semantic_model_config=wide)
    quantize_linear_maps(model)
    assert int8.is_int8(model)
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
    assert size(in_int8) < 0.6 * size(in_float)


def test_a_model_in_int8_is_not_saved(in_int8: Codec, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loaded in int8, which no checkpoint holds"):
        in_int8.model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_int8_is_for_the_cpu() -> None:
    with pytest.raises(InputError, match="int8 is for the CPU; on a GPU give bfloat16 or float16"):
        quantize_linear_maps(nn.Sequential(Linear(64, 64, device="meta")))


def test_a_processor_that_overflows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "sums_are_exact", lambda: False)
    with pytest.raises(InputError, match="int8 products overflow"):
        quantize_linear_maps(nn.Sequential(Linear(64, 64)))
