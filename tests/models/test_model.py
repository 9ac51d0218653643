"""Xcodec2Model: every argument and output of its interface, its errors, precision, compilation, saving."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2BertConfig

from builders import TINY, needs_compiler, prepare, speech, tiny_model
from xcodec import (
    CheckpointError,
    InputError,
    Xcodec2Config,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    XcodecConfig,
    XcodecModel,
)
from xcodec.models.xcodec2 import Xcodec2DecoderOutput, Xcodec2EncoderOutput, Xcodec2Output


def test_the_documented_example(tiny):
    """The usage example of transformers' documentation, shapes included, on a local checkpoint."""
    audio = speech(samples=93680)
    inputs = Xcodec2FeatureExtractor()(audio=audio, sampling_rate=16000, return_tensors="pt").to(
        tiny.device, tiny.dtype
    )
    assert inputs["input_values"].shape == (1, 1, 93760)
    audio_codes = tiny.encode(**inputs).audio_codes
    assert audio_codes.shape == (1, 1, 293)
    assert tiny.decode(audio_codes).audio_values.shape == (1, 1, 93760)
    output = tiny(**inputs)
    assert torch.equal(output.audio_codes, audio_codes)
    assert torch.allclose(output.audio_values, tiny.decode(audio_codes).audio_values, atol=1e-5)


def test_outputs_have_the_documented_fields_shapes_and_dtypes(tiny):
    inputs = prepare(speech(1.0), speech(2.0))
    encoded = tiny.encode(**inputs, output_latents=True)
    assert isinstance(encoded, Xcodec2EncoderOutput)
    assert (encoded.audio_codes.shape, encoded.audio_codes.dtype) == ((2, 1, 101), torch.int64)
    assert (encoded.latents.shape, encoded.latents.dtype) == ((2, 96, 101), torch.float32)
    assert (encoded.audio_codes_mask.shape, encoded.audio_codes_mask.dtype) == ((2, 1, 101), torch.int32)
    assert tiny.encode(**inputs).latents is None
    assert tiny.encode(inputs["input_values"], inputs["input_features"]).audio_codes_mask is None
    assert isinstance(tiny.decode(encoded.audio_codes), Xcodec2DecoderOutput)
    output = tiny(**inputs, output_latents=True)
    assert isinstance(output, Xcodec2Output)
    assert (output.audio_values.shape, output.audio_values.dtype) == ((2, 1, 101 * 320), torch.float32)
    assert list(output.keys()) == ["audio_values", "audio_codes", "latents", "audio_codes_mask"]


def test_tuples_instead_of_outputs(tiny):
    inputs = prepare(speech(0.5))
    output = tiny(**inputs)
    values, codes, mask = tiny(**inputs, return_dict=False)
    assert torch.equal(values, output.audio_values)
    assert torch.equal(codes, output.audio_codes)
    assert torch.equal(mask, output.audio_codes_mask)
    (decoded,) = tiny.decode(codes, return_dict=False)
    assert decoded.shape == values.shape
    assert len(tiny.encode(**inputs, output_latents=True, return_dict=False)) == 3


def test_latents_decode_as_their_codes_do(tiny):
    encoded = tiny.encode(**prepare(speech(1.0)), output_latents=True)
    from_codes = tiny.decode(encoded.audio_codes).audio_values
    assert (tiny.decode(latents=encoded.latents).audio_values - from_codes).abs().max() < 1e-5


def test_features_are_computed_inside_where_none_are_given(tiny):
    inputs = prepare(speech(1.0))
    outside = tiny(**inputs)
    inside = tiny(inputs["input_values"])
    assert torch.equal(inside.audio_codes, outside.audio_codes)
    assert torch.equal(tiny.encode(inputs["input_values"]).audio_codes, outside.audio_codes)


def test_samples_that_fill_no_whole_code_are_padded(tiny):
    wave = torch.from_numpy(speech(samples=1000))[None, None]
    output = tiny(wave)
    assert output.audio_codes.shape == (1, 1, 4)
    assert output.audio_values.shape == (1, 1, 1000), "as long as the input"


