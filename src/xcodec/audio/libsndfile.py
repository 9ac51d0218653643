"""Decoding by libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and more, from a whole file or an excerpt of it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from xcodec.audio.decoder import BLOCK, Blocks, Decoder, FindDamage, damaged
from xcodec.audio.source import Excerpt, Source
from xcodec.errors import AudioError

__all__ = ["NOT_AUDIO", "LibsndfileDecoder", "NotReadByLibsndfileError", "decode_sequentially", "reason", "system_path"]

_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's length of a FLAC file whose header gives none
_EXACT = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")  # containers in which libsndfile seeks exactly
_BLOCKWISE = ("ADPCM", "GSM", "ALAC", "DPCM", "G721", "G723", "NMS", "VOX", "DWVW")  # encodings with a memory
# Seconds that are decoded before a span of Ogg, after which decoders have forgotten where they began. Vorbis forgets
# within a block; Opus predicts from what it has decoded.
_PREROLL = {"VORBIS": 1.0, "OPUS": 2.0}

NOT_AUDIO = (
    "is not audio in a format that can be read, or its beginning is damaged; expected WAV, FLAC, Ogg Vorbis, Opus, "
    "MP3, AIFF or another that libsndfile knows"
)


class NotReadByLibsndfileError(AudioError):
    """A file is of a format or encoding that libsndfile does not know, or its header is damaged."""


class LibsndfileDecoder(Decoder):
    """A file, or pieces of it, that libsndfile decodes.

    Args:
        source: the file.
        pieces: what libsndfile shall see as the file; None is the file as it is.
        format: name of the container where libsndfile's is not the true one.
        promise: bytes of samples that the header promises, and those that are there, where they are known.
        damage: what is known to be wrong at the end, such as "is cut short: ...".
        find_damage: looks for what else may be wrong, once the end is reached.
        num_samples: per channel, where libsndfile miscounts them.

    Raises:
        NotReadByLibsndfileError: where libsndfile does not open it.
    """

    def __init__(
        self,
        source: Source,
        pieces: list[bytes | tuple[int, int]] | None = None,
        *,
        format: str | None = None,
        promise: tuple[int, int] | None = None,
        damage: str | None = None,
        find_damage: FindDamage | None = None,
        num_samples: int | None = None,
    ) -> None:
        self._source, self._pieces, self._find_damage = source, pieces, find_damage
        with self._opened() as (file, _):
            length = num_samples or (None if file.frames == _UNKNOWN_LENGTH else file.frames)
            encoded_alone = not any(name in file.subtype for name in _BLOCKWISE)
            super().__init__(
                source.name,
                sampling_rate=file.samplerate,
                num_channels=file.channels,
                num_samples=length,
                format=format or file.format,
                subtype=file.subtype,
                seeks=length is not None
                and ((file.format in _EXACT and encoded_alone) or (file.format == "OGG" and file.subtype in _PREROLL)),
            )
            self._promises = [promise] if promise else _promised_bytes(file.extra_info)
            if "Seems to be a truncated file" in file.extra_info:  # VOC
                damage = "is cut short: its last block is not whole"
            self._damage = damage
            if file.format == "NIST":
                self.num_samples = max(_nist_length(source), length or 0)

    def decode(self, start: int = 0) -> Blocks:
        """Decode from sample `start` to the end; of Ogg, a second or two before it are decoded first."""
        with self._opened() as (file, excerpt):
            position = 0
            if self.seeks and start:
                assert self.num_samples is not None
                preroll = round(_PREROLL.get(self.subtype, 0) * self.sampling_rate)
                wanted = min(start, self.num_samples) - preroll
                if wanted > 0:
                    position = self._seek(file, wanted)
            for block in decode_sequentially(self.name, file, excerpt):
                begin, position = position, position + len(block)
                last = len(block) if self.num_samples is None else max(0, self.num_samples - begin)
                if position > start and last:
                    yield block[max(0, start - begin) : last]
        position = position if self.num_samples is None else min(position, self.num_samples)
        for promised, there in self._promises:
            if there < promised:
                raise AudioError(
                    f"is cut short: its header promises {promised} bytes of samples, the file holds {there}",
                    subject=self.name,
                )
        if self.num_samples is not None and position < self.num_samples:
            raise damaged(self.name, self.num_samples, position)
        if damage := self._damage or (self._find_damage() if self._find_damage else None):
            raise AudioError(damage, subject=self.name)
        return position

    def _seek(self, file: soundfile.SoundFile, sample: int) -> int:
        try:
            return int(file.seek(sample))
        except soundfile.LibsndfileError as error:
            raise AudioError(f"is damaged or cut short: {reason(error)}", subject=self.name) from None

    @contextmanager
    def _opened(self) -> "Iterator[tuple[soundfile.SoundFile, Excerpt | None]]":
        path, excerpt = self._source.path, None
        if path is None or self._pieces is not None:
            excerpt = Excerpt(self._source, [(0, self._source.size)] if self._pieces is None else self._pieces)
        try:
            file = SequentialFile(excerpt if excerpt is not None or path is None else system_path(path))
        except soundfile.LibsndfileError as error:
            raise _unopened(self._source, error) from None
        with file:
            if file.format == "RAW":  # libsndfile takes whatever is called .au, .snd, .vox or .gsm for raw samples
                raise NotReadByLibsndfileError(NOT_AUDIO, subject=self._source.name)
            yield file, excerpt


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped base class
    """A file that is only read forwards, so that formats which seek badly (MP3, FLAC without a length) read well."""

    def seekable(self) -> bool:
        """Keep soundfile from seeking after each block."""
        return False


def decode_sequentially(name: str, file: soundfile.SoundFile, excerpt: Excerpt | None) -> Iterator[np.ndarray]:
    """Decode from where the file stands to its end, in blocks of shape (samples, channels).

    Raises:
        AudioError: where libsndfile finds damage, or the system cannot read the file.
    """
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            if excerpt is not None and excerpt.error is not None:
                raise excerpt.error from None
            raise AudioError(f"is damaged or cut short: {reason(error)}", subject=name) from None
        if excerpt is not None and excerpt.error is not None:
            raise excerpt.error
        if len(block) == 0:
            return
        yield block


def system_path(path: Path) -> str | bytes:
    """Spell a path as the system does: on POSIX its bytes, which need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def reason(error: soundfile.LibsndfileError) -> str:
    """Return what libsndfile says of an error."""
    return str(error.error_string).removeprefix("Error : ").rstrip(".")


