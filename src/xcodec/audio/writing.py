"""Writing recordings as files, whole or not at all."""

from pathlib import Path

import numpy as np
import soundfile

from xcodec.audio.decoder import BLOCK
from xcodec.audio.libsndfile import reason, system_path
from xcodec.errors import AudioError, first_line
from xcodec.files import written_whole

__all__ = ["WRITABLE_SUFFIXES", "write"]

# What each suffix is written as: libsndfile's container and encoding.
_WRITTEN_AS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

WRITABLE_SUFFIXES = tuple(_WRITTEN_AS)
"""Suffixes that `Audio.save` knows."""

_SYSTEM_ERROR = 2  # libsndfile's code for errors of reading and writing


def write(path: Path, samples: np.ndarray, sampling_rate: int, subtype: str | None) -> None:
    """Write a file as `Audio.save` does.

    Args:
        path: of the file; its suffix is its format.
        samples: float32 of shape (channels, samples).
        sampling_rate: in Hz.
        subtype: libsndfile's name of the encoding; None is the usual one of the format.

    Raises:
        AudioError: as `Audio.save`.
    """
    if path.suffix.lower() not in _WRITTEN_AS:
        known = ", ".join(WRITABLE_SUFFIXES)
        raise AudioError(f"audio cannot be written as {path.suffix!r}", subject=path, remedy=f"use one of {known}")
    container, default = _WRITTEN_AS[path.suffix.lower()]
    subtype = (subtype or default).upper()
    if not soundfile.check_format(container, subtype):
        known = ", ".join(soundfile.available_subtypes(container))
        raise AudioError(f"{container} has no subtype {subtype!r}; it has {known}", subject=path)
    shape = (sampling_rate, len(samples))
    try:
        with (
            written_whole(path) as part,
            soundfile.SoundFile(system_path(part), "w", *shape, subtype=subtype, format=container) as file,
        ):
            for start in range(0, samples.shape[1], BLOCK):
                block = samples[:, start : start + BLOCK].T  # -> (samples, channels)
                file.write(block if subtype in ("FLOAT", "DOUBLE") else block.clip(-1.0, 1.0))
    except OSError as error:
        raise AudioError(f"cannot be written: {first_line(error)}", subject=path) from error
    except soundfile.LibsndfileError as error:
        if error.code == _SYSTEM_ERROR:
            raise AudioError("cannot be written: the system refused; is the disk full?", subject=path) from error
        raise AudioError(
            f"cannot write {len(samples)} channel(s) at {sampling_rate} Hz as {container} {subtype} ({reason(error)})",
            subject=path,
            remedy="resample or downmix first, or write .wav",
        ) from error