def test_masks_may_have_a_channel_axis(tiny):
    inputs = prepare(speech(1.0), speech(2.0))
    flat = tiny.encode(**inputs)
    inputs["padding_mask"] = inputs["padding_mask"][:, None]
    assert torch.equal(tiny.encode(**inputs).audio_codes, flat.audio_codes)
    mask = flat.audio_codes_mask
    decoded = tiny.decode(flat.audio_codes, audio_codes_mask=mask[:, 0])
    assert torch.equal(decoded.audio_values, tiny.decode(flat.audio_codes, audio_codes_mask=mask).audio_values)


def test_the_feature_mask_alone_is_enough(tiny):
    inputs = prepare(speech(1.0), speech(2.0))
    expected = tiny.encode(**inputs)
    del inputs["padding_mask"]
    found = tiny.encode(**inputs)
    assert torch.equal(found.audio_codes, expected.audio_codes)
    assert torch.equal(found.audio_codes_mask, expected.audio_codes_mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_values": torch.zeros(1, 640)},
            r"input_values: .* \(batch, 1, samples\), .*got torch.float32 \(1, 640\)",
        ),
        ({"input_values": torch.zeros(1, 2, 640)}, r"input_values: expected .*got torch.float32 \(1, 2, 640\)"),
        ({"input_values": torch.zeros(1, 1, 640, dtype=torch.int16)}, "expected floating-point samples.*torch.int16"),
        (
            {"input_values": torch.zeros(1, 1, 640), "input_features": torch.zeros(1, 3, 160)},
            r"input_features: expected shape \(1, 2, 160\) .*got \(1, 3, 160\)",
        ),
        (
            {"input_values": torch.zeros(2, 1, 640), "padding_mask": torch.ones(2, 2)},
            r"padding_mask: expected shape \(2, 640\) or \(2, 1, 640\), got \(2, 2\)",
        ),
        (
            {"input_values": torch.zeros(1, 1, 640), "padding_mask": torch.tensor([0, 1]).repeat_interleave(320)[None]},
            "padding_mask: expected ones, at least one, followed by zeros in every row",
        ),
        (
            {"input_values": torch.zeros(2, 1, 640), "padding_mask": torch.tensor([[1], [0]]).expand(2, 640)},
            "padding_mask: expected ones, at least one",
        ),
        ({"input_values": torch.full((1, 1, 640), torch.nan)}, "the input gives no codes: it holds .* NaN"),
        ({"input_values": torch.full((1, 1, 640), 1e38)}, "so far beyond full scale"),
        ({"input_values": torch.zeros(1, 1, 0)}, "samples of shape .* at least one"),
        ({"input_values": torch.zeros(0, 1, 640)}, "samples of shape .* at least one"),
        ({"input_values": [0.0]}, "expected a torch tensor, got list"),
        ({"input_values": torch.zeros(1, 1, 640), "output_logits": True}, "output_logits: not known here"),
    ],
)
def test_what_encode_cannot_read_is_an_error_that_says_why(tiny, arguments, message):
    with pytest.raises(InputError, match=message):
        tiny.encode(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither `audio_codes` nor `latents` was given"),
        ({"audio_codes": torch.zeros(1, 5, dtype=torch.long)}, r"expected integers of shape \(batch, 1, codes\)"),
        ({"audio_codes": torch.zeros(1, 2, 5, dtype=torch.long)}, r"got torch.int64 \(1, 2, 5\)"),
        ({"audio_codes": torch.zeros(1, 1, 5)}, "expected integers of shape.*got torch.float32"),
        ({"audio_codes": torch.full((1, 1, 5), 65536)}, r"expected values in \[0, 65536\), got 65536 to 65536"),
        ({"audio_codes": torch.full((1, 1, 5), -1)}, r"got -1 to -1"),
        ({"audio_codes": torch.zeros(1, 1, 5, dtype=torch.bool)}, "expected integers of shape.*got torch.bool"),
        ({"audio_codes": torch.zeros(0, 1, 5, dtype=torch.long)}, "expected integers of shape"),
        ({"latents": torch.zeros(1, 5, 96)}, r"latents: expected shape \(batch, 96, codes\), got \(1, 5, 96\)"),
    ],
)
def test_what_decode_cannot_read_is_an_error_that_says_why(tiny, arguments, message):
    with pytest.raises(InputError, match=message):
        tiny.decode(**arguments)


