"""Recordings for the commands."""

from pathlib import Path

import pytest

from cli_builders import mixed_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_recordings(tmp_path_factory.mktemp("recordings"))
