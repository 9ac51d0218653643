"""A decoder that was trained for another model's codes says so, and then it decodes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import RECORDINGS, tiny_model, tiny_neucodec
from original import OriginalXCodec2, write_original_folder
from xcodec import CheckpointError, Codec, CodesError, InputError
from xcodec.conversion import convert_checkpoint
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import CodecModel


def stored(model: CodecModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    feature_extractor_of(model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tiny_model(), tmp_path_factory.mktemp("decodes") / "maker")


@pytest.fixture(scope="module")
def variant(maker: Path) -> Path:
    """The maker's encoder with a decoder of its own."""
    model = tiny_model()
    with torch.no_grad():
        model.acoustic_decoder.head.linear.bias.add_(0.1)
    return stored(model, maker.with_name("variant"))


@pytest.fixture(scope="module")
def declared(maker: Path, variant: Path) -> Path:
    report = convert_checkpoint(variant, maker.with_name("declared"), decodes=maker)
    assert "decodes   the codes of maker (config " in str(report)
    return maker.with_name("declared")


def test_it_decodes_the_makers_codes_and_its_own_are_the_makers(maker: Path, variant: Path, declared: Path) -> None:
    source, decoder = Codec.from_pretrained(maker), Codec.from_pretrained(declared)
    codes = source.encode(RECORDINGS[1])
    audio = decoder.decode(codes)
    assert np.array_equal(audio.samples, Codec.from_pretrained(variant).decode(codes, check_identity=False).samples)
    own = decoder.encode(RECORDINGS[1])
    assert own == codes, "whose codes they are included"
    assert np.array_equal(source.decode(own).samples, source.decode(codes).samples)
    assert decoder.identity.same_model(Codec.from_pretrained(variant).identity), "it is the model that it was"


def test_codes_that_it_made_before_it_said_so_are_decoded_too(variant: Path, declared: Path) -> None:
    codes = Codec.from_pretrained(variant).encode(RECORDINGS[1])
    assert codes.codec is not None
    assert codes.codec.name == "variant"
    Codec.from_pretrained(declared).decode(codes)


def test_a_file_of_codes_names_the_maker_as_well(maker: Path, variant: Path, tmp_path: Path) -> None:
    codes = Codec.from_pretrained(maker).encode(RECORDINGS[1])
    codes.save(tmp_path / "speech.codes")
    convert_checkpoint(variant, tmp_path / "made", decodes=tmp_path / "speech.codes")
    Codec.from_pretrained(tmp_path / "made").decode(codes)
    bare = Codec.from_pretrained(maker)._codes_of(codes.ids)
    bare.save(tmp_path / "bare.codes")
    with pytest.raises(InputError, match="the codes do not say which model made them; give the model's checkpoint"):
        convert_checkpoint(variant, tmp_path / "not", decodes=tmp_path / "bare.codes")


def test_the_maker_of_a_decoder_is_the_one_whose_codes_that_one_decodes(
    maker: Path, variant: Path, declared: Path, tmp_path: Path
) -> None:
    convert_checkpoint(variant, tmp_path / "made", decodes=declared)
    assert json.loads((tmp_path / "made/config.json").read_text())["decodes"]["name"] == "maker"


def test_a_refusal_names_all_who_are_concerned(declared: Path) -> None:
    codes = Codec(model := tiny_model(seed=3), feature_extractor_of(model), name="a stranger").encode(RECORDINGS[1])
    with pytest.raises(
        CodesError, match=r"made by a stranger \(.*this model is declared \(.*which decodes the codes of maker \("
    ):
        Codec.from_pretrained(declared).decode(codes)


def test_weights_in_half_precision_have_the_same_encoder(maker: Path, variant: Path, tmp_path: Path) -> None:
    model = tiny_model().to(torch.bfloat16)
    convert_checkpoint(stored(model, tmp_path / "half"), tmp_path / "made", decodes=maker)
    assert Codec.from_pretrained(tmp_path / "made").codes_identity.same_model(Codec.from_pretrained(maker).identity)


def test_another_encoder_is_refused_with_what_differs(maker: Path, tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.fc_encoder.weight.mul_(1.001)
    with pytest.raises(CheckpointError, match=r"the encoder is not that of maker.*they differ in fc_encoder\.weight"):
        convert_checkpoint(stored(model, tmp_path / "tuned"), tmp_path / "made", decodes=maker)
    with pytest.raises(CheckpointError, match=r"they differ in model_type"):
        convert_checkpoint(stored(tiny_neucodec(), tmp_path / "neucodec"), tmp_path / "made", decodes=maker)
    assert not (tmp_path / "made").exists()


def test_the_maker_tells_the_family_of_a_decoder_at_a_rate_of_neither(tmp_path: Path) -> None:
    """As of X-Codec-2.0-50TPS-44k: no tensor tells whose codes a decoder of 44.1 kHz reads."""
    with torch.inference_mode(False):
        torch.manual_seed(0)
        state = OriginalXCodec2(hidden=128, depth=1, heads=2, semantic_layers=16).eval().state_dict()
    maker = write_original_folder(state, tmp_path / "maker")
    width = state["generator.head.out.weight"].shape[1]
    other = state | {
        "generator.head.out.weight": torch.randn(4 * 882 + 2, width),
        "generator.head.out.bias": torch.zeros(4 * 882 + 2),
        "generator.head.istft.window": torch.hann_window(4 * 882),
    }
    convert_checkpoint(write_original_folder(other, tmp_path / "44k"), tmp_path / "made", decodes=maker)
    codec = Codec.from_pretrained(tmp_path / "made")
    audio = codec.decode(Codec.from_pretrained(maker).encode(RECORDINGS[1]))
    assert (codec.output_sampling_rate, audio.num_samples) == (44100, round(47840 * 44100 / 16000))


@pytest.mark.parametrize("wrong", [{"name": "a"}, {"name": 1, "config_hash": "", "weights_hash": ""}, "maker"])
def test_a_config_that_does_not_say_whose_is_refused(wrong: object, maker: Path, tmp_path: Path) -> None:
    folder = stored(tiny_model(), tmp_path / "wrong")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"decodes": wrong}))
    with pytest.raises(CheckpointError, match=r"decodes=.*expected a model's name, config_hash and weights_hash"):
        Codec.from_pretrained(folder)