def _unopened(source: Source, error: soundfile.LibsndfileError) -> AudioError:
    """Return the error of a file that libsndfile did not open."""
    head = source.read_at(0, 4096)
    fmt = head.find(b"fmt ")
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and fmt > 0 and head[fmt + 12 : fmt + 16] == bytes(4):
        return AudioError(
            "its header says a sampling rate of 0 Hz; rewrite the header with the true rate", subject=source.name
        )
    if error.code == 24:  # libsndfile found a whole header, but a zero in it
        return AudioError(
            "its header says a sampling rate of 0 Hz, or no channels; rewrite the header with the true numbers",
            subject=source.name,
        )
    if error.code in (1, 7):  # unknown format; MPEG decoder found no frame (whose text speaks of missing files)
        return NotReadByLibsndfileError(NOT_AUDIO, subject=source.name)
    return NotReadByLibsndfileError(f"is damaged or cut short: {reason(error)}", subject=source.name)


def _nist_length(source: Source) -> int:
    """Return the samples that a SPHERE header promises, of which libsndfile takes no notice."""
    found = re.search(rb"^sample_count -i (\d+)", source.read_at(0, 1024), re.MULTILINE)
    return int(found[1]) if found else 0


def _promised_bytes(log: str) -> list[tuple[int, int]]:
    """Find in libsndfile's log the sizes it had to correct: (promised, there), in WAV, AIFF, AU, CAF and W64 files."""
    sizes = []
    for line in log.splitlines():  # such as "data : 95680 (should be 47818)"
        name, _, numbers = line.partition(":")
        promised, corrected, there = numbers.partition("(should be ")
        if corrected and name.strip() in ("data", "SSND", "BODY", "Data Size", "riff"):
            try:
                sizes.append((int(promised, 0), int(there.rstrip(" )"), 0)))
            except ValueError:  # no number after all
                continue
    return [(promised, there) for promised, there in sizes if promised not in _STREAMED]


_STREAMED = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # sizes of AU and CAF files that were written into a pipe
