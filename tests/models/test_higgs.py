"""The tokenizer of Higgs Audio v2 is X-Codec's network behind a resampler; transformers' class is the reference."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from builders import speech
from original_higgs import resample_by_its_definition
from xcodec import AutoModel, Codec, HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel, InputError, XcodecModel
from xcodec.conversion import convert_checkpoint
from xcodec.models.auto import feature_extractor_of
from xcodec.modules.sinc_resampling import SincResampler
from xcodec.streaming import StreamDecoder
from xcodec_builders import tiny_higgs

RAGGED = (44580, 20000, 960, 961, 48000)  # samples at 24 kHz


@pytest.fixture(scope="module")
def model() -> HiggsAudioV2TokenizerModel:
    with torch.inference_mode():
        return tiny_higgs()


@pytest.fixture(scope="module")
def codec(model: HiggsAudioV2TokenizerModel) -> Codec:
    return Codec(model, feature_extractor_of(model))


@pytest.fixture(scope="module")
def reference(model: HiggsAudioV2TokenizerModel, torchaudio_of_one_function: None) -> Any:
    """transformers' own model of the same weights."""
    from transformers.models.higgs_audio_v2_tokenizer.modeling_higgs_audio_v2_tokenizer import (
        HiggsAudioV2TokenizerModel as Reference,
    )

    fields = {name: value for name, value in model.config.to_dict().items() if name != "dtype"}
    theirs = Reference(transformers.HiggsAudioV2TokenizerConfig.from_dict(fields)).eval()
    theirs.load_state_dict(model.state_dict(), strict=True)
    return theirs


def prepared(model: HiggsAudioV2TokenizerModel, *samples: int) -> dict[str, Tensor]:
    clips = [speech(samples=count) for count in samples]
    return dict(feature_extractor_of(model)(audio=clips, sampling_rate=24000, return_tensors="pt"))


@pytest.mark.parametrize("samples", RAGGED)
@pytest.mark.parametrize("bandwidth", [None, 0.5])
def test_codes_and_audio_are_those_of_transformers(
    model: HiggsAudioV2TokenizerModel, reference: Any, samples: int, bandwidth: float | None
) -> None:
    values = prepared(model, samples)["input_values"]
    codes, expected = model.encode(values, bandwidth).audio_codes, reference.encode(values, bandwidth).audio_codes
    assert codes.shape == (1, 8 if bandwidth is None else 2, math.ceil(samples / 960))
    equal = (codes == expected).float().mean()
    assert equal >= 0.99, "a distance that is a tie may fall to the last digit of the filter"
    audio = model.decode(expected).audio_values
    assert torch.allclose(audio, reference.decode(expected).audio_values, atol=1e-4)
    assert audio.shape == (1, 1, codes.shape[-1] * 960)


def test_a_batch_gives_each_clip_what_it_gets_alone(codec: Codec) -> None:
    clips = [speech(samples=count) for count in RAGGED]
    together = codec.encode(clips, 24000)
    for clip, codes in zip(clips, together, strict=True):
        assert codes == codec.encode(clip, 24000)
        assert len(codes) == math.ceil(len(clip) / 960)
    for codes, audio in zip(together, codec.decode(together), strict=True):
        assert np.allclose(audio.samples, codec.decode(codes).samples, atol=1e-5)
        assert (audio.sampling_rate, audio.num_samples) == (24000, codes.num_samples)
    lower = together[0].at_bandwidth(1.0)
    assert np.array_equal(lower.ids, codec.encode(clips[0], 24000, bandwidth=1.0).ids)


def test_a_stream_is_the_whole_where_it_looks_ahead_to_the_end(codec: Codec) -> None:
    codes = codec.encode(speech(samples=44580), 24000)
    decoder = StreamDecoder(codec, context=None, lookahead=30, chunk=5)
    pieces = [piece for ids in codes.ids.T if (piece := decoder.push(ids[:, None])) is not None]
    rest = decoder.flush()
    assert rest is not None
    streamed = np.concatenate([piece.samples for piece in (*pieces, rest)], 1)
    whole = codec.decode_ids([codes.ids])[0]
    assert streamed.shape[1] == len(whole)
    assert np.allclose(streamed[0], whole, atol=1e-4)


# Resampling


@pytest.mark.parametrize(("source", "target"), [(24000, 16000), (16000, 24000), (44100, 16000), (16000, 16000)])
def test_a_new_sample_is_the_windowed_sinc_of_its_neighbours(source: int, target: int) -> None:
    waveform = torch.from_numpy(np.stack([speech(samples=1001), speech(samples=2002)[1001:]]))
    found = SincResampler(source, target)(waveform)
    expected = waveform if source == target else resample_by_its_definition(waveform, source, target)
    assert found.shape == (2, math.ceil(1001 * target / source))
    assert torch.allclose(found, expected, atol=1e-5)


# Checkpoints


def test_a_checkpoint_is_told_by_its_projections_and_may_hold_what_pre_training_left(
    codec: Codec, tmp_path: Path
) -> None:
    codec.model.save_pretrained(tmp_path)
    loaded = Codec.from_pretrained(tmp_path)
    assert isinstance(loaded.model, HiggsAudioV2TokenizerModel)
    identity = loaded.identity
    tensors = load_file(tmp_path / "model.safetensors")
    width = codec.model.config.semantic_model_config.hidden_size
    save_file(tensors | {"semantic_model.masked_spec_embed": torch.zeros(width)}, tmp_path / "model.safetensors")
    loaded = Codec.from_pretrained(tmp_path)
    assert loaded.identity.same_model(identity)
    assert loaded.sampling_rate == 24000
    assert loaded.feature_extractor.hop_length == 960
    assert np.array_equal(loaded.encode(speech(1.0), 16000).ids, codec.encode(speech(1.0), 16000).ids)
    report = convert_checkpoint(tmp_path, tmp_path / "converted")
    assert report.dropped == {"semantic_model.masked_spec_embed": "unused: of the semantic model's pre-training"}
    assert Codec.from_pretrained(tmp_path / "converted").identity.same_model(identity)
    assert isinstance(AutoModel.from_pretrained(tmp_path), HiggsAudioV2TokenizerModel)
    with pytest.raises(Exception, match=r"is of model_type 'higgs_audio_v2_tokenizer'.*XcodecModel reads 'xcodec'"):
        XcodecModel.from_pretrained(tmp_path)


def test_the_configuration_has_the_fields_and_rates_of_transformers() -> None:
    acoustic = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
    fields = {"acoustic_model_config": acoustic, "target_bandwidths": [0.5, 1, 1.5, 2]}
    ours, theirs = HiggsAudioV2TokenizerConfig(**fields), transformers.HiggsAudioV2TokenizerConfig(**fields)
    assert ours.to_dict().keys() >= theirs.to_dict().keys()
    for name in ("hop_length", "frame_rate", "num_quantizers", "semantic_downsample_factor", "codebook_dim"):
        assert getattr(ours, name) == getattr(theirs, name)
    with pytest.raises(InputError, match="downsample_factor=300: the 960 samples of a code at 24000 Hz are no whole"):
        HiggsAudioV2TokenizerConfig(downsample_factor=300, **fields)
