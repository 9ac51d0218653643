"""XcodecModel and its feature extractor: arguments, outputs, errors, precision, compilation, saving."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import DacConfig, HubertConfig, WavLMConfig

from builders import needs_compiler, speech
from xcodec import CheckpointError, InputError, Xcodec2Model, XcodecConfig, XcodecFeatureExtractor, XcodecModel
from xcodec.models import load_model
from xcodec.models.identity import fingerprint_checkpoint, fingerprint_model
from xcodec.models.xcodec import XcodecDecoderOutput, XcodecEncoderOutput, XcodecOutput
from xcodec_builders import KINDS, TINY_ACOUSTIC, TINY_SEMANTIC, prepare_xcodec, tiny_xcodec, xcodec_of_fewest_layers


@pytest.fixture(scope="module")
def model() -> XcodecModel:
    with torch.inference_mode():
        return tiny_xcodec()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("xcodec")
    model.save_pretrained(path)
    XcodecFeatureExtractor().save_pretrained(path)
    return path


@pytest.mark.parametrize("extractors", ["ours", "transformers'"])
def test_the_documented_example(folder, extractors):
    """The usage example of transformers' documentation, on a local checkpoint."""
    auto = XcodecFeatureExtractor if extractors == "ours" else transformers.AutoFeatureExtractor
    model = XcodecModel.from_pretrained(folder)
    feature_extractor = auto.from_pretrained(folder)
    audio_sample = speech(samples=93680)
    inputs = feature_extractor(
        raw_audio=audio_sample, sampling_rate=feature_extractor.sampling_rate, return_tensors="pt"
    )
    encoder_outputs = model.encode(inputs["input_values"])
    decoder_outputs = model.decode(encoder_outputs.audio_codes)
    audio_values = decoder_outputs.audio_values
    assert encoder_outputs.audio_codes.shape == (1, 8, 293)
    assert audio_values.shape == (1, 1, 93760)
    assert torch.allclose(model(inputs["input_values"]).audio_values, audio_values, atol=1e-6)
    outputs = model(**inputs)
    assert torch.equal(outputs.audio_codes, encoder_outputs.audio_codes)
    assert outputs.audio_values.shape == (1, 1, 93760)


def test_the_documented_snippet_that_writes_what_is_to_be_compared(folder, tmp_path):
    model = XcodecModel.from_pretrained(folder)
    feature_extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    audio_sample = speech(1.0)
    inputs = feature_extractor(raw_audio=audio_sample, sampling_rate=16000, return_tensors="pt")
    audio_values = model(inputs["input_values"]).audio_values

    original = audio_sample
    reconstruction = audio_values[0].cpu().detach().numpy()
    sampling_rate = feature_extractor.sampling_rate
    sf.write(tmp_path / "original.wav", original, sampling_rate)
    sf.write(tmp_path / "reconstruction.wav", reconstruction.T, sampling_rate)
    for name in ("original.wav", "reconstruction.wav"):
        info = sf.info(tmp_path / name)
        assert (info.samplerate, info.channels, info.frames) == (16000, 1, 16000)


def test_the_documented_example_of_the_configuration():
    with torch.device("meta"):  # the released size, without its memory
        configuration = XcodecConfig()
        model = XcodecModel(configuration)
        configuration = model.config
    assert configuration.target_bandwidths == [0.5, 1, 1.5, 2, 4]


@pytest.mark.parametrize("extractors", ["ours", "transformers'"])
def test_the_documented_example_of_the_forward_pass(folder, extractors):
    """It gives no sampling rate, and unpacks all that the feature extractor returns."""
    auto = XcodecFeatureExtractor if extractors == "ours" else transformers.AutoFeatureExtractor
    model = XcodecModel.from_pretrained(folder)
    feature_extractor = auto.from_pretrained(folder)
    audio_sample = speech(1.0)
    inputs = feature_extractor(raw_audio=audio_sample, return_tensors="pt")
    outputs = model(**inputs)
    audio_codes = outputs.audio_codes
    audio_values = outputs.audio_values
    assert audio_codes.shape == (1, 8, 50)
    assert audio_values.shape == (1, 1, 16000)


