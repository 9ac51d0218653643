"""Reconstructions that are there already, as a system."""

from collections.abc import Iterable
from pathlib import Path

from xcodec.audio import MEDIA_SUFFIXES, Audio, media_files
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.system import Reconstruction, System

__all__ = ["Folder"]


class Folder(System):
    """Reconstructions that are there already, in a folder laid out as the recordings are.

    For the recording x/a.flac it takes x/a.flac, else x/a.flac.wav as `xcodec reconstruct` writes it, else x/a.wav; in
    each case with any suffix of audio.

    Args:
        path: the folder.
        name: as reports call it.

    Raises:
        InputError: where there is no such folder.
    """

    works = False

    def __init__(self, path: Path, name: str) -> None:
        if not path.is_dir():
            raise InputError("is no folder", subject=path, remedy="give the folder of the reconstructions")
        self.path, self.name = path, name
        self.about = f"the files in {path}"
        self._taken: set[Path] = set()

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Read the counterpart of a recording."""
        counterpart = self._counterpart(clip)
        self._taken.add(counterpart)
        return Reconstruction(Audio.read(counterpart))

    def left_over(self) -> list[Path]:
        """Find recordings in the folder that were no recording's counterpart so far."""
        return sorted(set(media_files(self.path)) - self._taken)

    def _counterpart(self, clip: Clip) -> Path:
        same = self.path / clip.name
        for candidates in ([same], _with_suffixes(same.name, same), _with_suffixes(same.stem, same)):
            there = [path for path in candidates if path.is_file()]
            if len(there) > 1:
                names = ", ".join(path.name for path in there)
                raise InputError(f"{same.parent} holds {names}; expected one counterpart of {clip.name}")
            if there:
                return there[0]
        raise InputError(
            f"there is no counterpart in {self.path}; expected {clip.name}, {clip.name}.wav or "
            f"{Path(clip.name).with_suffix('.wav')}, or these with another suffix of audio"
        )


def _with_suffixes(name: str, beside: Path) -> Iterable[Path]:
    return [beside.with_name(name + suffix) for suffix in MEDIA_SUFFIXES]
