"""The decoder's step as a graph does what streams do in torch."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xcodec_builders
from builders import RECORDINGS, codec_to_export, tiny_causal, tiny_harmonic, tiny_pooled
from xcodec import CheckpointError, Codec
from xcodec.code_stream import CodeStream
from xcodec.export.blocks import portable
from xcodec.export.step import DecoderStepGraph
from xcodec.modules.time import Streamed
from xcodec.runtime import Codec as RuntimeCodec
from xcodec.runtime import StreamDecoder as ExportedStream
from xcodec.runtime.stream_decoder import beginning
from xcodec.streaming import StreamDecoder

WINDOWS = ((1, 2), (3, 2), (7, 0), (2, 5), (1, 0))  # frames that become final, and frames ahead
FAMILIES = {
    "xcodec2": lambda: codec_to_export().model,
    "pooled": tiny_pooled,
    "harmonic": tiny_harmonic,
    "harmonic, 4 codes ahead": lambda: tiny_harmonic(decoder_lookahead=4, decoder_num_layers=6),
    "causal": tiny_causal,
    "causal with a window": lambda: tiny_causal(sliding_window=4),
    "higgs": xcodec_builders.tiny_higgs,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_gives_what_a_stream_of_torch_gives(family: str) -> None:
    model = FAMILIES[family]()
    step = DecoderStepGraph(portable(model))
    sizes = torch.tensor(model.codebook_sizes)[None, :, None]
    pasts: list[Any] = [None, None]
    past: list[torch.Tensor] = []
    done = torch.zeros(2, dtype=torch.int64)
    for frames, ahead in WINDOWS:
        codes = torch.randint(0, 1 << 16, (2, sizes.shape[1], frames + ahead)) % sizes
        time = Streamed(pasts, frames)
        expected = model.synthesize(codes, time)[:, 0]
        audio, done, *past = step(codes[..., :frames], codes[..., frames:], done, *past)
        assert audio.shape == expected.shape
        assert (audio - expected).abs().max() < 1e-5
        pasts = list(time.after)
    assert done.tolist() == [14, 14]


def test_a_folder_without_the_step_says_how_it_gets_one(exported: tuple[Codec, Path], tmp_path: Path) -> None:
    shutil.copy(exported[1] / "codec.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"there is no decoder_step\.onnx.*with --stream"):
        ExportedStream(RuntimeCodec(tmp_path))


# Exported, on ONNX Runtime


@pytest.fixture(scope="module")
def codec(exported: tuple[Codec, Path]) -> Codec:
    return exported[0]


@pytest.fixture(scope="module")
def runtime(exported: tuple[Codec, Path]) -> RuntimeCodec:
    return RuntimeCodec(exported[1], threads=1)


def streamed(stream: CodeStream, ids: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    cuts = np.cumsum(sizes)
    pieces = [stream.push(part) for part in np.split(ids, cuts, 1)]
    return np.concatenate([piece.samples[0] for piece in (*pieces, stream.flush()) if piece is not None])


@pytest.mark.parametrize("options", [{}, {"context": 20, "lookahead": 3, "chunk": (2, 9)}, {"context": None}])
def test_speech_that_comes_in_pieces_sounds_as_it_does_with_torch(
    options: dict[str, Any], codec: Codec, runtime: RuntimeCodec
) -> None:
    ids = np.asarray(codec.encode(RECORDINGS[1]).ids, np.int64)
    sizes = (1, 2, 30, 1, 11, 40)
    expected = streamed(StreamDecoder(codec, **options), ids, sizes)
    audio = streamed(ExportedStream(runtime, **options), ids, sizes)
    assert audio.shape == expected.shape
    assert np.abs(audio - expected).max() < 1e-4


def test_the_command_line_streams_while_codes_come(runtime: RuntimeCodec) -> None:
    ids = np.arange(0, 6500, 100)
    stream = ExportedStream(runtime)
    expected = np.concatenate([piece.samples[0] for piece in (stream.push(ids), stream.flush()) if piece is not None])
    command = [sys.executable, "-m", "xcodec.runtime", "decode", str(runtime.folder), "-", "--stream", "--raw"]
    with subprocess.Popen([*command, "--threads", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"<|s_{code}|>" for code in ids[:25]).encode())
        process.stdin.flush()
        heard = process.stdout.read(10 * 320 * 2)  # comes though standard input has not ended
        rest, _ = process.communicate("".join(f"<|s_{code}|>" for code in ids[25:]).encode())
    assert process.returncode == 0
    assert np.abs(np.frombuffer(heard + rest, "<i2") / 32767 - expected.clip(-1, 1)).max() < 1e-4


def test_a_stream_that_ends_begins_anew(runtime: RuntimeCodec) -> None:
    stream = ExportedStream(runtime)
    ids = np.arange(30)[None]
    assert np.array_equal(streamed(stream, ids, (12,)), streamed(stream, ids, (12,)))


def test_streams_that_are_one_batch_get_what_they_get_alone(runtime: RuntimeCodec) -> None:
    step = runtime.decoder_step
    taken = {each.name for each in step.get_inputs()}
    given = {f"past_{name}": array.repeat(2, 0) for name, array in beginning(step).arrays.items()}
    done = np.zeros(2, np.int64)
    codes = np.random.default_rng(0).integers(0, 65536, (2, 1, 24))
    streams = [ExportedStream(runtime, context=None, lookahead=4, chunk=8) for _ in codes]
    for i in (0, 8):
        inputs = {**given, "codes": codes[..., i : i + 8], "ahead": codes[..., i + 8 : i + 12], "done": done}
        audio, done, *past = step.run(None, {name: value for name, value in inputs.items() if name in taken})
        names = [each.name.removeprefix("next_") for each in step.get_outputs()[2:]]
        given = {f"past_{name}": value for name, value in zip(names, past, strict=True)}
        for row, stream, ids in zip(audio, streams, codes, strict=True):
            piece = stream.push(ids[:, :12] if i == 0 else ids[:, i + 4 : i + 12])
            assert piece is not None
            whole = slice(320, 8 * 320)  # the first frame fades in over what was said of it before
            assert np.abs(piece.samples[0, whole] - row[whole]).max() < 1e-5
    assert done.tolist() == [16, 16]
