"""Codec reads checkpoints in their authors' own layout as they are, and makes of them what `convert` does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import speech
from original import OriginalXCodec2, original_neucodec, put_into_hub_cache, with_upsampler, write_original_folder
from xcodec import CheckpointError, Codec
from xcodec.conversion import convert_checkpoint


@pytest.fixture(scope="module")
def original() -> OriginalXCodec2:
    """One of the authors' own number of layers and size of heads, which no option has to tell."""
    with torch.inference_mode(False):
        torch.manual_seed(0)
        return OriginalXCodec2(hidden=128, depth=1, heads=2, semantic_layers=16).eval()


@pytest.fixture(scope="module")
def folder(original: OriginalXCodec2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original_folder(original.state_dict(), tmp_path_factory.mktemp("codec") / "original")


@pytest.fixture(scope="module")
def converted(folder: Path) -> Codec:
    convert_checkpoint(folder, folder.with_name("converted"))
    return Codec.from_pretrained(folder.with_name("converted"))


def test_an_original_folder_gives_the_codes_audio_and_identity_of_the_converted_one(
    folder: Path, converted: Codec
) -> None:
    codec = Codec.from_pretrained(folder)
    codes = codec.encode(speech(1.0), 16000)
    assert np.array_equal(codes.ids, converted.encode(speech(1.0), 16000).ids)
    assert codec.identity.same_model(converted.identity)
    assert np.array_equal(converted.decode(codes).samples, codec.decode(codes).samples)
    decoder = Codec.from_pretrained(folder, decoder_only=True)
    assert np.array_equal(decoder.decode(codes).samples, codec.decode(codes).samples)


def test_a_file_of_training_is_one_too_and_is_called_by_its_name(
    original: OriginalXCodec2, converted: Codec, tmp_path: Path
) -> None:
    torch.save({"state_dict": original.state_dict()}, tmp_path / "epoch=5.ckpt")
    codec = Codec.from_pretrained(tmp_path / "epoch=5.ckpt")
    assert codec.identity.name == "epoch=5.ckpt", "and not by where it lies: codes travel"
    assert codec.identity.same_model(converted.identity)


def test_neucodec_is_read_by_name_with_its_semantic_encoder_from_where_it_lies(
    original: OriginalXCodec2, tmp_path: Path
) -> None:
    state = original_neucodec(original.state_dict())
    bare = tmp_path / "bare"
    bare.mkdir()
    torch.save({k: v for k, v in state.items() if not k.startswith("semantic_model.")}, bare / "pytorch_model.bin")
    (bare / "meta.yaml").write_text("name: neucodec\n")
    original.semantic_model.save_pretrained(tmp_path / "w2v-bert")
    put_into_hub_cache(bare, "neuphonic/neucodec", tmp_path / "cache")
    put_into_hub_cache(tmp_path / "w2v-bert", "facebook/w2v-bert-2.0", tmp_path / "cache")
    codec = Codec.from_pretrained("neuphonic/neucodec", cache_dir=tmp_path / "cache", local_files_only=True)
    assert codec.identity.name == "neuphonic/neucodec"
    audio = codec.reconstruct(speech(1.0), 16000)
    assert (audio.sampling_rate, audio.num_samples) == (24000, 24000)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(CheckpointError, match=r"a\.wav"):
        Codec.from_pretrained(tmp_path / "a.wav")
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json"):
        Codec.from_pretrained(tmp_path)


def test_a_decoder_with_an_upsampler_is_told_by_its_config_what_no_tensor_tells(
    original: OriginalXCodec2, tmp_path: Path
) -> None:
    """As of Anime-XCodec2-44.1kHz: two stages of 3 for one, then 98 samples a step."""
    state = with_upsampler(original.state_dict())
    folder = write_original_folder(state, tmp_path / "anime")
    with pytest.raises(CheckpointError, match=r"an upsampler of 2 stages, and the config.json beside it tells .* of 0"):
        Codec.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "xcodec2", "sample_rate": 44100, "hop_length": 98, "upsample_factors": [3, 3]}
    (folder / "config.json").write_text(json.dumps(config | {"upsample_kernel_sizes": [9, 9]}))
    codec = Codec.from_pretrained(folder)
    assert codec.output_sampling_rate == 44100
    assert codec.model.config.upsampling_kernel_sizes == [9, 9]
    audio = codec.reconstruct(speech(1.0), 16000)
    assert (audio.sampling_rate, audio.num_samples) == (44100, 44100)
    assert np.isfinite(audio.samples).all()
