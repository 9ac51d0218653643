"""Recordings as they lie on disk: a folder, or a list of files."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.audio import AUDIO_SUFFIXES, Audio, AudioInfo
from xcodec.errors import InputError
from xcodec.training.data.source import Excerpt

__all__ = ["Recordings"]

PATH_KEYS = ("path", "audio_filepath")  # the second as NeMo's manifests have it


class Recordings:
    """Audio files of any format, rate and number of channels, read a crop at a time.

    Args:
        paths: of the files.
        name: of the origin, as the recipe's `data.shares` calls it.
        seconds: how long each is, where it is known; the others' headers are read.

    Raises:
        InputError: where there is none.
        AudioError: where a file cannot be read.
    """

    def __init__(self, paths: list[Path], name: str, seconds: list[float | None] | None = None) -> None:
        if not paths:
            raise InputError(f"{name} holds no recordings to train on; expected one of {', '.join(AUDIO_SUFFIXES)}")
        self.paths = paths
        known = seconds or [None] * len(paths)
        with ThreadPoolExecutor() as pool:
            self.seconds = np.array(list(pool.map(_length, paths, known)), dtype=np.float64)
        self.sources = [name]
        self.source_ids = np.zeros(len(paths), dtype=np.int64)

    @classmethod
    def of_folder(cls, folder: Path) -> "Recordings":
        """Every recording in a folder, to any depth."""
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        return cls(paths, folder.name)

    @classmethod
    def of_manifest(cls, manifest: Path) -> "Recordings":
        """The files that a list names: a path on each line, or JSON with `path` and perhaps `duration` in seconds.

        Relative paths begin at the list's folder.

        Raises:
            InputError: where a line is neither.
        """
        paths, seconds = [], []
        for path, duration in _lines(manifest):
            paths.append(manifest.parent / path)
            seconds.append(duration)
        return cls(paths, manifest.stem, seconds)

    def excerpt(self, clip: int, start: float, seconds: float) -> Excerpt:
        """Read a piece of a recording; it is shorter where the recording ends."""
        duration = min(seconds, float(self.seconds[clip]) - start)
        audio = Audio.read(self.paths[clip], start=start, duration=max(duration, 1e-3)).mono()
        return Excerpt(audio.samples[0], audio.sampling_rate)


def _length(path: Path, known: float | None) -> float:
    if known is not None:
        return known
    seconds = AudioInfo.read(path).duration
    return Audio.read(path).duration if seconds is None else seconds


def _lines(manifest: Path) -> Iterator[tuple[str, float | None]]:
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list of recordings {manifest} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line:
            continue
        if not line.startswith("{"):
            yield line, None
            continue
        try:
            entry: dict[str, Any] = json.loads(line)
            path = next(entry[key] for key in PATH_KEYS if key in entry)
            seconds = float(entry["duration"]) if entry.get("duration") is not None else None
        except (ValueError, TypeError, StopIteration):
            raise InputError(
                f"{manifest}, line {number}: expected a path, or a JSON object with {' or '.join(PATH_KEYS)}, and "
                "perhaps duration in seconds"
            ) from None
        yield str(path), seconds