def test_outputs_have_the_documented_fields_shapes_and_dtypes(model):
    inputs = prepare_xcodec(speech(1.0), speech(2.0))
    encoded = model.encode(**inputs)
    assert isinstance(encoded, XcodecEncoderOutput)
    assert (encoded.audio_codes.shape, encoded.audio_codes.dtype) == ((2, 8, 100), torch.int64)
    assert (encoded.audio_codes_mask.shape, encoded.audio_codes_mask.dtype) == ((2, 1, 100), torch.int32)
    assert model.encode(inputs["input_values"]).audio_codes_mask is None
    assert isinstance(model.decode(encoded.audio_codes), XcodecDecoderOutput)
    output = model(**inputs)
    assert isinstance(output, XcodecOutput)
    assert (output.audio_values.shape, output.audio_values.dtype) == ((2, 1, 32000), torch.float32)
    assert list(output.keys()) == ["audio_codes", "audio_values", "audio_codes_mask"]
    assert list(model(inputs["input_values"]).keys()) == ["audio_codes", "audio_values"]


def test_return_dict_false_gives_what_transformers_gives(model):
    inputs = prepare_xcodec(speech(0.5))
    output = model(**inputs)
    codes, values = model(**inputs, return_dict=False)
    assert torch.equal(codes, output.audio_codes)
    assert torch.equal(values, output.audio_values)
    assert torch.equal(model.encode(**inputs, return_dict=False), codes)
    assert torch.equal(model.decode(codes, return_dict=False), values)


def test_given_codes_are_decoded_instead_of_the_input(model):
    inputs = prepare_xcodec(speech(1.0), speech(2.0))
    other = model.encode(**prepare_xcodec(speech(1.0)[::-1], speech(2.0)[::-1]), bandwidth=2)
    output = model(**inputs, audio_codes=other.audio_codes)
    assert torch.equal(output.audio_codes, other.audio_codes)
    expected = model.decode(other.audio_codes, audio_codes_mask=other.audio_codes_mask).audio_values
    assert torch.equal(output.audio_values, expected)


