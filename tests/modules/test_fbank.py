"""The filter bank equals the original's, batched or not."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor

from builders import RECORDINGS, prepare, speech
from xcodec.audio import Audio
from xcodec.modules import fbank
from xcodec.modules.fbank import KaldiFbank, kaldi_mel_filters, normalize_over_time, stack_frames


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_log_mel_energies_equal_the_originals_on_real_speech(path):
    wave = Audio.read(path).samples[0]
    original = SeamlessM4TFeatureExtractor()
    expected = original._extract_fbank_features(wave.astype(np.float64))
    ours = KaldiFbank()(torch.tensor(wave)[None])[0].numpy()
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-3


def test_features_equal_the_originals_extractor():
    clip = speech(3.0)
    padded = np.pad(clip, (160, 320 - len(clip) % 320 + 160))
    expected = SeamlessM4TFeatureExtractor()(padded, sampling_rate=16000, return_tensors="pt").input_features
    ours = prepare(clip)["input_features"]
    assert ours.shape == expected.shape == (1, 151, 160)
    assert (ours - expected).abs().max() < 1e-3


def test_mel_filters_are_triangles_that_meet():
    filters = kaldi_mel_filters(80, 257, 16000)
    assert filters.shape == (257, 80)
    assert filters.min() == 0
    assert filters.max() <= 1
    inner = filters[2:240].sum(-1)  # between the first centre and the last, neighbours add up to one
    assert torch.allclose(inner, torch.ones_like(inner))


def test_a_clip_has_the_same_energies_in_any_batch():
    wave = torch.from_numpy(speech(2.0)).view(2, 16000)
    together = KaldiFbank()(wave)
    assert torch.allclose(together[1], KaldiFbank()(wave[1:])[0], atol=1e-4)


def test_long_audio_is_computed_in_blocks_of_frames(monkeypatch):
    wave = torch.from_numpy(speech(1.0))[None]
    whole = KaldiFbank()(wave)
    monkeypatch.setattr(fbank, "FRAMES_PER_BLOCK", 7)
    assert torch.allclose(KaldiFbank()(wave), whole, atol=1e-4)  # threads may add in another order


def test_digital_silence_gives_the_floor_and_no_nan():
    energies = KaldiFbank()(torch.zeros(1, 4000))
    assert torch.all(energies == energies[0, 0, 0])
    assert normalize_over_time(energies, torch.tensor([energies.shape[1]])).eq(0).all()


def test_normalisation_counts_a_clips_own_frames_only():
    features = torch.randn(2, 30, 4)
    features[0, 20:] = 1e6
    normal = normalize_over_time(features, torch.tensor([20, 30]))
    own = features[0, :20]
    expected = (own - own.mean(0)) / (own.var(0) + 1e-7).sqrt()
    assert torch.allclose(normal[0, :20], expected, atol=1e-5)
    assert normal[0, 20:].eq(0).all()


def test_stacking_puts_two_frames_side_by_side():
    features = torch.arange(10.0).view(1, 5, 2)
    assert stack_frames(features, 2).tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
