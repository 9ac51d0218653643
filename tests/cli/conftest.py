"""A tiny model on disk, loaded, and recordings for the commands."""

from pathlib import Path

import pytest

from builders import save_tiny
from cli_builders import mixed_recordings
from xcodec.codec import Codec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return Codec.from_pretrained(model)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_recordings(tmp_path_factory.mktemp("recordings"))
