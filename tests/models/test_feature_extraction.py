"""Xcodec2FeatureExtractor: what it takes, what it gives, and what it says of bad input."""

import numpy as np
import pytest
import torch

from builders import prepare, speech
from xcodec import CheckpointError, InputError, Xcodec2FeatureExtractor

extract = Xcodec2FeatureExtractor()


@pytest.mark.parametrize(("samples", "codes"), [(1, 1), (319, 1), (320, 2), (321, 2), (639, 2), (640, 3), (93680, 293)])
def test_a_clip_of_n_samples_gives_n_over_320_plus_one_codes(samples, codes):
    inputs = extract(np.zeros(samples), sampling_rate=16000, return_tensors="pt")
    assert inputs["input_values"].shape == (1, 1, 320 * codes)
    assert inputs["input_features"].shape == (1, codes, 160)
    assert inputs["padding_mask"].sum() == samples + 1
    assert inputs["input_features_mask"].sum() == codes


def test_a_batch_is_padded_on_the_right_to_its_longest_clip():
    inputs = prepare(speech(1.0), speech(2.0))
    assert inputs["input_values"].shape == (2, 1, 101 * 320)
    assert inputs["input_values"][0, 0, 16000:].eq(0).all()
    assert inputs["input_features"][0, 51:].eq(1.0).all(), "padding_value fills the features"
    assert inputs["input_features_mask"].sum(1).tolist() == [51, 101]


def test_every_kind_of_input_gives_the_same_values():
    clip = speech(0.5)
    expected = extract(clip, sampling_rate=16000, return_tensors="pt")
    for same in (
        torch.from_numpy(clip),
        clip[None],
        clip.astype(np.float64),
        clip.tolist(),
        [clip],
        [torch.from_numpy(clip)[None]],
        (clip * 32768).astype(np.int16),
        (clip * 32768).astype(np.int32) * 65536,
    ):
        inputs = extract(same, sampling_rate=16000, return_tensors="pt")
        assert torch.allclose(inputs["input_values"], expected["input_values"], atol=1e-6)
        assert torch.allclose(inputs["input_features"], expected["input_features"], atol=1e-3)
    by_other_name = extract(raw_audio=clip, sampling_rate=16000, return_tensors="pt")
    assert torch.equal(by_other_name["input_features"], expected["input_features"])
    with pytest.raises(InputError, match="give the audio once"):
        extract(clip, raw_audio=clip, sampling_rate=16000)


def test_eight_bit_pcm_is_centred():
    inputs = extract(np.array([128, 255, 0], np.uint8), sampling_rate=16000, return_tensors="pt")
    assert inputs["input_values"][0, 0, :3].tolist() == [0.0, 127 / 128, -1.0]


def test_numpy_and_list_outputs():
    clips = [speech(1.0), speech(2.0)]
    tensors = prepare(*clips)
    arrays = prepare(*clips, return_tensors="np")
    lists = prepare(*clips, return_tensors=None)
    for name, tensor in tensors.items():
        assert isinstance(arrays[name], np.ndarray)
        assert np.array_equal(arrays[name], tensor.numpy())
        assert isinstance(lists[name], list)
        assert np.array_equal(np.stack(lists[name]), tensor.numpy())


def test_without_padding_every_clip_keeps_its_length():
    lists = prepare(speech(1.0), speech(2.0), padding=False, return_tensors=None)
    assert [x.shape for x in lists["input_values"]] == [(1, 51 * 320), (1, 101 * 320)]
    assert [x.shape for x in lists["input_features"]] == [(51, 160), (101, 160)]
    assert [x.shape for x in lists["padding_mask"]] == [(51 * 320,), (101 * 320,)]
    with pytest.raises(InputError, match=r"keep their lengths \(\[51, 101\] codes\).*padding=True"):
        prepare(speech(1.0), speech(2.0), padding="do_not_pad")