def test_arguments_that_ask_for_nothing_are_taken(tiny):
    """transformers passes such around."""
    inputs = prepare(speech(0.5))
    expected = tiny(**inputs)
    found = tiny(**inputs, output_attentions=False, output_hidden_states=None)
    assert torch.equal(found.audio_codes, expected.audio_codes)


def test_codes_of_any_integer_type_decode(tiny):
    codes = tiny.encode(**prepare(speech(0.5))).audio_codes
    expected = tiny.decode(codes).audio_values
    for dtype in (torch.int32, torch.uint16):
        assert torch.equal(tiny.decode(codes.to(dtype)).audio_values, expected)


def test_sizes_that_do_not_fit_together_are_errors():
    with pytest.raises(InputError, match=r"hidden_size=64 is not a multiple of num_attention_heads=5"):
        Xcodec2Config(**(TINY | {"num_attention_heads": 5}))
    with pytest.raises(InputError, match=r"quantization_dim=100; expected .* 64 \+ 32 = 96"):
        Xcodec2Model(Xcodec2Config(**(TINY | {"quantization_dim": 100})))
    with pytest.raises(InputError, match="expected a multiple of 32, the groups"):
        Xcodec2Model(Xcodec2Config(**(TINY | {"hidden_size": 48, "quantization_dim": 80})))
    with pytest.raises(InputError, match="num_key_value_heads=3"):
        Xcodec2Config(**(TINY | {"num_key_value_heads": 3}))
    with pytest.raises(InputError, match="semantic_model_config says 'hubert'"):
        Xcodec2Config(semantic_model_config={"model_type": "hubert"})
    rotary = {"hidden_size": 32, "position_embeddings_type": "rotary"}
    with pytest.raises(InputError, match="position_embeddings_type='rotary'"):
        Xcodec2Model(Xcodec2Config(**(TINY | {"semantic_model_config": rotary})))


def test_the_semantic_config_may_be_an_object_a_dict_or_nothing():
    assert Xcodec2Config().semantic_model_config.num_hidden_layers == 16
    assert Xcodec2Config(semantic_model_config={"hidden_size": 8}).semantic_model_config.num_hidden_layers == 16
    given = Wav2Vec2BertConfig(num_hidden_layers=3)
    assert Xcodec2Config(semantic_model_config=given).semantic_model_config is given
    assert (Xcodec2Config().hop_length, Xcodec2Config().n_fft, Xcodec2Config().codebook_size) == (320, 1280, 65536)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_stays_close(tiny, dtype, tmp_path):
    tiny.save_pretrained(tmp_path)
    half = Xcodec2Model.from_pretrained(tmp_path, dtype=dtype).eval()
    assert half.dtype == dtype
    inputs = prepare(speech(2.0), speech(1.0))
    output = half(**inputs.to("cpu", dtype))
    assert output.audio_values.dtype == torch.float32
    exact = tiny.decode(output.audio_codes, audio_codes_mask=output.audio_codes_mask).audio_values
    assert 10 * torch.log10(exact.square().mean() / (output.audio_values - exact).square().mean()) > 15  # dB
    assert (output.audio_codes == tiny(**inputs.to("cpu", torch.float32)).audio_codes).float().mean() > 0.3


def shallow_model() -> Xcodec2Model:
    """Every kind of block once, or it compiles for minutes."""
    semantic = TINY["semantic_model_config"] | {"num_hidden_layers": 1}
    return tiny_model(num_hidden_layers=1, downsampling_ratios=[16, 20], semantic_model_config=semantic)