def test_a_bandwidth_can_be_lowered_after_encoding(model):
    inputs = prepare_xcodec(speech(2.0))
    whole = model.encode(**inputs).audio_codes
    for bandwidth, k in {0.5: 1, 1: 2, 1.5: 3, 2: 4, 4: 8}.items():
        lower = model.encode(**inputs, bandwidth=bandwidth).audio_codes
        assert torch.equal(lower, whole[:, :k])
        assert model.decode(whole[:, :k]).audio_values.shape == (1, 1, 32000)
    assert model.decode(whole[:, :5]).audio_values.shape == (1, 1, 32000), "not only the bandwidths of the config"
    assert not torch.equal(model.decode(whole[:, :4]).audio_values, model.decode(whole).audio_values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_values": torch.zeros(1, 2, 640)}, "Audio must be mono, but got 2 channels; downmix it first"),
        (
            {"input_values": torch.zeros(1, 640)},
            r"expected floating-point samples of shape \(batch, 1, samples\), at least one, got .* \(1, 640\)",
        ),
        ({"input_values": torch.zeros(1, 1, 640, dtype=torch.int16)}, "got torch.int16"),
        ({"input_values": torch.zeros(1, 1, 0)}, "at least one, got"),
        ({"input_values": [[[0.0]]]}, "expected a torch tensor, got list"),
        (
            {"input_values": torch.full((1, 1, 640), torch.nan)},
            "gives no codes: it holds samples that are NaN, infinite",
        ),
        (
            {"input_values": torch.zeros(1, 1, 640), "bandwidth": 3},
            r"doesn't support the bandwidth 3. Select one of 0.5, 1, 1.5, 2, 4 \(kbit/s\)",
        ),
        (
            {"input_values": torch.zeros(1, 1, 640), "output_logits": True},
            "output_logits: not known here",
        ),
        ({"input_values": torch.zeros(1, 1, 79)}, "79 samples are too few for one code; pad them with zeros to 320"),
        (
            {"input_values": torch.zeros(2, 1, 640), "padding_mask": torch.ones(2, 2)},
            r"padding_mask: expected shape \(2, 640\) or \(2, 1, 640\), got \(2, 2\)",
        ),
        (
            {"input_values": torch.zeros(1, 1, 640), "padding_mask": torch.tensor([0, 1]).repeat_interleave(320)[None]},
            "padding_mask: expected ones, at least one, followed by zeros in every row",
        ),
    ],
)
def test_what_encode_cannot_read_is_an_error_that_says_why(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model.encode(**arguments)
    with pytest.raises(ValueError, match=message):  # what transformers raises
        model(**arguments)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(8, 5, dtype=torch.long), r"expected integers of shape \(batch, 1 to 8, codes\).*\(8, 5\)"),
        (torch.zeros(1, 9, 5, dtype=torch.long), r"\(batch, 1 to 8, codes\), got torch.int64 \(1, 9, 5\)"),
        (torch.zeros(1, 0, 5, dtype=torch.long), r"got torch.int64 \(1, 0, 5\)"),
        (torch.zeros(1, 8, 5), "got torch.float32"),
        (torch.zeros(1, 8, 0, dtype=torch.long), "got torch.int64"),
        (torch.zeros(1, 8, 5, dtype=torch.bool), "got torch.bool"),
        (torch.full((1, 8, 5), 1024), r"expected values in \[0, 1024\), got 1024 to 1024"),
        (torch.full((1, 8, 5), -1), "got -1 to -1"),
    ],
)
def test_what_decode_cannot_read_is_an_error_that_says_why(model, codes, message):
    with pytest.raises(InputError, match=message):
        model.decode(codes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target_bandwidths": [4, 2]}, "expected kbit/s above 0, ascending"),
        ({"target_bandwidths": [0.1]}, "0.1 kbit/s is less than one codebook of 1024 codes at 50 Hz takes"),
        ({"strides": [1]}, r"strides=\[1\] and channel_ratios=\[1, 1\]: expected one of each per block"),
        ({"kernel_size": 4}, "kernel_size=4: expected an odd number"),
        ({"unit_kernel_size": 2}, "unit_kernel_size=2: expected an odd number"),
        ({"channel_ratios": [1, 2]}, "expected 1 as the last one"),
        ({"codebook_dim": 100}, r"codebook_dim=100; expected .* = 1024"),
        ({"semantic_model_config": {"model_type": "whisper"}}, "is 'hubert' or 'wavlm'; .* says 'whisper'"),
        ({"semantic_model_config": DacConfig()}, "semantic_model_config says 'dac'"),
        ({"acoustic_model_config": {"model_type": "encodec"}}, "is 'dac'; acoustic_model_config says 'encodec'"),
    ],
)
def test_configurations_that_fit_nothing_are_errors(fields, message):
    with pytest.raises(InputError, match=message):
        XcodecConfig(**fields)


@pytest.mark.parametrize(
    ("semantic", "message"),
    [
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm=True: only False is supported"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm='batch': 'group' or 'layer'"),
        ({"num_attention_heads": 5}, "hidden_size=32 is not a multiple of num_attention_heads=5"),
        ({"model_type": "wavlm", "max_bucket_distance": 80}, "max_bucket_distance=80: expected more than a quarter"),
    ],
)
def test_semantic_models_that_are_not_supported_are_errors(semantic, message):
    config = XcodecConfig(semantic_model_config=TINY_SEMANTIC | semantic, acoustic_model_config=TINY_ACOUSTIC)
    with pytest.raises(InputError, match=message):
        XcodecModel(config)


def test_encoders_that_do_not_keep_step_are_an_error():
    fields = {"downsampling_ratios": [8, 5, 4], "upsampling_ratios": [8, 5, 4]}
    config = XcodecConfig(semantic_model_config=TINY_SEMANTIC, acoustic_model_config=TINY_ACOUSTIC | fields)
    with pytest.raises(InputError, match=r"the acoustic encoder makes \d+ codes where the semantic one makes 10:"):
        XcodecModel(config).encode(torch.zeros(1, 1, 3200))


