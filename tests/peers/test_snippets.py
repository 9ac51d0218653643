"""What the examples of transformers' documentation do runs here with another import line, on checkpoints made here."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import transformers

import builders
from xcodec import (
    AutoFeatureExtractor,
    AutoModel,
    HarmonicXcodec2Model,
    Xcodec2Config,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    XcodecConfig,
    XcodecFeatureExtractor,
    XcodecModel,
)
from xcodec_builders import tiny_xcodec


@pytest.fixture(scope="module")
def xcodec2_id(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("xcodec2")
    builders.tiny_model().save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def xcodec_id(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("xcodec")
    with torch.inference_mode():
        tiny_xcodec().save_pretrained(folder)
    transformers.DacFeatureExtractor(sampling_rate=16000, hop_length=320).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [builders.speech(0.7), builders.speech(0.5)]


def test_auto_classes_encode_and_decode_a_clip(xcodec2_id, clips):
    model = AutoModel.from_pretrained(xcodec2_id, device_map="auto")
    feature_extractor = AutoFeatureExtractor.from_pretrained(xcodec2_id)
    assert type(model) is Xcodec2Model
    assert type(feature_extractor) is Xcodec2FeatureExtractor
    inputs = feature_extractor(audio=clips[0], sampling_rate=feature_extractor.sampling_rate, return_tensors="pt").to(
        model.device, model.dtype
    )
    audio_codes = model.encode(**inputs).audio_codes
    audio_values = model.decode(audio_codes).audio_values
    output = model(**inputs)
    assert audio_codes.shape == (1, 1, inputs["input_values"].shape[-1] // 320)
    assert torch.equal(output.audio_codes, audio_codes)
    assert output.audio_values.shape == audio_values.shape == inputs["input_values"].shape


def test_auto_classes_encode_and_decode_a_batch(xcodec2_id, clips):
    model = AutoModel.from_pretrained(xcodec2_id, device_map="auto")
    feature_extractor = AutoFeatureExtractor.from_pretrained(xcodec2_id)
    inputs = feature_extractor(audio=clips, sampling_rate=feature_extractor.sampling_rate, return_tensors="pt").to(
        model.device, model.dtype
    )
    encoded = model.encode(**inputs)
    assert encoded.audio_codes.shape[0] == 2
    assert model.decode(encoded.audio_codes).audio_values.shape == model(**inputs).audio_values.shape


def test_features_need_not_be_given(xcodec2_id, clips):
    model = Xcodec2Model.from_pretrained(xcodec2_id).to("cpu").eval()
    feature_extractor = AutoFeatureExtractor.from_pretrained(xcodec2_id)
    inputs = feature_extractor(
        raw_audio=clips[0], sampling_rate=feature_extractor.sampling_rate, return_tensors="pt"
    ).to("cpu")
    audio_codes = model.encode(inputs["input_values"]).audio_codes
    output = model(inputs["input_values"])
    assert torch.equal(output.audio_codes, audio_codes)
    assert torch.equal(
        output.audio_values, model.decode(audio_codes).audio_values[..., : output.audio_values.shape[-1]]
    )


def test_x_codec_encodes_and_decodes_and_its_audio_is_written(xcodec_id, clips, tmp_path):
    model = XcodecModel.from_pretrained(xcodec_id)
    feature_extractor = AutoFeatureExtractor.from_pretrained(xcodec_id)
    assert type(feature_extractor) is XcodecFeatureExtractor
    assert type(AutoModel.from_pretrained(xcodec_id)) is XcodecModel
    inputs = feature_extractor(raw_audio=clips[0], sampling_rate=feature_extractor.sampling_rate, return_tensors="pt")
    audio_values = model.decode(model.encode(inputs["input_values"]).audio_codes).audio_values
    assert torch.equal(model(inputs["input_values"]).audio_values, audio_values)
    reconstruction = audio_values[0].cpu().detach().numpy()
    soundfile.write(tmp_path / "reconstruction.wav", reconstruction.T, feature_extractor.sampling_rate)
    assert soundfile.info(tmp_path / "reconstruction.wav").frames == inputs["input_values"].shape[-1]


def test_the_sampling_rate_may_be_left_out_and_the_features_passed_on_whole(xcodec_id, clips):
    model = XcodecModel.from_pretrained(xcodec_id)
    feature_extractor = AutoFeatureExtractor.from_pretrained(xcodec_id)
    outputs = model(**feature_extractor(raw_audio=clips[0], return_tensors="pt"))
    assert outputs.audio_codes.shape[:2] == (1, 8)
    assert outputs.audio_values.ndim == 3


@pytest.mark.parametrize(("config_class", "model_class"), [(XcodecConfig, XcodecModel), (Xcodec2Config, Xcodec2Model)])
def test_a_configuration_of_defaults_makes_a_model_that_knows_it(config_class, model_class):
    configuration = config_class()
    with torch.device("meta"):  # the released sizes
        model = model_class(configuration)
    assert model.config is configuration


def test_from_config_makes_ours_of_either_configuration():
    config = builders.tiny_model().config
    assert type(AutoModel.from_config(config)) is Xcodec2Model
    assert type(AutoModel.from_config(transformers.Xcodec2Config(**config.to_dict()))) is Xcodec2Model


def test_the_auto_classes_give_transformers_own_for_other_models_and_change_nothing_there(xcodec2_id, tmp_path):
    config = transformers.DacConfig(encoder_hidden_size=4, downsampling_ratios=[2, 2], decoder_hidden_size=16)
    transformers.DacModel(config).save_pretrained(tmp_path)
    transformers.DacFeatureExtractor().save_pretrained(tmp_path)
    assert type(AutoModel.from_pretrained(tmp_path)) is transformers.DacModel
    assert type(AutoModel.from_config(config)) is transformers.DacModel
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is transformers.DacFeatureExtractor
    code = (
        "import transformers, xcodec\n"
        f"name = {xcodec2_id!r}\n"
        "xcodec.AutoModel.from_pretrained(name), xcodec.AutoFeatureExtractor.from_pretrained(name)\n"
        "print(type(transformers.AutoModel.from_pretrained(name)).__module__)\n"
        "from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES as names\n"
        "print(getattr(transformers, names['xcodec2']).__module__)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(line.startswith("transformers.") for line in shown.splitlines())


def test_the_built_in_model_goes_by_its_name_everywhere():
    assert type(AutoModel.from_pretrained("mini")) is HarmonicXcodec2Model
    assert AutoFeatureExtractor.from_pretrained("mini").hop_length == 320
