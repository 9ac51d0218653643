"""The Higgs tokenizer in Boson's own layout, `config.json` and `model.pth`, computes what the original computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from builders import speech
from original import put_into_hub_cache
from original_higgs import HiggsTokenizer, random_higgs, write_higgs_folder
from xcodec import Audio, CheckpointError, Codec, HiggsAudioV2TokenizerModel, InputError
from xcodec.conversion import convert_checkpoint

NAME = "bosonai/higgs-audio-v2-tokenizer"
WAVE = Audio(speech(2.0), 16000).resample(24000).samples[0][: 40 * 960].copy()


@pytest.fixture(scope="module")
def original() -> HiggsTokenizer:
    with torch.inference_mode(False):
        return random_higgs(torch.from_numpy(WAVE)[None, None])


@pytest.fixture(scope="module")
def folder(original: HiggsTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_higgs_folder(original, tmp_path_factory.mktemp("higgs") / "original")


@pytest.fixture(scope="module")
def converted(folder: Path) -> Path:
    report = convert_checkpoint(folder, folder.with_name("converted"))
    assert (report.layout, report.family) == ("original", "Higgs Audio v2 tokenizer")
    return folder.with_name("converted")


def test_codes_and_audio_are_those_of_the_original(original: HiggsTokenizer, folder: Path) -> None:
    codec = Codec.from_pretrained(folder)
    assert isinstance(codec.model, HiggsAudioV2TokenizerModel)
    codes = codec.encode(WAVE, 24000)
    theirs = original.encode(torch.from_numpy(WAVE)[None, None])
    assert np.array_equal(codes.ids, theirs[0].numpy())
    audio = codec.decode(codes).samples
    np.testing.assert_allclose(audio, original.decode(theirs)[0].numpy(), atol=1e-4 * np.abs(audio).max())


def test_the_converted_folder_is_that_of_transformers(
    converted: Path, folder: Path, torchaudio_of_one_function: None
) -> None:
    """Every name that transformers' class has, and no other, in the shapes that it has."""
    from transformers.models.higgs_audio_v2_tokenizer.modeling_higgs_audio_v2_tokenizer import (
        HiggsAudioV2TokenizerModel as Reference,
    )

    config = transformers.HiggsAudioV2TokenizerConfig.from_pretrained(converted)
    theirs = Reference(config).state_dict()
    ours = load_file(converted / "model.safetensors")
    assert {name: x.shape for name, x in theirs.items()} == {name: x.shape for name, x in ours.items()}
    assert (config.sample_rate, config.codebook_dim, config.target_bandwidths[-1]) == (24000, 8, 2)
    codec = Codec.from_pretrained(converted)
    assert codec.identity.same_model(Codec.from_pretrained(folder).identity)
    assert (codec.bandwidths, len(codec.codebook_sizes)) == ((0.5, 1, 1.5, 2), 8), "4 kbit/s would take 16 codebooks"


def test_it_is_read_by_its_name(folder: Path, converted: Path, tmp_path: Path) -> None:
    put_into_hub_cache(folder, NAME, tmp_path)
    codec = Codec.from_pretrained(NAME, cache_dir=tmp_path, local_files_only=True)
    assert codec.identity.name == NAME
    assert codec.identity.same_model(Codec.from_pretrained(converted).identity)


def test_hubert_is_fetched_where_the_checkpoint_lacks_it(
    original: HiggsTokenizer, folder: Path, tmp_path: Path
) -> None:
    bare = write_higgs_folder(original, tmp_path / "bare")
    state = {name: x for name, x in original.state_dict().items() if not name.startswith("semantic_model.")}
    torch.save(state, bare / "model.pth")
    original.semantic_model.save_pretrained(tmp_path / "hubert")
    put_into_hub_cache(bare, NAME, tmp_path / "cache")
    put_into_hub_cache(tmp_path / "hubert", "bosonai/hubert_base", tmp_path / "cache")
    whole = Codec.from_pretrained(folder)
    fetched = Codec.from_pretrained(NAME, cache_dir=tmp_path / "cache", local_files_only=True)
    assert fetched.identity.same_model(whole.identity)
    with pytest.raises(CheckpointError, match=r"the semantic model is missing: semantic_model\..*semantic_encoder="):
        convert_checkpoint(bare, tmp_path / "not")
    convert_checkpoint(bare, tmp_path / "made", semantic_encoder=tmp_path / "hubert")
    assert Codec.from_pretrained(tmp_path / "made").identity.same_model(whole.identity)
    with pytest.raises(InputError, match=r"the checkpoint holds its own \(semantic_model\..*\); leave it out"):
        convert_checkpoint(folder, tmp_path / "not", semantic_encoder=tmp_path / "hubert")
    with pytest.raises(CheckpointError, match=r"of model_type 'higgs.*; expected 'hubert', as .* or 'wavlm', as "):
        convert_checkpoint(bare, tmp_path / "not", semantic_encoder=tmp_path / "made")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"downsample_mode": "avg"}, r"has downsample_mode='avg'; expected 'step_down'"),
        ({"vq_scale": 2}, r"has vq_scale=2; expected 1"),
        ({"bins": [8, 8]}, r"bins=\[8, 8\] and n_q=8; expected codebooks"),
        ({"semantic_techer": "mert_music"}, r"has semantic_techer='mert_music'; expected one of hubert_base"),
        ({"ratios": [8, 5, 4, 2, 2]}, r"kernels are for strides"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    original: HiggsTokenizer, fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        Codec.from_pretrained(write_higgs_folder(original, tmp_path / "other", **fields))


def test_its_config_is_asked_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes((folder / "model.pth").read_bytes())
    with pytest.raises(CheckpointError, match=r"needs its config\.json beside it"):
        Codec.from_pretrained(tmp_path / "model.pth")
