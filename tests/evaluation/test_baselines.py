"""Codec 2 and Opus, as their own programs make them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import builders
from xcodec.audio import Audio
from xcodec.errors import InputError, MissingExtraError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.baselines import Codec2, Opus, baseline, payload
from xcodec.evaluation.systems.programs import run
from xcodec.evaluation.systems.system import ReconstructionError, System

CLIP = Clip("clip.wav", Path("clip.wav"))
SPEECH = Audio.read(builders.RECORDINGS[1])  # 2.99 s

with_codec2 = pytest.mark.skipif(shutil.which("c2enc") is None, reason="needs apt-get install codec2")
with_opus = pytest.mark.skipif(shutil.which("opusenc") is None, reason="needs apt-get install opus-tools")


@pytest.fixture(params=[pytest.param("codec2:1300", marks=with_codec2), pytest.param("opus:6", marks=with_opus)])
def system(request: pytest.FixtureRequest) -> System:
    return baseline(request.param)


@pytest.mark.parametrize("samples", [1, 160, 16_000, 47_840])
def test_what_comes_back_is_as_long_as_what_went_in(system: System, samples: int) -> None:
    recording = Audio(builders.speech(samples=samples), 16_000)
    result = system.reconstruct(CLIP, recording)
    assert abs(result.audio.duration - recording.duration) < 1 / 8000
    assert result.bits is not None
    assert result.bits > 0


def test_stereo_at_another_rate_and_silence_come_back_too(system: System) -> None:
    left = SPEECH.resample(44_100).samples[0]
    assert system.reconstruct(CLIP, Audio(np.stack([left, left]), 44_100)).audio.duration == pytest.approx(
        2.99, abs=1e-3
    )
    assert system.reconstruct(CLIP, Audio(np.zeros(8000, np.float32), 16_000)).audio.duration == 0.5


@with_codec2
@pytest.mark.parametrize("mode", Codec2.delays)
def test_codec_2_s_delay_is_where_intelligibility_has_its_maximum(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stoi = pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'").stoi
    delay = Codec2.delays[mode]

    def score(shift: int) -> float:
        monkeypatch.setitem(Codec2.delays, mode, delay + shift)
        decoded = Codec2(mode).reconstruct(CLIP, SPEECH).audio
        return float(stoi(SPEECH.resample(8000).samples[0], decoded.samples[0], 8000))

    early, right, late = score(-40), score(0), score(40)
    assert right > max(early, late)


@with_codec2
@pytest.mark.parametrize(("mode", "bitrate"), [("3200", 3200), ("1300", 1300), ("700C", 700)])
def test_codec_2_s_bits_are_those_of_its_stream(mode: str, bitrate: int) -> None:
    """A little more than the mode says: whole frames, whole bytes each, and the frames that flush the delay."""
    seconds = 24.0
    bits = Codec2(mode).reconstruct(CLIP, Audio(builders.speech(seconds), 16_000)).bits
    bits_a_frame = {"3200": 64, "1300": 52, "700C": 28}[mode]
    assert bits == pytest.approx(bitrate * seconds * (-(-bits_a_frame // 8) * 8) / bits_a_frame, rel=0.005)


@with_opus
def test_opus_keeps_its_bitrate_and_the_pages_around_its_packets_do_not_count(tmp_path: Path) -> None:
    result = Opus(9).reconstruct(CLIP, SPEECH)
    assert result.bits == pytest.approx(9000 * 2.99, rel=0.04)
    SPEECH.save(tmp_path / "speech.wav")
    run("opusenc", "--quiet", "--hard-cbr", "--bitrate", "9", tmp_path / "speech.wav", tmp_path / "speech.opus")
    stream = (tmp_path / "speech.opus").read_bytes()
    assert 8 * payload(stream) == result.bits
    assert payload(stream) < len(stream) - 500  # the headers, and the page headers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("codec2:1234", "expected one of codec2:3200, codec2:2400"),
        ("codec2", "expected one of codec2:3200"),
        ("opus:3", "opus:3: expected from opus:6 to opus:256"),
        ("opus:nan", "expected from opus:6"),
        ("opus:fast", "expected a number of kbit/s, such as opus:6"),
        ("mp3:64", "'mp3:64' is no baseline; expected such as codec2:3200 or opus:6"),
    ],
)
def test_an_unknown_baseline_is_an_error_that_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        baseline(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("codec2:3200", "apt-get install codec2 "), ("opus:6", "apt-get install opus-tools ")],
)
def test_programs_that_are_not_installed_are_named_with_their_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=message):
        baseline(name)


def test_a_program_that_fails_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match=r"ls failed with exit code \d+: .*nowhere"):
        run("ls", tmp_path / "nowhere")
