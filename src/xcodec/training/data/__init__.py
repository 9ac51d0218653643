"""From audio on disk to batches: sources, an order over them, crops, and what is done to a crop."""

from pathlib import Path

from xcodec.errors import InputError, require
from xcodec.training.data.corpus import Corpus
from xcodec.training.data.dataset import Dataset
from xcodec.training.data.recordings import Recordings

__all__ = ["open_dataset"]


def open_dataset(path: str | Path, audio: str | Path | None = None) -> Dataset:
    """Open what is trained on. A recording that cannot be read is passed over, and logged.

    Args:
        path: a folder of prepared speech, of Parquet files of codes, or of recordings; or a list of recordings.
        audio: the folder of the recordings whose codes are stored.

    Raises:
        InputError: where it is none of these.
        AudioError: where too many recordings cannot be read.
        MissingExtraError: where it is Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    if path.is_file():
        return Recordings.of_manifest(path)
    if not path.is_dir():
        raise InputError(
            f"there is nothing to train on at {path}",
            remedy="give a folder of recordings, a list of them, prepared speech, or Parquet of codes. A "
            "recipe with a synthesis section makes speech in a folder that does not exist",
        )
    if (path / "index.json").is_file():
        return Corpus(path)
    if next(path.rglob("*.parquet"), None) is not None:
        if audio is None:
            raise InputError(f"{path} holds codes; data.audio has to name the folder of their recordings")
        require("pyarrow", "tokenize")
        from xcodec.training.data.stored_codes import StoredCodes

        return StoredCodes(path, Path(audio))
    return Recordings.of_folder(path)
