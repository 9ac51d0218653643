"""What tests of tokenization share: a tiny model on disk, and the codec that it is."""

from pathlib import Path

import pytest

from tokenize_builders import save_tiny
from xcodec.codec import Codec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    return Codec.from_pretrained(model)
