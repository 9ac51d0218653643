"""Codecs that run anywhere, for scale: Codec 2 and Opus, by their own programs."""

import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from xcodec.audio import Audio, pcm_to_float32
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.programs import check_installed, run
from xcodec.evaluation.systems.system import Reconstruction, System

__all__ = ["Codec2", "Opus", "baseline"]


class Codec2(System):
    """Codec 2, a vocoder for amateur radio: 8 kHz, 700 to 3200 bit/s.

    Args:
        mode: its bitrate, as c2enc calls it.

    Raises:
        InputError: for an unknown mode.
        MissingExtraError: where c2enc or c2dec is not installed.
    """

    sampling_rate = 8_000
    # What comes out is late by so many samples. c2enc and c2dec do not say; it is where STOI has its maximum, which
    # tests/evaluation/test_baselines.py looks for.
    delays: ClassVar[dict[str, int]] = {
        **dict.fromkeys(("3200", "2400", "1600", "1400", "1300", "1200"), 160),
        "700C": 240,
    }
    frame = 320  # samples, the longest of all modes

    def __init__(self, mode: str) -> None:
        if mode not in self.delays:
            raise InputError(f"codec2:{mode}: expected one of {', '.join(f'codec2:{known}' for known in self.delays)}")
        check_installed("codec2", "c2enc", "c2dec")
        self.mode = mode
        self.name = f"codec2:{mode}"
        self.about = f"Codec 2 by c2enc {mode} and c2dec; its delay of {self.delays[mode] // 8} ms is taken out"

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Encode and decode."""
        speech = recording.mono().resample(self.sampling_rate)
        delay = self.delays[self.mode]
        # Whole frames, with the end of the speech well inside, for it comes out late and c2enc drops half a frame.
        padding = delay + self.frame + (-(speech.num_samples + delay) % self.frame)
        samples = np.pad(speech.samples[0], (0, padding)).clip(-1.0, 1.0)
        with tempfile.TemporaryDirectory() as folder:
            pcm, stream, decoded = (Path(folder) / name for name in ("pcm", "stream", "decoded"))
            pcm.write_bytes(np.round(samples * 32767).astype("<i2").tobytes())
            run("c2enc", self.mode, pcm, stream)
            run("c2dec", self.mode, stream, decoded)
            bits = 8 * stream.stat().st_size
            output = pcm_to_float32(np.frombuffer(decoded.read_bytes(), "<i2"))
        output = output[delay : delay + speech.num_samples]
        return Reconstruction(Audio(output, self.sampling_rate), bits)


class Opus(System):
    """Opus, the codec of telephony on the internet, at a constant bitrate.

    Args:
        kilobits: a second, from 6 to 256.

    Raises:
        InputError: for another bitrate.
        MissingExtraError: where opusenc is not installed.
    """

    def __init__(self, kilobits: float) -> None:
        if not 6 <= kilobits <= 256:
            raise InputError(f"opus:{kilobits:g}: expected from opus:6 to opus:256, in kbit/s")
        check_installed("opus-tools", "opusenc", "opusdec")
        self.kilobits = kilobits
        self.name = f"opus:{kilobits:g}"
        told = subprocess.run(["opusenc", "--version"], capture_output=True, text=True, check=False).stdout
        version = told.splitlines()[0].removeprefix("opusenc ") if told else "of unknown version"
        self.about = f"Opus at {kilobits:g} kbit/s by opusenc --hard-cbr and opusdec ({version})"

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Encode and decode."""
        speech = recording.mono()
        with tempfile.TemporaryDirectory() as folder:
            source, stream, decoded = (Path(folder) / name for name in ("source.wav", "stream.opus", "decoded.wav"))
            speech.save(source)
            run("opusenc", "--quiet", "--hard-cbr", "--bitrate", f"{self.kilobits:g}", source, stream)
            run("opusdec", "--quiet", "--no-dither", "--rate", str(speech.sampling_rate), stream, decoded)
            return Reconstruction(Audio.read(decoded), 8 * payload(stream.read_bytes()))


def baseline(text: str) -> System:
    """Make the codec that "codec2:3200" or "opus:6" names.

    Raises:
        InputError: where it names none.
        MissingExtraError: where its programs are not installed.
    """
    kind, _, rate = text.partition(":")
    if kind == "codec2":
        return Codec2(rate)
    if kind == "opus":
        try:
            return Opus(float(rate))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError("expected a number of kbit/s, such as opus:6", subject=text) from None
    raise InputError(f"{text!r} is no baseline; expected such as codec2:3200 or opus:6")


def payload(ogg: bytes) -> int:
    """Count the bytes of an Ogg stream's packets, without the pages around them and the two that hold its headers."""
    total, position, page = 0, 0, 0
    while position < len(ogg):
        segments = ogg[position + 26]
        length = sum(ogg[position + 27 : position + 27 + segments])
        total += length if page >= 2 else 0
        position += 27 + segments + length
        page += 1
    return total
