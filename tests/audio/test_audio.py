"""Recordings: every format in and out, and every way in which a file can be bad."""

import os
import resource
import signal
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xcodec.audio import WRITABLE_SUFFIXES, Audio, AudioInfo, is_media, pcm_to_float32, resampled_length
from xcodec.errors import AudioError
from xcodec.files import written_whole

SPEECH = Path(__file__).parents[1] / "audio" / "austen-0880.wav"  # 16 kHz, mono, 47,840 samples


@pytest.fixture(scope="module")
def speech() -> Audio:
    return Audio.read(SPEECH)


def tone(frequency: float, rate: int, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# --- reading


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_wav_of_every_width_and_channel_count_is_read(
    tmp_path: Path, speech: Audio, subtype: str, channels: int
) -> None:
    path = tmp_path / "speech.wav"
    frames = np.stack([speech.samples[0] * gain for gain in np.linspace(1.0, 0.2, channels)], axis=1)
    soundfile.write(path, frames, 22050, subtype=subtype)
    audio = Audio.read(path)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (channels, 47840)
    assert audio.sampling_rate == 22050
    step = {"PCM_U8": 2**-7, "PCM_16": 2**-15}.get(subtype, 2**-23)
    np.testing.assert_allclose(audio.samples, frames.T, atol=step)


@pytest.mark.parametrize(
    ("name", "container", "subtype"),
    [
        ("speech.flac", "FLAC", "PCM_16"),
        ("speech24.flac", "FLAC", "PCM_24"),
        ("speech.ogg", "OGG", "VORBIS"),
        ("speech.opus", "OGG", "OPUS"),
        ("speech.mp3", "MP3", "MPEG_LAYER_III"),
        ("speech.aiff", "AIFF", "PCM_16"),
        ("speech.au", "AU", "PCM_16"),
        ("speech.caf", "CAF", "PCM_16"),
        ("speech.w64", "W64", "PCM_16"),
    ],
)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read_whole(
    tmp_path: Path, speech: Audio, name: str, container: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / name
    original = speech.resample(rate)
    frames = np.repeat(original.samples.T, channels, axis=1)
    soundfile.write(path, frames, rate, format=container, subtype=subtype)
    audio = Audio.read(path)
    assert (audio.num_channels, audio.num_samples, audio.sampling_rate) == (channels, original.num_samples, rate)
    assert similarity(audio.mono().samples, original.samples) > (0.99 if subtype.startswith("PCM") else 0.9)
    assert is_media(path)
    assert AudioInfo.read(path) == AudioInfo(original.num_samples, channels, rate, container, subtype)


def test_a_file_is_known_by_its_content_not_its_suffix(tmp_path: Path, speech: Audio) -> None:
    path = tmp_path / "speech.mp3"
    soundfile.write(path, speech.samples[0], 16000, format="FLAC")
    assert Audio.read(path) == speech


def test_header_is_read_without_decoding() -> None:
    info = AudioInfo.read(SPEECH)
    assert info == AudioInfo(47840, 1, 16000, "WAV", "PCM_16")
    assert info.duration == pytest.approx(2.99)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_wav_that_a_program_streamed_without_knowing_its_length_is_read(
    tmp_path: Path, speech: Audio, size: int
) -> None:
    content = bytearray(SPEECH.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path = tmp_path / "streamed.wav"
    path.write_bytes(content)
    assert Audio.read(path) == speech


def test_flac_without_a_length_is_read_to_its_end(tmp_path: Path, speech: Audio) -> None:
    path = tmp_path / "streamed.flac"
    soundfile.write(path, speech.samples[0], 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the low 36 bits of STREAMINFO's field at byte 18: total samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert Audio.read(path) == speech
    assert AudioInfo.read(path).num_samples is None
    assert AudioInfo.read(path).duration is None


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize(
    "samples", [np.zeros(16000), np.zeros(1), np.full(1, 0.5)], ids=["silence", "one 0", "one 1/2"]
)
def test_silence_and_one_sample_are_recordings(tmp_path: Path, suffix: str, samples: np.ndarray) -> None:
    path = tmp_path / f"short{suffix}"
    Audio(samples, 16000).save(path)
    audio = Audio.read(path)
    assert audio.num_samples == len(samples)
    if not samples.any():
        assert np.abs(audio.samples).max() < 1e-4
    if suffix in (".wav", ".flac"):
        np.testing.assert_array_equal(audio.samples[0], samples)


# --- files that are bad, each in its own way


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing\.wav: no such file"):
        Audio.read(tmp_path / "nothing.wav")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder; give a file in it"):
        Audio.read(tmp_path)


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match=r"pipe\.wav: is not a regular file"):
        Audio.read(tmp_path / "pipe.wav")


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder of another user, seen without root's powers, where permissions mean something."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        (path / "secret.wav").write_bytes(SPEECH.read_bytes())
        (path / "secret.wav").chmod(0o000)
        am_root = os.geteuid() == 0
        if am_root:
            os.seteuid(65534)
        else:
            path.chmod(0o555)
        try:
            yield path
        finally:
            if am_root:
                os.seteuid(0)
            path.chmod(0o755)


def test_file_without_permission(locked_folder: Path, speech: Audio) -> None:
    with pytest.raises(AudioError, match=r"secret\.wav: permission to read it is denied"):
        Audio.read(locked_folder / "secret.wav")
    with pytest.raises(AudioError, match=r"new\.wav: cannot be written: Permission denied"):
        speech.save(locked_folder / "new.wav")


@pytest.mark.parametrize(
    "suffix", [".wav", ".mp3", ".ogg", ".flac", ".m4a", ".bin", ".snd", ".vox", ".gsm", ".al", ".ul"]
)
def test_text_is_not_audio(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("he was not an ill disposed young man\n" * 100)
    with pytest.raises(AudioError, match=r"is not audio in a format that can be read.*expected WAV, FLAC"):
        Audio.read(path)


def test_raw_samples_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "samples.raw").write_bytes(SPEECH.read_bytes()[44:])
    with pytest.raises(AudioError, match="no header; read them with numpy and give their sampling rate"):
        Audio.read(tmp_path / "samples.raw")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav: is empty, 0 bytes"):
        Audio.read(tmp_path / "empty.wav")


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".ogg"])
def test_header_without_samples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    soundfile.write(path, np.zeros(0), 16000)
    with pytest.raises(AudioError, match=rf"empty\{suffix}: holds no samples"):
        Audio.read(path)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".au", ".w64"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_file_that_holds_less_than_its_header_promises(
    tmp_path: Path, speech: Audio, suffix: str, subtype: str, kept: float
) -> None:
    path = tmp_path / f"cut{suffix}"
    container = suffix[1:].upper()
    if not soundfile.check_format(container, subtype):
        subtype = "PCM_S8"
    soundfile.write(path, speech.samples[0], 16000, format=container, subtype=subtype)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(AudioError, match=r"is cut short: its header promises \d+ bytes of samples, the file holds \d+"):
        Audio.read(path)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus", ".mp3"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_compressed_file_that_is_cut_short(tmp_path: Path, speech: Audio, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    speech.save(path)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(AudioError, match=rf"cut\{suffix}: is (damaged or )?cut short"):
        Audio.read(path)


def checksum_of_ogg(page: bytes) -> int:
    """RFC 3533: the CRC of the polynomial 0x04c11db7, from 0, neither reflected nor inverted."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def test_vorbis_whose_last_page_is_not_marked_is_read_where_it_is_whole(tmp_path: Path, speech: Audio) -> None:
    """As some encoders leave it. Of Opus libsndfile refuses it."""
    path = tmp_path / "unmarked.ogg"
    speech.save(path)
    expected, content = Audio.read(path), path.read_bytes()
    last = content.rindex(b"OggS\0")
    page = bytearray(content[last:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    page[22:26] = checksum_of_ogg(page).to_bytes(4, "little")
    path.write_bytes(content[:last] + page)
    assert Audio.read(path).num_samples >= expected.num_samples
    path.write_bytes(content[:last] + page[:-1])
    with pytest.raises(AudioError, match="is cut short: the last Ogg page does not end the stream"):
        Audio.read(path)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_ogg_of_several_streams_in_a_row_is_all_of_them(tmp_path: Path, speech: Audio, suffix: str) -> None:
    path = tmp_path / f"chained{suffix}"
    speech.resample(48000).save(path)
    whole, alone = path.read_bytes(), Audio.read(path)
    path.write_bytes(whole + whole)
    assert AudioInfo.read(path).num_samples == 2 * alone.num_samples
    np.testing.assert_array_equal(Audio.read(path).samples, np.tile(alone.samples, (1, 2)))
    seconds = alone.duration
    assert Audio.read(path, start=seconds, duration=1) == Audio.read(whole, duration=1)
    path.write_bytes(whole + whole[:-100])
    with pytest.raises(AudioError, match=r"is (damaged or )?cut short"):
        Audio.read(path)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".opus"])
def test_file_that_is_damaged_in_the_middle(tmp_path: Path, speech: Audio, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    speech.save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="is damaged or cut short"):
        Audio.read(path)


def test_header_of_zero_hertz(tmp_path: Path) -> None:
    content = bytearray(SPEECH.read_bytes())
    content[24:28] = bytes(4)
    (tmp_path / "zero.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"zero\.wav: its header says a sampling rate of 0 Hz"):
        Audio.read(tmp_path / "zero.wav")

    soundfile.write(tmp_path / "zero.au", np.zeros(10), 16000)
    content = bytearray((tmp_path / "zero.au").read_bytes())
    content[16:20] = bytes(4)
    (tmp_path / "zero.au").write_bytes(content)
    with pytest.raises(AudioError, match=r"zero\.au: its header says a sampling rate of 0 Hz"):
        Audio.read(tmp_path / "zero.au")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, bad: float) -> None:
    frames = np.zeros((100, 2), np.float32)
    frames[40:43, 1] = bad
    soundfile.write(tmp_path / "bad.wav", frames, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav: 3 of 200 samples are NaN or infinite, the first at sample 40"):
        Audio.read(tmp_path / "bad.wav")


# --- in memory


def test_one_dimension_is_one_channel() -> None:
    audio = Audio(np.zeros(320), 16000)
    assert audio.samples.shape == (1, 320)
    assert (audio.num_channels, audio.num_samples, audio.duration) == (1, 320, 0.02)


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        (np.uint8, [0, 128, 192], [-1.0, 0.0, 0.5]),
        (np.int8, [-128, 0, 64], [-1.0, 0.0, 0.5]),
        (np.int16, [-32768, 0, 16384], [-1.0, 0.0, 0.5]),
        (np.int32, [-(2**31), 0, 2**30], [-1.0, 0.0, 0.5]),
        (np.float16, [-1, 0, 0.5], [-1.0, 0.0, 0.5]),
        (np.float64, [-2, 0, 0.5], [-2.0, 0.0, 0.5]),
    ],
)
def test_pcm_is_scaled_and_floating_point_is_kept(
    dtype: type[np.generic], given: list[float], expected: list[float]
) -> None:
    audio = Audio(np.array(given, dtype), 16000)
    assert audio.samples.dtype == np.float32
    assert audio.samples.tolist() == [expected]


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(0), 16000, r"holds no samples \(shape \(1, 0\)\)"),
        (np.zeros((1, 2, 3)), 16000, r"samples of shape \(1, 2, 3\): expected \(channels, samples\)"),
        (np.zeros(()), 16000, r"samples of shape \(\): expected"),
        (np.zeros((16000, 2)), 16000, "would be 16000 channels; transpose"),
        (np.zeros(3, np.int64), 16000, "samples of type int64: expected floating point"),
        (np.zeros(3, bool), 16000, "samples of type bool"),
        (np.array([0, np.nan]), 16000, "1 of 2 samples are NaN or infinite, the first at sample 1"),
        (np.array([1e300]), 16000, "1 of 1 samples are NaN or infinite"),
        (np.zeros(3), 0, "a sampling rate of 0: expected a whole number of Hz from 1 to 2147483647"),
        (np.zeros(3), -16000, "a sampling rate of -16000"),
        (np.zeros(3), 16000.5, "a sampling rate of 16000.5"),
        (np.zeros(3), float("nan"), "a sampling rate of nan"),
        (np.zeros(3), None, "a sampling rate of None"),
        (np.zeros(3), 2**31, "a sampling rate of 2147483648"),
        (np.zeros(3), 10**400, "a sampling rate of 1000"),
        (np.zeros(3), True, "a sampling rate of True"),
    ],
)
def test_what_is_not_a_recording_is_refused(samples: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        Audio(samples, rate)


@pytest.mark.parametrize("shape", [(8,), (2, 4)])
def test_what_the_caller_does_later_does_not_change_a_recording(shape: tuple[int, ...]) -> None:
    samples = np.zeros(shape, np.float32)
    audio = Audio(samples, 16000)
    samples[:] = 1
    assert audio.samples.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        Audio.read(SPEECH).resample(8000).samples[0, 0] = 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u1", "f2", "f4", "f8"])
def test_pcm_of_either_byte_order_is_scaled_alike(dtype: str, order: str) -> None:
    given = np.array([[0, 3], [100, 127]]).astype(order + dtype)
    scaled = pcm_to_float32(given)
    silence, full = {"i1": (0, 2**7), "i2": (0, 2**15), "i4": (0, 2**31), "u1": (128, 2**7)}.get(dtype, (0, 1))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, ((given.astype(np.float64) - silence) / full).astype(np.float32))
    assert not np.may_share_memory(scaled, given)
    assert Audio(given, 16000) == Audio(scaled, 16000)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.uint32, bool, complex, object, "U1"])
def test_samples_whose_full_scale_is_not_known_are_refused(dtype: object) -> None:
    with pytest.raises(AudioError, match=r"expected floating point with full scale at 1\.0, or PCM as int16"):
        pcm_to_float32(np.zeros(4).astype(dtype))


def test_recordings_are_equal_by_content() -> None:
    audio = Audio(tone(440, 16000, 0.1), 16000)
    assert audio == Audio(audio.samples.copy(), 16000)
    assert audio != Audio(audio.samples, 8000)
    assert audio != Audio(-audio.samples, 16000)
    assert audio != "audio"


def test_mono_is_the_mean_of_the_channels() -> None:
    audio = Audio(np.array([[1.0, 0.0, -1.0], [0.0, 0.5, -1.0]]), 8000)
    assert audio.mono() == Audio(np.array([0.5, 0.25, -1.0]), 8000)
    assert audio.mono().mono() is not audio
    assert Audio(np.zeros(3), 8000).mono().num_channels == 1


@pytest.mark.parametrize("num_samples", [1, 2, 319, 1001, 44100])
@pytest.mark.parametrize(
    ("old", "new"), [(44100, 16000), (48000, 16000), (8000, 16000), (16000, 44100), (11025, 16000), (192000, 8000)]
)
def test_resampled_length_is_the_quotient_rounded_up(num_samples: int, old: int, new: int) -> None:
    audio = Audio(np.full((2, num_samples), 0.25), old).resample(new)
    assert audio.samples.shape == (2, -(-num_samples * new // old))
    assert audio.num_samples == resampled_length(num_samples, old, new)
    assert audio.sampling_rate == new
    assert audio.samples.dtype == np.float32


@pytest.mark.parametrize("old", [8000, 22050, 44100, 48000])
def test_a_tone_stays_itself_when_resampled(old: int) -> None:
    resampled = Audio(tone(440, old, 1.0), old).resample(16000).samples[0]
    # Its ends are cut off sharply, and ring.
    np.testing.assert_allclose(resampled[500:-500], tone(440, 16000, 1.0)[500:-500], atol=1e-4)


def test_what_the_new_rate_cannot_hold_is_filtered_out() -> None:
    resampled = Audio(tone(12000, 48000, 1.0), 48000).resample(16000).samples[0]
    assert np.abs(resampled[500:-500]).max() < 1e-4


def test_resampling_to_the_same_rate_changes_nothing(speech: Audio) -> None:
    assert speech.resample(16000) is speech
    with pytest.raises(AudioError, match="a sampling rate of 0"):
        speech.resample(0)


# --- writing


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_sixteen_bit_recordings_come_back_bit_by_bit(tmp_path: Path, speech: Audio, suffix: str) -> None:
    speech.save(tmp_path / f"copy{suffix}")
    assert Audio.read(tmp_path / f"copy{suffix}") == speech
    assert AudioInfo.read(tmp_path / f"copy{suffix}").subtype == "PCM_16"


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_keep_length_channels_and_sound(tmp_path: Path, speech: Audio, suffix: str) -> None:
    stereo = Audio(np.concatenate([speech.samples, speech.samples / 2]), 16000)
    stereo.save(tmp_path / f"copy{suffix}")
    copy = Audio.read(tmp_path / f"copy{suffix}")
    assert copy.samples.shape == stereo.samples.shape
    assert copy.sampling_rate == 16000
    assert similarity(copy.samples, stereo.samples) > 0.9


def test_what_exceeds_full_scale_is_clipped_except_in_floating_point(tmp_path: Path) -> None:
    loud = Audio(np.array([2.0, -2.0, 0.5]), 16000)
    loud.save(tmp_path / "loud.wav")
    np.testing.assert_allclose(Audio.read(tmp_path / "loud.wav").samples, [[1.0, -1.0, 0.5]], atol=2**-15)
    loud.save(tmp_path / "loud.wav", subtype="float")
    assert Audio.read(tmp_path / "loud.wav") == loud


def test_a_long_recording_is_written_in_pieces(tmp_path: Path, speech: Audio) -> None:
    long = Audio(np.tile(speech.samples, (1, 20)), 16000)  # 60 s: 15 blocks
    long.save(tmp_path / "long.ogg")
    assert Audio.read(tmp_path / "long.ogg").num_samples == long.num_samples


@pytest.mark.parametrize("name", ["speech.m4a", "speech", "speech.aiff"])
def test_unknown_suffix_names_those_that_work(tmp_path: Path, speech: Audio, name: str) -> None:
    with pytest.raises(AudioError, match=r"use one of \.wav, \.flac, \.ogg, \.opus, \.mp3"):
        speech.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_unknown_subtype_names_those_that_work(tmp_path: Path, speech: Audio) -> None:
    with pytest.raises(AudioError, match=r"FLAC has no subtype 'FLOAT'; it has .*PCM_16"):
        speech.save(tmp_path / "speech.flac", subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "channels", "rate"), [("speech.opus", 1, 44100), ("speech.mp3", 1, 96000), ("speech.mp3", 3, 16000)]
)
def test_what_a_format_cannot_hold_leaves_nothing_behind(tmp_path: Path, name: str, channels: int, rate: int) -> None:
    with pytest.raises(AudioError, match=rf"cannot write {channels} channel\(s\) at {rate} Hz as .*or write \.wav"):
        Audio(np.zeros((channels, 100)), rate).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_folder_as_file(tmp_path: Path, speech: Audio) -> None:
    with pytest.raises(AudioError, match=r"out\.wav: cannot be written: the folder .*nowhere does not exist; make it"):
        speech.save(tmp_path / "nowhere" / "out.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav: cannot be written: it is a folder"):
        speech.save(tmp_path / "folder.wav")


def half_write(path: Path) -> None:
    with written_whole(path) as part:
        part.write_text("half of the ne")
        raise RuntimeError("power cut")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="power cut"):
        half_write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def little_space() -> Iterator[int]:
    """No file may grow beyond this many bytes, as on a disk that fills up."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, little_space: int, suffix: str) -> None:
    noise = Audio(np.random.default_rng(0).uniform(-1, 1, 16 * little_space), 16000)
    with pytest.raises(AudioError, match="cannot be written: the system refused; is the disk full"):
        noise.save(tmp_path / f"noise{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_write_replaces_the_old_file_with_ordinary_permissions(tmp_path: Path, speech: Audio) -> None:
    path = tmp_path / "speech.wav"
    path.write_text("old")
    speech.save(path)
    assert Audio.read(path) == speech
    (tmp_path / "ordinary").touch()
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert {file.name for file in tmp_path.iterdir()} == {"speech.wav", "ordinary"}


def test_contents_reach_the_disk_before_the_name_does(
    tmp_path: Path, speech: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[str]]] = []

    def fsync(descriptor: int, really: Callable[[int], None] = os.fsync) -> None:
        what = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        synced.append((Path(what).suffix, sorted(path.suffix for path in tmp_path.iterdir())))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    speech.save(tmp_path / "speech.wav")
    assert synced == [(".part", [".part"]), ("", [".wav"])]


def test_a_file_name_need_not_be_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    audio = Audio(np.linspace(-0.5, 0.5, 100), 16000)
    audio.save(path)
    assert Audio.read(path).num_samples == 100
