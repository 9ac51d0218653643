"""Audio: samples and their rate; which files hold recordings, reading and writing them, and resampling."""

from xcodec.audio.audio import WRITABLE_SUFFIXES, Audio, AudioInfo, pcm_to_float32, resampled_length
from xcodec.audio.media import MEDIA_SUFFIXES, is_media, media_files

__all__ = [
    "MEDIA_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Audio",
    "AudioInfo",
    "is_media",
    "media_files",
    "pcm_to_float32",
    "resampled_length",
]
