"""On the same weights a single clip gives what transformers' X-Codec2 gives: codes identical, audio within 1e-4.

transformers' own feature extractor needs torchaudio, so its model reads our features, which test_fbank.py compares with
the original's.
"""

import pytest
import torch
from transformers.models.xcodec2 import Xcodec2Config as TheirConfig
from transformers.models.xcodec2 import Xcodec2Model as TheirModel

from builders import prepare, speech, tiny_model
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2Model


def transformers_twin(model: Xcodec2Model) -> TheirModel:
    """transformers' model with the very weights of ours; it is strict about names and shapes."""
    with torch.device("meta"):
        twin = TheirModel(TheirConfig(**model.config.to_dict()))
    twin.load_state_dict(model.state_dict(), assign=True)
    for module in twin.modules():  # its constants are buffers, which no checkpoint holds
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            module.to_empty(device="cpu", recurse=False)
            twin._init_weights(module)
    assert not any(tensor.is_meta for tensor in [*twin.parameters(), *twin.buffers()])
    return twin.eval()


def assert_parity(model: Xcodec2Model, clip, packed: bool = False) -> None:
    twin = transformers_twin(model)
    if packed:
        model.pack_weights()
    inputs = prepare(clip)
    ours = model(**inputs, output_latents=True)
    theirs = twin(**inputs, output_latents=True)
    assert torch.equal(ours.audio_codes, theirs.audio_codes)
    assert ours.audio_codes.unique().numel() > 0.5 * ours.audio_codes.numel(), "the codes hardly vary: a weak test"
    assert ours.latents.shape == theirs.latents.shape
    assert (ours.latents - theirs.latents).abs().max() < 1e-4
    assert ours.audio_values.shape == theirs.audio_values.shape
    assert theirs.audio_values.abs().max() > 0.2, "the audio is near silence: a weak test"
    assert (ours.audio_values - theirs.audio_values).abs().max() < 1e-4
    assert torch.equal(ours.audio_codes, model.encode(**inputs).audio_codes)
    decoded = model.decode(ours.audio_codes).audio_values
    assert (decoded - twin.decode(theirs.audio_codes).audio_values).abs().max() < 1e-4


def test_tiny_parity():
    assert_parity(tiny_model(), speech(12.0))


@pytest.mark.parametrize(
    "fields",
    [
        {"downsampling_ratios": [4, 8, 10], "encoder_hidden_size": 6},
        {"attention_bias": True},
        {"quantization_levels": [8, 5, 5, 5]},
        {"hidden_act": "gelu", "head_dim": 32},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_tiny_parity_with_other_shapes(fields):
    assert_parity(tiny_model(seed=1, **fields), speech(2.0))


def test_parity_in_an_equal_length_batch():
    model = tiny_model()
    twin = transformers_twin(model)
    inputs = prepare(*speech(4.0).reshape(2, -1))
    ours, theirs = model(**inputs), twin(**inputs)
    assert torch.equal(ours.audio_codes, theirs.audio_codes)
    assert (ours.audio_values - theirs.audio_values).abs().max() < 1e-4


def test_where_transformers_pads_a_batch_it_differs_from_single_clips_and_ours_does_not():
    """The reason for `lengths`: the same model, a short clip beside a long one."""
    model = tiny_model()
    twin = transformers_twin(model)
    short, long = speech(5.0), speech(8.0)
    alone, beside = prepare(short), prepare(short, long)
    num_codes = alone["input_features"].shape[1]
    expected = twin.encode(**alone).audio_codes
    assert torch.equal(model.encode(**beside).audio_codes[:1, :, :num_codes], expected)
    assert not torch.equal(twin.encode(**beside).audio_codes[:1, :, :num_codes], expected)


def test_the_config_is_transformers_field_by_field():
    ours, theirs = Xcodec2Config().to_dict(), TheirConfig().to_dict()
    unused = {"use_cache", "rope_parameters"}  # the decoder has neither a cache nor positions
    assert {key for key in theirs if key not in ours} <= unused
    for key in ours.keys() & theirs.keys() - unused:
        mine = list(ours[key]) if isinstance(ours[key], tuple) else ours[key]
        other = list(theirs[key]) if isinstance(theirs[key], tuple) else theirs[key]
        assert mine == other, key


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_parity_at_the_released_size(released, packed):
    assert_parity(released, speech(2.0), packed)
