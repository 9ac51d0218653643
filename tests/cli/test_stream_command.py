"""`xcodec decode --stream`: codes on standard input are audio on standard output while they come."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import builders
from xcodec import Audio, Codec, CodesError
from xcodec.cli.app import app
from xcodec.code_text import CodeText
from xcodec.streaming import StreamDecoder

TEXT = "<|SPEECH_GENERATION_START|><|s_12|><|s_7|> 65535,\n3 <|s_0|><|SPEECH_GENERATION_END|> and then silence"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_codes_are_read_from_text_cut_anywhere(size: int) -> None:
    text = CodeText(num_codebooks=1)
    found = [text.push(TEXT[start : start + size]) for start in range(0, len(TEXT), size)]
    assert [code for [codes] in [*found, text.close()] for code in codes] == [12, 7, 65535, 3, 0]
    assert text.ended


def test_the_last_number_needs_no_end() -> None:
    text = CodeText(num_codebooks=1)
    assert text.push("1 23") == [[1]]  # 23 may become 234
    assert text.close() == [[23]]


def test_codes_of_several_codebooks_are_lines() -> None:
    text = CodeText(num_codebooks=8)
    assert text.push("1 2\n3, 4\n5") == [[1, 3], [2, 4]]
    assert text.push(" 6") == []
    assert text.close() == [[5], [6]]


@pytest.mark.parametrize(
    ("num_codebooks", "given", "message"),
    [
        (1, "12 hello", "'hello' is no code; expected numbers, or speech tokens like <|s_123|>"),
        (1, "<|eot_id|>", "'<|eot_id|>' is no code"),
        (8, "1 2\n3\n", "'3' is no frame; expected a line of up to 8 numbers"),
        (8, "1 a\n", "'1 a' is no frame"),
    ],
)
def test_text_that_is_no_code_is_shown(num_codebooks: int, given: str, message: str) -> None:
    with pytest.raises(CodesError, match=re.escape(message)):
        CodeText(num_codebooks).push(given)


DECODE = [sys.executable, "-W", "error", "-m", "xcodec", "decode", "--stream", "-"]


@pytest.fixture(scope="module")
def spoken() -> tuple[str, np.ndarray]:
    """Codes as text, and their audio as a stream of 16-bit samples."""
    codec = Codec.from_pretrained()
    ids = np.asarray(codec.encode(builders.RECORDINGS[1]).ids)
    decoder = StreamDecoder(codec)
    audio = np.concatenate([piece.samples[0] for piece in (decoder.push(ids), decoder.flush()) if piece is not None])
    return " ".join(map(str, ids[0])), (audio.clip(-1, 1) * 32767).round().astype("<i2")


def test_decode_streams_while_codes_come(spoken: tuple[str, np.ndarray]) -> None:
    text, expected = spoken
    ahead = Codec.from_pretrained().model.lookahead
    assert ahead is not None
    first = " ".join(text.split()[: 10 + ahead]) + " "
    with subprocess.Popen([*DECODE, "--raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(first.encode())
        process.stdin.flush()
        heard = process.stdout.read(10 * 320 * 2)  # comes though standard input has not ended
        rest, _ = process.communicate(text.removeprefix(first).encode())
    assert process.returncode == 0
    found = np.frombuffer(heard + rest, "<i2")
    assert len(found) == len(expected)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_streamed_wav_is_read_by_players(spoken: tuple[str, np.ndarray], tmp_path: Path) -> None:
    text, expected = spoken
    sent = subprocess.run(DECODE, input=text.encode(), capture_output=True, check=True).stdout
    found, rate = soundfile.read(io.BytesIO(sent), dtype="int16")
    assert rate == 16000
    assert len(found) == len(expected)
    for player in (["sox", "-t", "wav", "-", "out.wav"], ["ffmpeg", "-v", "error", "-i", "-", "out.flac"]):
        if shutil.which(player[0]):
            subprocess.run(player, input=sent, cwd=tmp_path, capture_output=True, check=True)
            assert Audio.read(tmp_path / player[-1]).num_samples == len(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "standard input: no codes came"),
        (b"1 2 hello", "standard input: 'hello' is no code"),
        (b"\xff\xfe", "is no code"),
        (b"1 2 99999", "code 99999: codebook 0 has codes from 0 to 65535"),
    ],
)
def test_decode_says_what_is_wrong_with_its_input(given: bytes, message: str) -> None:
    done = CliRunner().invoke(app, DECODE[5:], input=given)
    assert (done.exit_code, done.stdout_bytes) == (1, b"")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_decode_leaves_quietly_when_its_reader_does(spoken: tuple[str, np.ndarray]) -> None:
    with subprocess.Popen(DECODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.write(spoken[0].encode())
        process.stdin.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