def test_nested_configurations_may_be_objects_dicts_or_nothing():
    config = XcodecConfig()
    assert isinstance(config.acoustic_model_config, DacConfig)
    assert isinstance(config.semantic_model_config, HubertConfig)
    assert (config.hop_length, config.num_quantizers, config.hidden_size, config.sampling_rate) == (320, 8, 1024, 16000)
    dac, wavlm = DacConfig(), WavLMConfig(num_hidden_layers=3)
    given = XcodecConfig(acoustic_model_config=dac, semantic_model_config=wavlm)
    assert given.acoustic_model_config is dac
    assert given.semantic_model_config is wavlm
    partial = XcodecConfig(acoustic_model_config={"encoder_hidden_size": 8}).acoustic_model_config
    assert (partial.encoder_hidden_size, partial.hidden_size, list(partial.downsampling_ratios)) == (
        8,
        256,
        [8, 5, 4, 2],
    )


def test_a_config_survives_its_file(tmp_path):
    config = XcodecConfig(semantic_model_config={"model_type": "wavlm", "num_hidden_layers": 3}, codebook_size=512)
    config.save_pretrained(tmp_path)
    again = XcodecConfig.from_pretrained(tmp_path)
    assert isinstance(again.semantic_model_config, WavLMConfig)
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_model_gives_the_eager_result(kind):
    model = xcodec_of_fewest_layers(kind)
    inputs = prepare_xcodec(speech(1.0), speech(0.4))
    eager = model(**inputs)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(**inputs)
    assert torch.equal(compiled.audio_codes, eager.audio_codes)
    assert (compiled.audio_values - eager.audio_values).abs().max() < 1e-4


def test_compiled_halves_give_the_eager_result_at_a_bandwidth():
    model = xcodec_of_fewest_layers("hubert")
    inputs = prepare_xcodec(speech(1.0), speech(0.4))
    eager = model(**inputs)
    encode = torch.compile(model.encode, fullgraph=True, backend="aot_eager")
    assert torch.equal(encode(**inputs, bandwidth=0.5).audio_codes, eager.audio_codes[:, :1])
    decode = torch.compile(model.decode, fullgraph=True, backend="aot_eager")
    decoded = decode(eager.audio_codes, audio_codes_mask=eager.audio_codes_mask).audio_values
    assert (decoded - eager.audio_values).abs().max() < 1e-4


@needs_compiler
def test_a_model_compiled_to_machine_code_gives_the_eager_result():
    model = xcodec_of_fewest_layers("wavlm")
    wave = prepare_xcodec(speech(0.5))["input_values"]
    eager = model(wave)
    compiled = torch.compile(model, fullgraph=True)(wave)
    assert torch.equal(compiled.audio_codes, eager.audio_codes)
    assert (compiled.audio_values - eager.audio_values).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_stays_close(model, folder, dtype):
    half = XcodecModel.from_pretrained(folder, dtype=dtype).eval()
    assert half.dtype == dtype
    inputs = prepare_xcodec(speech(2.0), speech(1.0))
    output = half(**inputs)
    exact = model.decode(output.audio_codes, audio_codes_mask=output.audio_codes_mask).audio_values
    error = (output.audio_values.float() - exact).square().mean()
    assert 10 * torch.log10(exact.square().mean() / error) > 15  # dB
    assert (output.audio_codes[:, 0] == model.encode(**inputs).audio_codes[:, 0]).float().mean() > 0.8


@pytest.mark.gradients
def test_the_decoder_can_be_trained_and_the_semantic_model_is_frozen():
    model = tiny_xcodec()
    model(**prepare_xcodec(speech(0.5))).audio_values.square().sum().backward()
    with_gradient = {name.split(".")[0] for name, x in model.named_parameters() if x.grad is not None}
    assert with_gradient == {"acoustic_decoder", "fc2"}


