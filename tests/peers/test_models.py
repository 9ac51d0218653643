"""What transformers' own tests ask of every model, asked of ours; where ours differs on purpose, a test says so.

The sizes are those of transformers' tests of the two codecs: small ones, X-Codec2 with 16 samples a code.
"""

import inspect
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import DacConfig, HubertConfig

from xcodec import (
    CheckpointError,
    InputError,
    Xcodec2Config,
    Xcodec2Model,
    Xcodec2PreTrainedModel,
    XcodecConfig,
    XcodecModel,
    XcodecPreTrainedModel,
)
from xcodec.models.pretrained import StrictPreTrainedModel

Inputs = dict[str, Tensor]


def small_xcodec2() -> Xcodec2Config:
    semantic = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return Xcodec2Config(
        encoder_hidden_size=8,
        downsampling_ratios=(2, 2, 4),
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_hidden_layers=2,
        head_dim=8,
        quantization_dim=64,
        quantization_levels=(4, 4, 4, 4),
        semantic_model_config=semantic,
    )


def small_xcodec() -> XcodecConfig:
    semantic = HubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, conv_dim=(4,) * 7
    )
    acoustic = DacConfig(
        encoder_hidden_size=8, decoder_hidden_size=32, hidden_size=16, downsampling_ratios=[8, 5, 4, 2]
    )
    return XcodecConfig(acoustic_model_config=acoustic, semantic_model_config=semantic)


@pytest.fixture(params=["xcodec2", "xcodec"])
def case(request) -> tuple[StrictPreTrainedModel, Inputs]:
    """A small model of random weights, and what it reads."""
    torch.manual_seed(0)
    if request.param == "xcodec2":
        inputs = {"input_values": torch.rand(2, 1, 16 * 80), "input_features": torch.rand(2, 80, 160)}
        return Xcodec2Model(small_xcodec2()).eval(), inputs
    return XcodecModel(small_xcodec()).eval(), {"input_values": torch.rand(2, 1, 320 * 4)}


def tensors_of(output) -> dict[str, Tensor]:
    return {name: value for name, value in output.items() if value is not None}


def assert_same(found, expected) -> None:
    found, expected = tensors_of(found), tensors_of(expected)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-5)


def test_audio_is_as_long_as_the_input(case):
    model, inputs = case
    assert model(**inputs).audio_values.shape == inputs["input_values"].shape


def test_the_first_arguments_of_forward_are_transformers(case):
    model, _ = case
    names = list(inspect.signature(model.forward).parameters)
    if isinstance(model, Xcodec2Model):
        expected = ["input_values", "input_features", "padding_mask", "input_features_mask", "output_latents"]
    else:
        expected = ["input_values", "audio_codes", "bandwidth", "return_dict"]
    assert names[: len(expected)] == expected
    assert model.main_input_name == "input_values"
    assert isinstance(model, Xcodec2PreTrainedModel if isinstance(model, Xcodec2Model) else XcodecPreTrainedModel)


def test_a_call_repeated_gives_the_same(case):
    model, inputs = case
    assert_same(model(**inputs), model(**inputs))


def test_a_saved_model_computes_the_same_in_safetensors_and_as_a_pickled_state(case, tmp_path):
    model, inputs = case
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert_same(type(model).from_pretrained(tmp_path)(**inputs), model(**inputs))
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert_same(type(model).from_pretrained(tmp_path)(**inputs), model(**inputs))


def test_a_model_is_made_of_a_config_and_a_state_dict(case):
    model, inputs = case
    made = type(model).from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert_same(made(**inputs), model(**inputs))
    for arguments in ({"config": model.config}, {"state_dict": model.state_dict()}, {}):
        with pytest.raises(InputError, match="give both"):
            type(model).from_pretrained(None, **arguments)
    with pytest.raises(ValueError, match="give None as the name"):
        type(model).from_pretrained("mini", config=model.config, state_dict=model.state_dict())
    state = model.state_dict()
    del state["quantizer.project_in.bias" if isinstance(model, Xcodec2Model) else "fc.bias"]
    with pytest.raises(CheckpointError, match=r"the tensors of the state_dict .*1 missing: .*bias"):
        type(model).from_pretrained(None, config=model.config, state_dict=state)


def test_saving_puts_back_every_tensor_bit_by_bit(case, tmp_path):
    model, _ = case
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_that_do_not_lie_in_one_piece_are_saved(case, tmp_path):
    model, inputs = case
    linear = next(module for module in model.modules() if isinstance(module, nn.Linear))
    linear.weight.data = linear.weight.data.T.contiguous().T
    assert not linear.weight.is_contiguous()
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path)(**inputs), model(**inputs))


def test_tuples_hold_what_the_outputs_do(case):
    model, inputs = case
    found, expected = model(**inputs, return_dict=False), model(**inputs, return_dict=True)
    assert isinstance(found, tuple)
    for value, (name, tensor) in zip(found, tensors_of(expected).items(), strict=True):
        assert torch.equal(value, tensor), name


