"""Half a codec: only what encoding or decoding needs is built and read; the checkpoint has to be whole all the same."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from builders import speech, tiny_causal, tiny_distill, tiny_harmonic, tiny_model, tiny_neucodec
from xcodec import (
    CausalXcodec2Model,
    CheckpointError,
    Codec,
    DistillNeuCodecFeatureExtractor,
    DistillNeuCodecModel,
    HarmonicXcodec2Model,
    HarmonicXcodecModel,
    HiggsAudioV2TokenizerModel,
    InputError,
    NeuCodecFeatureExtractor,
    NeuCodecModel,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
    XcodecFeatureExtractor,
    XcodecModel,
)
from xcodec_builders import tiny_harmonic_xcodec, tiny_higgs, tiny_xcodec

FAMILIES = {
    "X-Codec2": (tiny_model, Xcodec2FeatureExtractor, Xcodec2Model),
    "NeuCodec": (tiny_neucodec, NeuCodecFeatureExtractor, NeuCodecModel),
    "causal": (tiny_causal, Xcodec2FeatureExtractor, CausalXcodec2Model),
    "harmonic": (tiny_harmonic, Xcodec2FeatureExtractor, HarmonicXcodec2Model),
    "DistillNeuCodec": (tiny_distill, DistillNeuCodecFeatureExtractor, DistillNeuCodecModel),
    "Higgs": (tiny_higgs, partial(XcodecFeatureExtractor, 1, 24000, 0.0, 960), HiggsAudioV2TokenizerModel),
    "harmonic X-Codec": (tiny_harmonic_xcodec, XcodecFeatureExtractor, HarmonicXcodecModel),
    "X-Codec": (tiny_xcodec, XcodecFeatureExtractor, XcodecModel),
}
MISSING_ENCODER = "loaded with decoder_only=True and has no encoder"
MISSING_DECODER = "loaded with encoder_only=True and has no decoder"


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    build, extractor, _ = FAMILIES[family]
    build().save_pretrained(folder)
    extractor().save_pretrained(folder)
    return folder


def test_each_half_does_what_the_whole_does(folder):
    whole = Codec.from_pretrained(folder)
    encoder, decoder = (
        Codec.from_pretrained(folder, encoder_only=True),
        Codec.from_pretrained(folder, decoder_only=True),
    )
    codes = whole.encode(speech(2.0), 16000)
    assert encoder.encode(speech(2.0), 16000) == codes, "the identity included"
    assert np.array_equal(decoder.decode(codes).samples, whole.decode(codes).samples)
    assert decoder.identity.same_model(whole.identity)

    def sizes(codec):
        return {name: parameter.numel() for name, parameter in codec.model.state_dict().items()}

    assert sizes(encoder).items() < sizes(whole).items()
    assert sizes(decoder).items() < sizes(whole).items()
    assert set(sizes(encoder)) & set(sizes(decoder)) == {n for n in sizes(whole) if n.startswith("quantizer.")}


def test_the_missing_half_is_a_clear_error(folder):
    encoder, decoder = (
        Codec.from_pretrained(folder, encoder_only=True),
        Codec.from_pretrained(folder, decoder_only=True),
    )
    codes = encoder.encode(speech(1.0), 16000)
    with pytest.raises(InputError, match=MISSING_DECODER):
        encoder.decode(codes)
    with pytest.raises(InputError, match=MISSING_ENCODER):
        decoder.encode(speech(1.0), 16000)
    inputs = encoder.feature_extractor(speech(1.0), sampling_rate=encoder.sampling_rate, return_tensors="pt")
    with pytest.raises(InputError, match=MISSING_DECODER):
        encoder.model(**inputs)
    with pytest.raises(InputError, match="give one of them"):
        Codec.from_pretrained(folder, encoder_only=True, decoder_only=True)


def test_half_a_model_is_not_saved_and_does_not_tell_which_it_is(folder, family, tmp_path):
    _, extractor, model_class = FAMILIES[family]
    model = model_class.from_pretrained(folder, decoder_only=True)
    with pytest.raises(InputError, match=MISSING_ENCODER):
        model.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="half a model does not tell which model it is"):
        _ = Codec(model, extractor()).identity


@pytest.mark.parametrize("half", ["encoder_only", "decoder_only"])
def test_the_other_half_has_to_be_in_the_file(folder, half, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    for part in ("acoustic_decoder.", "acoustic_encoder."):
        del tensors[next(name for name in tensors if name.startswith(part))]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"2 missing: acoustic_decoder\.[\w.]+, acoustic_encoder\."):
        Codec.from_pretrained(tmp_path, **{half: True})


def test_nothing_of_the_other_half_is_said_on_loading(folder, caplog, capfd):
    Codec.from_pretrained(folder, decoder_only=True)
    assert "UNEXPECTED" not in caplog.text + "".join(capfd.readouterr())


def test_parameters_of_half_a_released_model():
    """What the documentation says: 187M of 629M parameters decode."""
    from xcodec import Xcodec2Config

    with torch.device("meta"):
        sizes = {
            half: sum(p.numel() for p in Xcodec2Model(Xcodec2Config(), **{half: True}).parameters()) / 1e6
            for half in ("encoder_only", "decoder_only")
        }
    assert {half: round(size) for half, size in sizes.items()} == {"encoder_only": 442, "decoder_only": 187}
