"""Which decoder reads a file, decided by its content, whatever its name."""

from functools import partial
from pathlib import PurePath
from shlex import quote

from xcodec.audio.decoder import Decoder, FindDamage, JoinedDecoder
from xcodec.audio.ffmpeg import FfmpegDecoder, NotReadByFfmpegError, has_ffmpeg
from xcodec.audio.formats import after_id3, describe
from xcodec.audio.libsndfile import NOT_AUDIO, LibsndfileDecoder, NotReadByLibsndfileError
from xcodec.audio.mpeg import read_mpeg, starts_as_mpeg
from xcodec.audio.mpeg_decoder import open_mpeg
from xcodec.audio.ogg import damaged_page, read_ogg
from xcodec.audio.riff import MAGICS, read_wave
from xcodec.audio.source import Source
from xcodec.errors import AudioError

__all__ = ["open_decoder"]

_PCM = (1, 3)  # encodings of WAV that need no other decoder if libsndfile refuses them
_MPEG = (0x50, 0x55)  # MP2 and MP3
_FRAMES = 8  # MPEG frames in a row that make a file with something else before them one of MPEG audio


def open_decoder(source: Source) -> Decoder:
    """Open a recording.

    Raises:
        AudioError: where it is not audio, cannot be read with what is installed, or its beginning is damaged.
    """
    if PurePath(source.name).suffix.lower() == ".raw":
        raise AudioError(
            "raw samples have no header; read them with numpy and give their sampling rate", subject=source.name
        )
    head = source.read_at(0, 12)
    if head[:4] in MAGICS and head[8:] == b"WAVE":
        return _open_wave(source)
    if head[:4] == b"OggS":
        return _open_ogg(source)
    begin = after_id3(source)
    if starts_as_mpeg(source, begin):
        return open_mpeg(source, begin)
    return _open_other(source)


def _open_wave(source: Source) -> Decoder:
    wave = read_wave(source)
    if wave is None:
        return _open_other(source)
    promise = None if wave.promised is None else (wave.promised, wave.num_bytes)
    if wave.tag in _MPEG:
        cut = wave.promised is not None and wave.num_bytes < wave.promised
        damage = f"its header promises {wave.promised} bytes, the file holds {wave.num_bytes}" if cut else None
        return open_mpeg(source, wave.pieces[0][0], wave.pieces[-1][1], "WAV", damage)
    format = "RF64" if wave.magic in (b"RF64", b"BW64") else None
    try:
        return LibsndfileDecoder(source, wave.as_plain, format=format, promise=promise, num_samples=wave.num_samples)
    except NotReadByLibsndfileError as error:
        if wave.tag in _PCM:
            raise
        return _with_ffmpeg(source, error)


def _open_ogg(source: Source) -> Decoder:
    links = read_ogg(source)
    damage = next((link.damage for link in links if link.damage), None)
    check = partial(damaged_page, source, 0, source.size)
    if links and all(link.codecs in (["VORBIS"], ["OPUS"]) for link in links):
        if len(links) == 1:
            return LibsndfileDecoder(source, damage=damage, find_damage=check)
        parts: list[Decoder] = [
            LibsndfileDecoder(
                source,
                [(link.begin, link.end)],
                damage=link.damage,
                find_damage=partial(damaged_page, source, link.begin, link.end),
            )
            for link in links
        ]
        return JoinedDecoder(source.name, parts)
    return _with_ffmpeg(source, AudioError(damage or NOT_AUDIO, subject=source.name), damage, check)


def _open_other(source: Source) -> Decoder:
    try:
        decoder = LibsndfileDecoder(source)
    except NotReadByLibsndfileError as error:
        if (
            not describe(source)[1]
            and sum(len(stream.starts) for stream in read_mpeg(source, 0, source.size)) > _FRAMES
        ):
            return open_mpeg(source)
        return _with_ffmpeg(source, error)
    return open_mpeg(source) if decoder.format == "MP3" else decoder


def _with_ffmpeg(
    source: Source, refusal: AudioError, damage: str | None = None, find_damage: FindDamage | None = None
) -> Decoder:
    """Open what libsndfile has refused.

    Raises:
        AudioError: `refusal`, or what the file is and how it can be read, where FFmpeg cannot read it either.
    """
    name, is_audio = describe(source)
    if name is not None and not is_audio:
        raise AudioError(f"is not audio but {name}", subject=source.name)
    if has_ffmpeg():
        try:
            return FfmpegDecoder(source, damage, find_damage)
        except NotReadByFfmpegError as error:
            raise (error if is_audio else refusal) from None
    if is_audio:
        raise AudioError(
            f"is {name}, which needs FFmpeg",
            subject=source.name,
            remedy="install it with pip install 'xcodec[formats]', or convert the file: "
            f"ffmpeg -i {quote(source.name)} converted.wav",
        )
    raise refusal