# Checkpoints


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_go_to_transformers_and_come_back(kind, tmp_path):
    model = tiny_xcodec(kind)
    model.save_pretrained(tmp_path / "ours")
    theirs = transformers.XcodecModel.from_pretrained(tmp_path / "ours").eval()
    # Older ones read every semantic model as a HuBERT, or count the last state of a large one after its norm.
    is_of_kind = type(theirs.config.semantic_model_config) is type(model.config.semantic_model_config)
    if not is_of_kind or (kind == "hubert-large" and not theirs.semantic_model.can_record_outputs):
        pytest.skip("needs pip install --upgrade transformers")
    wave = prepare_xcodec(speech(1.0))["input_values"]
    expected = model(wave)
    assert torch.equal(theirs.encode(wave).audio_codes, expected.audio_codes)
    theirs.save_pretrained(tmp_path / "theirs")
    again = XcodecModel.from_pretrained(tmp_path / "theirs")
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], x) for name, x in model.state_dict().items())
    assert torch.equal(again(wave).audio_values, expected.audio_values)


def test_the_older_spelling_of_weight_norm_is_read(model, folder, tmp_path):
    """As transformers 5.0 writes it."""
    tensors = load_file(folder / "model.safetensors")
    pairs = {f"parametrizations.weight.original{i}": f"weight_{part}" for i, part in enumerate("gv")}
    for ours, older in pairs.items():
        tensors[f"semantic_model.encoder.pos_conv_embed.conv.{older}"] = tensors.pop(
            f"semantic_model.encoder.pos_conv_embed.conv.{ours}"
        )
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    again = XcodecModel.from_pretrained(tmp_path)
    assert all(torch.equal(again.state_dict()[name], x) for name, x in model.state_dict().items())
    assert fingerprint_checkpoint(tmp_path, model.config, "one") == fingerprint_model(model, "one")


def test_the_identity_follows_what_decides_the_outputs(model):
    other = XcodecConfig.from_dict(model.config.to_dict() | {"transformers_version": "5.0.0", "initializer_range": 0.1})
    assert other.architecture() == model.config.architecture()
    semantic = model.config.semantic_model_config.to_dict() | {"layerdrop": 0.7}
    assert XcodecConfig(**(model.config.to_dict() | {"semantic_model_config": semantic})).architecture() == (
        model.config.architecture()
    )
    for field, value in {"codebook_size": 512, "strides": [1], "target_bandwidths": [0.5, 2]}.items():
        changed = XcodecConfig(
            **(
                XcodecConfig().to_dict() | {field: value, "channel_ratios": [1] * len(value)}
                if field == "strides"
                else XcodecConfig().to_dict() | {field: value}
            )
        )
        assert changed.architecture() != XcodecConfig().architecture(), field
    assert XcodecConfig(semantic_model_config={"model_type": "wavlm"}).architecture() != XcodecConfig().architecture()


def test_a_codebook_that_is_missing_or_reshaped_is_named(folder, tmp_path):
    model = XcodecModel.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["quantizer.quantizers.7.codebook.embed"]
    tensors["quantizer.quantizers.0.codebook.embed"] = torch.zeros(1024, 7)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 missing: quantizer\.quantizers\.7\.codebook\.embed; 1 of another"):
        XcodecModel.from_pretrained(tmp_path)


