"""On a GPU a codec does what it does on a CPU. XCODEC_TEST_DEVICE=cpu tries these tests where there is no GPU."""

import os

import numpy as np
import pytest
import torch

import builders
from xcodec import Audio, Codec, Codes
from xcodec.streaming import StreamDecoder

DEVICE = os.environ.get("XCODEC_TEST_DEVICE", "cuda")
CLIPS = [builders.RECORDINGS[1], builders.RECORDINGS[4]]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU"),
]


@pytest.fixture(scope="module")
def here() -> Codec:
    return Codec.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def there() -> Codec:
    return Codec.from_pretrained(device=DEVICE)


@pytest.fixture(scope="module")
def codes(here: Codec) -> list[Codes]:
    return here.encode(CLIPS)


def equal_share(found: Codes, expected: Codes) -> float:
    assert found.ids.shape == expected.ids.shape
    return float((found.ids == expected.ids).mean())


def test_codes_are_those_of_the_cpu_but_for_latents_on_an_edge(there: Codec, codes: list[Codes]) -> None:
    assert there.device.type == DEVICE
    assert all(equal_share(*pair) > 0.98 for pair in zip(there.encode(CLIPS), codes, strict=True))


def test_a_batch_gives_what_single_clips_give(there: Codec) -> None:
    batch = there.encode(CLIPS)
    assert all(equal_share(many, there.encode(clip)) > 0.99 for many, clip in zip(batch, CLIPS, strict=True))


def test_audio_is_that_of_the_cpu(here: Codec, there: Codec, codes: list[Codes]) -> None:
    for found, expected in zip(there.decode(codes), here.decode(codes), strict=True):
        assert np.abs(found.samples - expected.samples).max() < 2e-3


def test_a_stream_is_that_of_the_cpu(here: Codec, there: Codec, codes: list[Codes]) -> None:
    def streamed(codec: Codec) -> np.ndarray:
        decoder = StreamDecoder(codec)
        pieces = [decoder.push(codes[0].ids), decoder.flush()]
        return np.concatenate([piece.samples for piece in pieces if piece], axis=1)

    assert np.abs(streamed(there) - streamed(here)).max() < 2e-3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(dtype: str, codes: list[Codes]) -> None:
    codec = Codec.from_pretrained(device=DEVICE, dtype=dtype)
    audio = codec.decode(codec.encode(CLIPS[0]))
    assert audio.num_samples == codes[0].num_samples
    assert 0.01 < float(audio.samples.std()) < 0.5


def test_a_codec_moves_there_and_back(here: Codec, codes: list[Codes]) -> None:
    codec = Codec.from_pretrained(device="cpu")
    assert codec.to(DEVICE).device.type == DEVICE
    assert equal_share(codec.encode(CLIPS[0]), codes[0]) > 0.98
    assert equal_share(codec.to("cpu").encode(CLIPS[0]), codes[0]) > 0.99
    assert codec.identity == here.identity


def test_a_long_recording_is_encoded_in_tiles(there: Codec) -> None:
    spoken = Audio(np.tile(builders.speech(2.0), 30), 16000)
    tiled = Codec.from_pretrained(device=DEVICE, max_memory="64MiB")
    assert equal_share(tiled.encode(spoken), there.encode(spoken)) > 0.99


@pytest.mark.skipif(DEVICE == "cpu", reason="tests/models/test_compile.py does it on a CPU")
def test_compiled_layers_give_the_same_codes(codes: list[Codes]) -> None:
    codec = Codec.from_pretrained(device=DEVICE, compile=True)
    assert equal_share(codec.encode(CLIPS[0]), codes[0]) > 0.98
