"""WAV files whose sizes were never written, are true where they need not be, or promise what is not there."""

import contextlib
import struct

import numpy as np
import pytest

from audio_builders import SPEECH
from xcodec.audio import Audio, AudioInfo
from xcodec.errors import AudioError

CONTENT = SPEECH.read_bytes()
DATA = CONTENT[44:]


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if size is None else size) + content


def wave(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


FORMAT = CONTENT[12:36]


@pytest.mark.parametrize(
    "size",
    [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0xFFFFFFDB, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFDB, 0x80000000, 0x7FFF0000],
)
def test_a_size_that_was_never_written_means_to_the_end(size: int) -> None:
    content = wave(FORMAT, chunk(b"data", DATA, size), size=min(0xFFFFFFFF, size + 36))
    assert Audio.read(content) == Audio.read(SPEECH)
    assert AudioInfo.read(content).num_samples == 47840


@pytest.mark.parametrize("size", [0x80000001 + 0x10000, 3_000_000_000, 0xFFFEFFFF, 2_000_000_000])
def test_a_true_size_of_gigabytes_is_a_promise(size: int) -> None:
    with pytest.raises(AudioError, match=f"is cut short: its header promises {size} bytes of samples, the file holds"):
        Audio.read(wave(FORMAT, chunk(b"data", DATA, size)))


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize("in_chunk", [0xFFFFFFFF, len(DATA)])
def test_rf64_gives_its_size_in_either_place(magic: bytes, in_chunk: int) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", len(DATA) + 80, len(DATA), 47840, 0))
    content = wave(sizes, FORMAT, chunk(b"data", DATA, in_chunk), magic=magic, size=0xFFFFFFFF)
    assert Audio.read(content) == Audio.read(SPEECH)
    assert AudioInfo.read(content).format == "RF64"
    with pytest.raises(AudioError, match="is cut short: its header promises 95680 bytes"):
        Audio.read(content[:-1000])


def test_two_data_chunks_are_one_recording() -> None:
    content = wave(FORMAT, chunk(b"data", DATA[:30000]), chunk(b"LIST", b"INFO"), chunk(b"data", DATA[30000:]))
    assert Audio.read(content) == Audio.read(SPEECH)
    assert Audio.read(content, start=0.5, duration=1.0) == Audio.read(SPEECH, start=0.5, duration=1.0)


def test_no_data_is_no_samples_and_what_follows_is_no_data() -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        Audio.read(wave(FORMAT, chunk(b"data", b""), chunk(b"LIST", b"INFOISFT\x04\0\0\0Lavf")))


def test_big_endian_wav_of_unknown_size() -> None:
    samples = np.frombuffer(DATA, "<i2").astype(">i2").tobytes()
    form = b"fmt " + struct.pack(">IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    content = b"RIFX" + bytes(4) + b"WAVE" + form + b"data" + bytes(4) + samples
    assert Audio.read(content) == Audio.read(SPEECH)


def test_whatever_the_headers_hold_the_error_is_one_of_audio() -> None:
    rng = np.random.default_rng(0)
    sizes = chunk(b"ds64", struct.pack("<QQQI", len(DATA) + 80, len(DATA), 47840, 0))
    whole = wave(sizes, FORMAT, chunk(b"data", DATA), magic=b"RF64")
    for _ in range(300):
        content = bytearray(whole[: rng.integers(1, 2000)])
        for at in rng.integers(0, min(90, len(content)), rng.integers(1, 6)):
            content[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(0, 256)])
        with contextlib.suppress(AudioError):
            Audio.read(bytes(content))