@needs_compiler
@pytest.mark.parametrize("what", ["forward", "encode", "decode"])
def test_the_compiled_model_is_one_graph_and_gives_the_eager_result(what):
    model = shallow_model()
    inputs = prepare(speech(1.0), speech(0.7))
    if what == "forward":
        compiled = torch.compile(model, fullgraph=True)(**inputs)
        eager = model(**inputs)
        assert torch.equal(compiled.audio_codes, eager.audio_codes)
        assert (compiled.audio_values - eager.audio_values).abs().max() < 1e-4
    elif what == "encode":
        assert torch.equal(torch.compile(model.encode, fullgraph=True)(**inputs)[0], model.encode(**inputs)[0])
    else:
        codes = model.encode(**inputs).audio_codes
        compiled = torch.compile(model.decode, fullgraph=True)(codes).audio_values
        assert (compiled - model.decode(codes).audio_values).abs().max() < 1e-4


@needs_compiler
def test_the_compiled_model_computes_features_inside_too():
    model = shallow_model()
    wave = prepare(speech(1.0))["input_values"]
    assert torch.equal(torch.compile(model, fullgraph=True)(wave).audio_codes, model(wave).audio_codes)


@pytest.mark.gradients
def test_gradients_reach_every_parameter_that_computes(tiny):
    model = tiny_model()
    model(**prepare(speech(0.5))).audio_values.square().sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"semantic_encoder.masked_spec_embed"}


def test_a_saved_model_loads_with_the_same_weights_and_codes(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    loaded = Xcodec2Model.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.state_dict().keys() == tiny.state_dict().keys()
    inputs = prepare(speech(1.0))
    assert torch.equal(loaded.encode(**inputs).audio_codes, tiny.encode(**inputs).audio_codes)
    assert loaded.config.to_dict()["downsampling_ratios"] == tiny.config.downsampling_ratios


def test_transformers_reads_what_we_save(tiny, tmp_path):
    reference = pytest.importorskip("transformers.models.xcodec2", reason="needs pip install --upgrade transformers")
    tiny.save_pretrained(tmp_path)
    theirs = reference.Xcodec2Model.from_pretrained(tmp_path)
    inputs = prepare(speech(1.0))
    assert torch.equal(theirs.encode(**inputs).audio_codes.long(), tiny.encode(**inputs).audio_codes)


def test_device_map_auto(tiny, tmp_path):
    pytest.importorskip("accelerate", reason="needs pip install accelerate")
    tiny.save_pretrained(tmp_path)
    placed = Xcodec2Model.from_pretrained(tmp_path, device_map="auto")
    inputs = prepare(speech(0.5)).to(placed.device, placed.dtype)
    assert torch.equal(placed.encode(**inputs).audio_codes.cpu(), tiny.encode(**inputs).audio_codes.cpu())


def test_the_auto_classes_are_ours_only_once_registered(tiny, tmp_path):
    pytest.importorskip("transformers.models.xcodec2", reason="needs pip install --upgrade transformers")
    tiny.save_pretrained(tmp_path)
    Xcodec2FeatureExtractor().save_pretrained(tmp_path)
    code = f"""
import xcodec
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from xcodec.models.xcodec2 import Xcodec2Model
print(type(AutoModel.from_pretrained({str(tmp_path)!r})).__module__)
xcodec.register_auto_classes()
for auto in (AutoConfig, AutoModel, AutoFeatureExtractor):
    print(type(auto.from_pretrained({str(tmp_path)!r})).__module__)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, *after = shown.stdout.split()
    assert before == "transformers.models.xcodec2.modeling_xcodec2"
    assert after == [f"xcodec.models.xcodec2.{name}" for name in ("configuration", "modeling", "feature_extraction")]


def test_an_unsupported_checkpoint_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "xcodec"}')
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is of model_type 'xcodec', and its tensors are weight"):
        Xcodec2Model.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "model_class", "parameters"),
    [
        (Xcodec2Config(), Xcodec2Model, 629_281_706),
        (XcodecConfig(), XcodecModel, 160_698_625),
        (XcodecConfig(semantic_model_config={"model_type": "wavlm"}), XcodecModel, 160_708_849),
    ],
)
def test_the_default_configurations_have_the_released_sizes(config, model_class, parameters):
    """The numbers of the README's model table."""
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in model_class(config).parameters()) == parameters