@pytest.mark.parametrize("wish", ["output_hidden_states", "output_attentions"])
def test_wishes_for_hidden_states_change_nothing_as_in_transformers(case, wish):
    model, inputs = case
    assert_same(model(**inputs, **{wish: True}), model(**inputs))
    codes = model.encode(**inputs, **{wish: True}).audio_codes
    assert torch.equal(codes, model.encode(**inputs).audio_codes)
    assert torch.equal(model.decode(codes, **{wish: True}).audio_values, model.decode(codes).audio_values)


def test_what_nobody_knows_is_refused_though_transformers_ignores_it(case):
    """A misspelled argument would change nothing without a word."""
    model, inputs = case
    with pytest.raises(InputError, match="output_hidden_state: not known"):
        model(**inputs, output_hidden_state=True)


def test_a_batch_gives_each_clip_what_it_gets_alone(case):
    model, inputs = case
    both = model(**inputs)
    for i in range(2):
        alone = model(**{name: tensor[i : i + 1] for name, tensor in inputs.items()})
        assert_same(alone, {name: tensor[i : i + 1] for name, tensor in tensors_of(both).items()})


def test_every_tensor_is_a_parameter_or_a_buffer(case):
    model, _ = case
    known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for name, module in model.named_modules():
        loose = [key for key, value in vars(module).items() if isinstance(value, Tensor) and id(value) not in known]
        assert not loose, f"{name}: {loose}"


def test_models_are_built_on_the_meta_device_and_under_a_device_context(case, tmp_path):
    model, inputs = case
    with torch.device("meta"):
        assert {tensor.device.type for tensor in type(model)(model.config).state_dict().values()} == {"meta"}
    model.save_pretrained(tmp_path)
    with torch.device("cpu"):
        assert_same(type(model).from_pretrained(tmp_path)(**inputs), model(**inputs))


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_the_dtype_may_be_given_by_either_name(case, tmp_path, name):
    model, _ = case
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, **{name: torch.bfloat16})
    assert loaded.dtype == torch.bfloat16


def test_a_new_model_has_no_number_that_is_none_and_its_config_goes_round(case):
    model, _ = case
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    again = type(model.config).from_dict(json.loads(model.config.to_json_string()))
    assert again.to_dict() == model.config.to_dict()


def test_a_tensor_of_another_shape_is_an_error_even_if_told_to_ignore_it(case, tmp_path):
    """transformers draws such a tensor anew, and the codes would be noise."""
    model, _ = case
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    save_file(tensors | {name: torch.zeros(3, 3)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 of another shape"):
        type(model).from_pretrained(tmp_path, ignore_mismatched_sizes=True)


def test_a_missing_tensor_is_an_error_where_transformers_draws_it_anew(case, tmp_path):
    model, _ = case
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 missing"):
        type(model).from_pretrained(tmp_path)


def test_no_checkpoint_is_an_error_that_callers_of_transformers_catch(case, tmp_path):
    model, _ = case
    model.config.save_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"holds neither model\.safetensors, nor pytorch_model\.bin"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.gradients
def test_gradients_reach_every_weight_between_codes_and_audio(case):
    model, inputs = case
    model.train()
    model(**inputs).audio_values.square().mean().backward()
    parts = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert "acoustic_decoder" in parts


def test_gradient_checkpointing_is_not_offered(case):
    """Training crops clips to a second or two, whose activations fit."""
    model, _ = case
    assert not model.supports_gradient_checkpointing


def test_a_codec_has_no_embeddings(case):
    model, _ = case
    with pytest.raises(NotImplementedError):
        model.get_input_embeddings()


@pytest.mark.parametrize("ratios", [(2, 2, 4), (3, 5), (7, 3), (2, 2, 4, 4, 10), (4, 4, 10)])
def test_any_hop_length_gives_what_transformers_gives_of_features_that_keep_step(ratios, tmp_path):
    import transformers

    config = small_xcodec2().to_dict() | {"downsampling_ratios": ratios}
    torch.manual_seed(0)
    theirs = transformers.Xcodec2Model(transformers.Xcodec2Config(**config)).eval()
    theirs.save_pretrained(tmp_path)
    ours = Xcodec2Model.from_pretrained(tmp_path).eval()
    inputs = {"input_values": torch.rand(2, 1, 9 * ours.hop_length), "input_features": torch.rand(2, 9, 160)}
    found, expected = ours(**inputs), theirs(**inputs)
    assert torch.equal(found.audio_codes, expected.audio_codes)
    torch.testing.assert_close(found.audio_values, expected.audio_values, rtol=1e-4, atol=1e-5)
    if ours.hop_length % 160:
        with pytest.raises(InputError, match="filter-bank frames, every 160 samples, do not keep step"):
            ours(inputs["input_values"])


def test_a_stride_of_one_is_refused_since_its_even_kernel_makes_a_step_more_than_it_reads():
    with pytest.raises(InputError, match=r"downsampling_ratios=\[1, 2\]: expected whole numbers of at least 2"):
        Xcodec2Config(downsampling_ratios=(1, 2))
