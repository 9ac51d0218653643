"""Which files hold recordings: the suffixes that audio and video files have, and the search of a folder for them."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["MEDIA_SUFFIXES", "is_media", "media_files"]

MEDIA_SUFFIXES = (
    # read by libsndfile
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1", ".mpga"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc", ".svx", ".8svx", ".iff", ".paf"),
    *(".sf", ".ircam", ".wve", ".htk", ".avr", ".sd2"),
    # read by FFmpeg
    *(".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".aac", ".adts", ".webm", ".weba"),
    *(".mkv", ".mka", ".wma", ".wmv", ".asf", ".amr", ".awb", ".spx", ".ape", ".wv", ".tta", ".tak", ".mpc", ".ac3"),
    *(".eac3", ".dts", ".dsf", ".dff", ".ra", ".rm", ".rmvb", ".avi", ".flv", ".f4a", ".f4v", ".mpg", ".mpeg"),
    *(".m1a", ".m2a", ".mts", ".m2ts", ".vob", ".ogv", ".ogm", ".ogx", ".gsm", ".g722", ".alac", ".shn", ".qcp"),
    *(".mlp", ".thd"),
    # samples without a header, which cannot be read but are recordings all the same
    *(".raw", ".pcm", ".vox"),
)
"""Suffixes, in lower case, of the files that a search for recordings finds. What is found and cannot be read is an
error of that file, so that no recording is left out without a word. Reading goes by a file's content, whatever its
suffix."""

_SUFFIXES = frozenset(MEDIA_SUFFIXES)


def is_media(name: str | os.PathLike[str]) -> bool:
    """Tell whether a file's name ends as the names of audio and video files do."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES  # noqa: PTH122  (called for millions of names)


def media_files(
    folder: Path,
    *,
    suffixes: Iterable[str] = MEDIA_SUFFIXES,
    without: Iterable[Path] = (),
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Find the audio and video files below a folder, in order of name, folder by folder.

    What is hidden is left out. Links to folders are followed, each folder once.

    Args:
        folder: to search, to any depth.
        suffixes: in lower case, of what is found; another list finds other files, such as codes.
        without: folders that are not searched.
        on_error: is told of a folder that cannot be read; without it the error is raised.

    Raises:
        OSError: where a folder cannot be read and `on_error` is None.
    """

    def refuse(error: OSError) -> None:
        raise error

    wanted = frozenset(suffixes)
    seen = {os.path.realpath(path) for path in (folder, *without)}
    for current, folders, names in os.walk(folder, followlinks=True, onerror=on_error or refuse):
        fresh = []
        for name in sorted(folders):
            real = os.path.realpath(Path(current, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                fresh.append(name)
        folders[:] = fresh
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in wanted:  # noqa: PTH122
                yield Path(current, name)
