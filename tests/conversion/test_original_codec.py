"""Codec reads checkpoints in their authors' own layout as they are, and makes of them what `convert` does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from builders import speech
from original import OriginalXCodec2, write_original_folder
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


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(CheckpointError, match=r"a\.wav"):
        Codec.from_pretrained(tmp_path / "a.wav")
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json"):
        Codec.from_pretrained(tmp_path)
