"""What tests of tokenization share: clips, and what a tiny model makes of them."""

from pathlib import Path

import pytest

from tokenize_builders import job_for, run, write_clips
from xcodec.codec import Codec


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 12)
    return folder


@pytest.fixture(scope="module")
def finished(model: Path, codec: Codec, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of the clips, which a file of tests may have of its own."""
    folder = tmp_path_factory.mktemp("finished")
    run(job_for(model, folder), codec, clips)
    return folder