def test_a_checkpoint_of_the_other_family_is_told(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "xcodec"}')
    save_file({"fc_encoder.bias": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="of model_type 'xcodec2', by its tensors' names; XcodecModel reads"):
        XcodecModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type", ["xcodec", "xcodec2"])
def test_an_original_xcodec2_checkpoint_is_told_by_its_tensors_names(tmp_path, model_type):
    """Released ones say either model_type."""
    config = {"model_type": model_type, "architectures": ["XCodec2Model"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"CodecEnc.conv_blocks.0.bias": torch.zeros(48)}, tmp_path / "model.safetensors")
    for load in (XcodecModel.from_pretrained, Xcodec2Model.from_pretrained, load_model):
        with pytest.raises(CheckpointError, match=r"is an original X-Codec2 checkpoint.*xcodec convert"):
            load(tmp_path)


def test_load_model_finds_the_family_and_its_extractor(folder, tmp_path):
    model, feature_extractor = load_model(folder)
    assert isinstance(model, XcodecModel)
    assert isinstance(feature_extractor, XcodecFeatureExtractor)
    model.save_pretrained(tmp_path)
    assert load_model(tmp_path)[1].hop_length == 320, "without preprocessor_config.json"


def test_a_config_that_describes_no_model_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "xcodec", "target_bandwidths": [4, 2]}')
    save_file({"encoder_semantic.conv.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"describes no model: target_bandwidths=\[4, 2\]"):
        XcodecModel.from_pretrained(tmp_path)


def test_device_map_auto(model, folder):
    pytest.importorskip("accelerate", reason="needs pip install accelerate")
    placed = XcodecModel.from_pretrained(folder, device_map="auto")
    inputs = prepare_xcodec(speech(0.5)).to(placed.device)
    assert torch.equal(placed.encode(**inputs).audio_codes.cpu(), model.encode(**inputs.to("cpu")).audio_codes)


def test_the_auto_classes_are_ours_only_once_registered(folder):
    """But for the feature extractor: the checkpoints themselves name transformers'."""
    code = f"""
import xcodec
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
print(type(AutoModel.from_pretrained({str(folder)!r})).__module__)
xcodec.register_auto_classes()
for auto in (AutoConfig, AutoModel, AutoFeatureExtractor):
    print(type(auto.from_pretrained({str(folder)!r})).__module__)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, *after = shown.stdout.split()
    assert before == "transformers.models.xcodec.modeling_xcodec"
    extractor = "transformers.models.dac.feature_extraction_dac"
    assert after == ["xcodec.models.xcodec.configuration", "xcodec.models.xcodec.modeling", extractor]


# The feature extractor


def test_clips_come_in_any_form():
    wave = speech(samples=700)
    expected = prepare_xcodec(wave)["input_values"]
    assert expected.shape == (1, 1, 960)
    extractor = XcodecFeatureExtractor()

    def prepared(clip, **arguments):
        return extractor(clip, sampling_rate=16000, return_tensors="pt", **arguments)["input_values"]

    for clip in (wave, wave.astype(np.float64), torch.from_numpy(wave), wave[None], wave.tolist(), [wave]):
        assert torch.equal(prepared(clip), expected)
    assert torch.equal(extractor(audio=wave, sampling_rate=16000, return_tensors="pt")["input_values"], expected)
    pcm = np.round(wave * 32768).astype(np.int16)
    assert torch.equal(prepared(pcm), expected), "PCM is scaled"


def test_arrays_and_lists_instead_of_tensors():
    clips = [speech(samples=n) for n in (300, 700)]
    arrays = prepare_xcodec(*clips, return_tensors="np")
    assert (arrays["input_values"].shape, arrays["padding_mask"].shape) == ((2, 1, 960), (2, 960))
    assert arrays["padding_mask"].sum(-1).tolist() == [300, 700]
    lists = prepare_xcodec(*clips, return_tensors=None)
    assert [x.shape for x in lists["input_values"]] == [(1, 960)] * 2
    unpadded = prepare_xcodec(*clips, return_tensors=None, padding=False)
    assert [x.shape for x in unpadded["input_values"]] == [(1, 300), (1, 700)]
    assert "padding_mask" not in unpadded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"raw_audio": np.zeros((2, 100))}, r"expected one channel.*got \(2, 100\); downmix it first"),
        ({"raw_audio": np.zeros(100), "sampling_rate": 44100}, "the audio is at 44100 Hz, the model reads 16000 Hz"),
        ({"raw_audio": np.zeros(100), "padding": True, "truncation": True}, "Both padding and truncation were set"),
        ({"raw_audio": np.zeros(100), "audio": np.zeros(100)}, "another name of `audio`"),
        ({}, "no audio was given"),
        ({"raw_audio": np.zeros(100), "truncation": True}, "need `max_length`"),
        (
            {"raw_audio": [np.zeros(100), np.zeros(101)], "padding": False},
            r"\[100, 101\] samples\) and cannot form one",
        ),
        ({"raw_audio": np.array([0.0, np.nan])}, "clip 0 holds 1 samples that are NaN or infinite"),
    ],
)
def test_what_the_extractor_cannot_read_is_an_error_that_says_why(arguments, message):
    with pytest.raises(InputError, match=message):
        XcodecFeatureExtractor()(**({"sampling_rate": 16000, "return_tensors": "pt"} | arguments))
    with pytest.raises(InputError, match="expected 1"):
        XcodecFeatureExtractor(feature_size=2)
