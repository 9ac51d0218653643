"""From audio on disk to batches: sources, an order over them, crops, and what is done to a crop."""

from pathlib import Path

from xcodec.errors import InputError
from xcodec.training.data.corpus import Corpus
from xcodec.training.data.mixture import Mixture
from xcodec.training.data.source import Source

__all__ = ["open_source"]


def open_source(path: str | Path) -> Source:
    """Open what is trained on: prepared speech.

    Raises:
        InputError: where it is none.
    """
    path = Path(path)
    if (path / "index.json").is_file():
        return Corpus(path)
    raise InputError(f"{path} is no prepared speech")
