"""Reading in blocks: channels, rates and limits give what whole recordings give, in little memory."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_builders import SPEECH
from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError


def noise(tmp_path: Path, rate: int, seconds: float, channels: int, suffix: str = ".wav") -> Path:
    path = tmp_path / f"noise{suffix}"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (int(rate * seconds), channels))
    soundfile.write(path, samples, rate)
    return path


@pytest.mark.parametrize("channels", [1, 2, 9])
@pytest.mark.parametrize(
    ("old", "new"),
    [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 24000), (44101, 16000), (12345, 16001), (192000, 16000)],
)
def test_resampling_while_reading_is_resampling_afterwards_bit_by_bit(
    tmp_path: Path, old: int, new: int, channels: int
) -> None:
    path = noise(tmp_path, old, 200_001 / old, channels)  # three blocks and a bit
    whole = Audio.read(path)
    assert Audio.read(path, channel="mean", sampling_rate=new) == whole.mono().resample(new)
    assert Audio.read(path, sampling_rate=new) == whole.resample(new)
    span = Audio.read(path, start=0.1, duration=0.7)
    assert Audio.read(path, start=0.1, duration=0.7, sampling_rate=new) == span.resample(new)


def test_resampling_is_that_of_soxr_in_one_piece() -> None:
    import soxr

    speech = Audio.read(SPEECH)
    padded = np.concatenate([speech.samples[0], np.zeros(2, np.float32)])
    np.testing.assert_array_equal(
        speech.resample(44100).samples[0], soxr.resample(padded, 16000, 44100, quality="VHQ")[: -(-47840 * 441 // 160)]
    )


def test_one_channel_of_several_is_chosen(tmp_path: Path) -> None:
    path = noise(tmp_path, 8000, 1, 3)
    whole = Audio.read(path)
    for channel, index in (("left", 0), ("right", 1), (0, 0), (2, 2), (np.int64(1), 1)):
        assert Audio.read(path, channel=channel) == Audio(whole.samples[index], 8000)
    with pytest.raises(AudioError, match=r"noise\.wav: has no channel 3, only 3"):
        Audio.read(path, channel=3)
    with pytest.raises(AudioError, match="has no channel right, only 1"):
        Audio.read(SPEECH, channel="right")
    for wrong in ("centre", -1, 0.5, True):
        with pytest.raises(InputError, match=r'expected "mean", "left", "right"'):
            Audio.read(path, channel=wrong)  # type: ignore[arg-type]


def test_the_limit_holds_for_what_is_read_and_not_for_the_file(tmp_path: Path) -> None:
    path = noise(tmp_path, 8000, 10, 1)
    with pytest.raises(AudioError, match=r"is longer than the limit of 9 s; cut it into spans"):
        Audio.read(path, longest=9, sampling_rate=16000)
    assert Audio.read(path, longest=10).duration == 10
    assert Audio.read(path, start=9.0, longest=2).duration == 1
    assert Audio.read(path, duration=2.0, longest=2).duration == 2


def test_a_recording_at_one_hertz_does_not_fill_the_memory() -> None:
    data = bytes(1_600_000)
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1, 2, 2, 16) + b"data" + struct.pack("<I", len(data))
    content = b"RIFF" + struct.pack("<I", len(header) + len(data)) + header + data
    with pytest.raises(AudioError, match="is longer than the limit of 3600 s"):
        Audio.read(content, longest=3600, sampling_rate=16000)


MEASURE = """
import resource, sys
import numpy as np, soundfile, soxr
from xcodec.audio import Audio
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
audio = Audio.read(sys.argv[1], channel="mean", sampling_rate=16000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / audio.samples.nbytes)
"""


def test_memory_follows_the_result(tmp_path: Path) -> None:
    path = tmp_path / "silence.flac"
    with soundfile.SoundFile(path, "w", 48000, 2) as file:
        for _ in range(30):
            file.write(np.zeros((48000 * 60, 2), np.int16))
    shown = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert float(shown.stdout) < 2.0  # 115 MB; the file holds 691 MB of float32


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_spans_anywhere_are_what_the_whole_has_there(tmp_path: Path, suffix: str) -> None:
    speech = Audio.read(SPEECH)
    path = tmp_path / f"long{suffix}"
    Audio(np.tile(np.concatenate([speech.samples, speech.samples[:, ::-1] / 2]), 10), 16000).save(path)
    whole = Audio.read(path)
    starts = np.sort(np.random.default_rng(0).uniform(0, whole.duration - 0.5, 25))
    spans = [(start, 0.4) for start in starts.tolist()]
    for (start, _), span in zip(spans, Audio.read_spans(path, spans), strict=True):
        first = round(start * 16000)
        # A second of Vorbis and two of Opus are decoded before; of MP3 all frames that the first one depends on.
        np.testing.assert_allclose(span.samples, whole.samples[:, first : first + 6400], atol=1e-4)
        assert span == Audio.read(path, start=start, duration=0.4)
