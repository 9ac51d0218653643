"""What is true of every codec in the registry, said once: its stages, its two ways, its record."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import xcodec
from builders import speech, tiny_causal, tiny_distill, tiny_harmonic, tiny_model, tiny_neucodec, tiny_pooled
from xcodec import Codec, InputError
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import Clips, CodecModel
from xcodec.models.registry import FAMILIES, family_of, layout_of
from xcodec.models.stored import Stored
from xcodec.modules.time import WHOLE
from xcodec.streaming import StreamDecoder
from xcodec_builders import tiny_harmonic_xcodec, tiny_higgs, tiny_vocos, tiny_xcodec

TINY = {
    "causal_xcodec2": tiny_causal,
    "harmonic_xcodec2": tiny_harmonic,
    "xcodec2": tiny_model,
    "neucodec": tiny_neucodec,
    "distill_neucodec": tiny_distill,
    "higgs_audio_v2_tokenizer": tiny_higgs,
    "xcodec_vocos": tiny_vocos,
    "harmonic_xcodec": tiny_harmonic_xcodec,
    "xcodec": tiny_xcodec,
}  # how to make a tiny model of each family
VARIANTS = {  # and of those whose configuration changes their ways
    "xcodec2, 25 codes a second": tiny_pooled,
    "harmonic_xcodec2, 4 codes ahead": partial(tiny_harmonic, decoder_lookahead=4),
}


def test_every_family_is_tested_here() -> None:
    assert TINY.keys() == FAMILIES.keys()


@pytest.fixture(scope="module", params=TINY | VARIANTS)
def model(request: pytest.FixtureRequest) -> CodecModel:
    with torch.inference_mode():
        return (TINY | VARIANTS)[request.param]()


def inputs_of(model: CodecModel, *seconds: float) -> dict[str, Tensor]:
    clips = [speech(length) for length in seconds]
    extractor = feature_extractor_of(model)
    return dict(extractor(audio=clips, sampling_rate=model.sampling_rate, return_tensors="pt"))


def test_encoding_is_the_stages_in_order(model: CodecModel) -> None:
    waveform = inputs_of(model, 1.0)["input_values"]
    clips = Clips(waveform)
    states = model.semantic_states(clips)
    semantic = model.semantic(states)
    acoustic = model.acoustic(clips, semantic.shape[-1])
    latents = model.fuse(semantic.transpose(1, 2), acoustic.transpose(1, 2))
    codes, _ = model.quantize(latents, len(model.codebook_sizes), False)
    encoded = model.encode_clips(waveform)
    assert torch.equal(encoded.codes, codes.transpose(1, 2))
    assert encoded.latents is None
    whole = model.synthesize(encoded.codes, WHOLE)
    assert torch.allclose(model.decode_clips(encoded.codes), whole, atol=1e-5)


def test_latents_are_those_of_the_codes(model: CodecModel) -> None:
    inputs = inputs_of(model, 1.0, 0.6)
    encoded = model.encode_clips(**inputs, output_latents=True)
    assert encoded.latents is not None
    assert encoded.lengths is not None
    assert encoded.latents.shape[:2] == encoded.codes[:, 0].shape
    assert not encoded.latents[1, int(encoded.lengths[1]) :].any()
    assert torch.equal(encoded.codes, model.encode_clips(**inputs).codes)


def test_a_clip_of_a_padded_batch_is_what_it_is_alone(model: CodecModel) -> None:
    batch = model.encode_clips(**inputs_of(model, 1.0, 0.61, 0.335))
    assert batch.codes_mask is not None
    audio = model.decode_clips(batch.codes, batch.codes_mask)
    per_code = audio.shape[-1] // batch.codes.shape[-1]
    for i, seconds in enumerate((1.0, 0.61, 0.335)):
        alone = model.encode_clips(**inputs_of(model, seconds))
        length = alone.codes.shape[-1]
        assert int(batch.codes_mask[i].sum()) == length
        assert torch.equal(batch.codes[i, :, :length], alone.codes[0])
        assert not batch.codes[i, :, length:].any()
        single = model.decode_clips(alone.codes)[0]
        assert torch.allclose(audio[i, :, : length * per_code], single, atol=1e-5)
        assert not audio[i, :, length * per_code :].any()


def test_what_it_reads_and_writes_agrees(model: CodecModel) -> None:
    assert model.sampling_rate / model.hop_length == model.frame_rate
    encoded = model.encode_clips(**inputs_of(model, 1.0))
    assert encoded.codes.shape[1] == len(model.codebook_sizes)
    num_samples = round(encoded.codes.shape[-1] / model.frame_rate * model.output_sampling_rate)
    assert model.decode_clips(encoded.codes).shape == (1, 1, num_samples)
    assert list(model.bandwidths) == sorted(model.bandwidths)
    for bandwidth in model.bandwidths:
        codes = model.encode_clips(**inputs_of(model, 1.0), bandwidth=bandwidth).codes
        assert codes.shape[1] == model.num_quantizers_at(bandwidth)
        assert torch.equal(codes, encoded.codes[:, : codes.shape[1]])
    assert model.num_quantizers_at(None) == len(model.codebook_sizes)


def test_a_stream_that_sees_all_that_its_audio_depends_on_is_the_whole(model: CodecModel) -> None:
    codes = model.encode_clips(**inputs_of(model, 2.0)).codes
    lookahead = codes.shape[-1] if model.lookahead is None else "auto"
    decoder = StreamDecoder(Codec(model, feature_extractor_of(model)), lookahead=lookahead)
    given = [decoder.push(codes[0, :, i : i + 7].numpy()) for i in range(0, codes.shape[-1], 7)]
    pieces = [piece.samples for piece in (*given, decoder.flush()) if piece is not None]
    assert len(pieces) > 1 or model.lookahead is None
    assert np.allclose(np.concatenate(pieces, 1), model.decode_clips(codes)[0], atol=1e-5)


def test_what_it_has_no_use_for_is_refused(model: CodecModel) -> None:
    inputs = inputs_of(model, 0.5)
    offered = ", ".join(f"{bandwidth:g}" for bandwidth in model.bandwidths)
    with pytest.raises(InputError, match=rf"doesn't support the bandwidth 99. Select one of {offered} \(kbit/s\)"):
        model.encode_clips(**inputs, bandwidth=99)
    with pytest.raises(InputError, match=r"input_values: .*\(1, 2, 640\). Audio must be mono, but got 2 channels"):
        model.encode_clips(torch.zeros(1, 2, 640))
    size = model.codebook_sizes[0]
    for codes, said in [
        (torch.full((1, 1, 3), size), rf"expected values in \[0, {size}\), got {size} to {size}"),
        (torch.zeros(1, 1, 3), "expected integers of shape .* got torch.float32"),
        (torch.zeros(1, len(model.codebook_sizes) + 1, 3, dtype=torch.int64), "expected integers of shape"),
    ]:
        with pytest.raises(InputError, match=f"audio_codes: {said}"):
            model.decode_clips(codes)


def test_the_part_that_may_come_from_elsewhere_is_one_of_the_encoders(model: CodecModel) -> None:
    assert model.semantic_part in model.encoder_parts
    assert {name for name, _ in model.named_children()} >= {*model.encoder_parts, *model.decoder_parts}


def test_its_family_tells_it_by_its_tensors_names_and_its_config(model: CodecModel) -> None:
    family = FAMILIES[model.config.model_type]
    assert isinstance(model, family.model)
    tensors = {f"module.{name}": x for name, x in model.state_dict().items()}
    layout = layout_of(Stored("this", None, {"model_type": family.model_type}, tensors))
    assert layout is not None
    assert (layout.family, layout.is_original) == (family, False)
    nameless = Stored("this", Path(), {"model_type": family.model_type}, {"weight": torch.zeros(1)})
    assert layout_of(nameless) is None
    assert family_of(nameless) is family


def test_its_classes_are_public() -> None:
    for family in FAMILIES.values():
        for each in (family.config, family.feature_extractor, family.model):
            assert getattr(xcodec, each.__name__) is each


def test_a_codec_without_a_stage_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        CodecModel(TINY["xcodec2"]().config)