def test_max_length_and_truncation_are_in_samples():
    clips = [speech(1.0), speech(3.0)]
    cut = prepare(*clips, max_length=32000, truncation=True)
    assert cut["input_values"].shape == (2, 1, 32000)
    assert cut["input_features_mask"].sum(1).tolist() == [51, 100]
    padded = prepare(*clips, max_length=80000, padding="max_length")
    assert padded["input_values"].shape == (2, 1, 80000)
    assert padded["input_features"].shape == (2, 250, 160)
    assert torch.equal(padded["input_features"][:, :151], prepare(*clips)["input_features"])
    assert prepare(*clips, max_length=32000, padding="max_length")["input_values"].shape[-1] == 151 * 320
    rounded = prepare(*clips, max_length=1000, truncation=True)
    assert rounded["input_values"].shape[-1] == 4 * 320, "rounded up to whole codes"
    with pytest.raises(InputError, match="need `max_length`"):
        prepare(*clips, truncation=True)
    with pytest.raises(InputError, match="need `max_length`"):
        prepare(*clips, padding="max_length")


def test_features_are_computed_on_the_device_asked_for():
    inputs = prepare(speech(0.5), device="cpu")
    assert {tensor.device.type for tensor in inputs.values()} == {"cpu"}
    assert inputs.to("cpu", torch.bfloat16)["input_values"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 100)), r"clip 0: expected one channel, .* got \(2, 100\); downmix it first"),
        (np.zeros((1, 1, 100)), r"expected one channel.*got \(1, 1, 100\)"),
        (np.zeros(0), "clip 0 has no samples"),
        ([np.zeros(5), np.array([0.0, np.nan, np.inf])], "clip 1 holds 2 samples that are NaN or infinite"),
        (np.zeros(5, bool), "clip 0: expected floating-point samples or PCM: .*bool"),
        (np.zeros(5, complex), "clip 0: expected floating-point samples or PCM: .*complex128"),
        (np.zeros(5, np.int64), "clip 0: expected floating-point samples or PCM: .*int64"),
        ([None], "clip 0: expected floating-point samples or PCM"),
        (["speech.wav"], "clip 0: expected floating-point samples or PCM"),
        ([], "an empty list"),
        ("speech.wav", "expected a numpy array, a torch tensor or a list of these, got str"),
        (None, "no audio was given"),
    ],
)
def test_bad_audio_is_an_error_that_says_what_is_wrong(audio, message):
    with pytest.raises(InputError, match=message):
        extract(audio, sampling_rate=16000)


def test_a_wrong_sampling_rate_is_an_error_and_none_a_warning(caplog):
    with pytest.raises(ValueError, match="the audio is at 44100 Hz, the model reads 16000 Hz; resample it first"):
        extract(speech(0.1), sampling_rate=44100)
    assert extract(speech(0.1))["input_values"]


def test_it_is_saved_and_loaded(tmp_path):
    Xcodec2FeatureExtractor(padding_value=0.5).save_pretrained(tmp_path)
    loaded = Xcodec2FeatureExtractor.from_pretrained(tmp_path)
    assert loaded.padding_value == 0.5
    assert (loaded.sampling_rate, loaded.hop_length, loaded.feature_size) == (16000, 320, 80)
    one, other = (e(speech(0.2), sampling_rate=16000, return_tensors="pt") for e in (extract, loaded))
    assert torch.equal(one["input_features"], other["input_features"])


def test_offline_the_error_says_what_was_tried(tmp_path):
    with pytest.raises(CheckpointError, match=r"no folder .*HKUSTAudio/xcodec2-hf.*hf download"):
        Xcodec2FeatureExtractor.from_pretrained("HKUSTAudio/xcodec2-hf", local_files_only=True, cache_dir=tmp_path)


def test_what_transformers_passes_around_is_taken_and_the_rest_refused():
    clip = speech(0.2)
    expected = prepare(clip)
    usual = prepare(clip, return_attention_mask=True, pad_to_multiple_of=320)
    assert torch.equal(usual["input_features"], expected["input_features"])
    with pytest.raises(InputError, match="pad_to_multiple_of=512: not known here"):
        prepare(clip, pad_to_multiple_of=512)
    for bad in (0, -1, 1000.5):
        with pytest.raises(InputError, match="expected a whole number of samples, at least 1"):
            prepare(clip, max_length=bad, truncation=True)


def test_either_byte_order_and_half_precision_are_read():
    clip = speech(0.2)
    expected = prepare(clip)["input_values"]
    assert torch.equal(prepare(clip.astype(">f4"))["input_values"], expected)
    half = prepare(torch.from_numpy(clip).bfloat16())["input_values"]
    assert (half - expected).abs().max() < 0.01


def test_a_folder_without_its_file_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no preprocessor_config\.json.*Xcodec2FeatureExtractor\(\)"):
        Xcodec2FeatureExtractor.from_pretrained(tmp_path)
