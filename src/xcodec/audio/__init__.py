"""Audio: samples and their rate; which files hold recordings, reading and writing them, and resampling."""

from xcodec.audio.audio import Audio
from xcodec.audio.channels import Channel
from xcodec.audio.file import AudioFile
from xcodec.audio.info import AudioInfo
from xcodec.audio.media import MEDIA_SUFFIXES, is_media, media_files
from xcodec.audio.pcm import pcm_to_float32
from xcodec.audio.resampling import resampled_length
from xcodec.audio.source import AudioSource
from xcodec.audio.writing import WRITABLE_SUFFIXES

__all__ = [
    "MEDIA_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Audio",
    "AudioFile",
    "AudioInfo",
    "AudioSource",
    "Channel",
    "is_media",
    "media_files",
    "pcm_to_float32",
    "resampled_length",
]
