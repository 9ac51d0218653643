"""What people hold in their hands goes in: samples with their rate, rows of data sets, bytes, open files, bare ids."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import builders
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import AudioError, CodesError, InputError
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor
from xcodec_builders import tiny_xcodec

SPEECH = builders.RECORDINGS[1]  # 16 kHz, mono, 47,840 samples: 150 codes


class Decoder:
    """What `datasets` gives of a column of audio where torchcodec is installed: samples when they are asked for."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio

    def get_all_samples(self) -> SimpleNamespace:
        return SimpleNamespace(data=torch.tensor(self.audio.samples), sample_rate=self.audio.sampling_rate)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(builders.tiny_model(), Xcodec2FeatureExtractor())


@pytest.fixture(scope="module")
def wide() -> Audio:
    """Stereo at another rate than the model's."""
    speech = Audio.read(SPEECH).resample(22050)
    return Audio(np.concatenate([speech.samples, 0.5 * speech.samples]), 22050)


@pytest.fixture(scope="module")
def codes(codec: Codec, wide: Audio) -> Codes:
    return codec.encode(wide)


def test_samples_come_with_their_rate_in_every_usual_form(codec: Codec, wide: Audio, codes: Codes) -> None:
    assert codes.source_sampling_rate == 22050
    forms: list[Any] = [
        (wide.samples, 22050),
        (torch.tensor(wide.samples), np.int64(22050)),
        {"array": wide.samples, "sampling_rate": 22050, "path": "gone.wav"},
        {"array": wide.samples.tolist(), "sampling_rate": 22050},
        Decoder(wide),
    ]
    for form in forms:
        assert codec.encode(form) == codes
    assert codec.encode(forms[:3], sampling_rate=8000) == [codes] * 3  # that rate is of arrays without one


def test_a_file_of_audio_may_be_bytes_or_open_or_a_url(codec: Codec) -> None:
    content, expected = SPEECH.read_bytes(), codec.encode(SPEECH)
    with SPEECH.open("rb") as file:
        assert codec.encode(file) == expected
    forms: list[Any] = [
        content,
        bytearray(content),
        memoryview(content),
        io.BytesIO(content),
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(SPEECH)},
        f"file://{SPEECH}",
    ]
    assert codec.encode(forms) == [expected] * len(forms)
    assert codec.reconstruct(content) == codec.decode(expected)


def test_what_is_decoded_here_is_read_at_the_models_rate(codec: Codec, tmp_path: Path) -> None:
    from xcodec.batching import Clip

    path = tmp_path / "wide.wav"
    Audio(np.tile(Audio.read(SPEECH).resample(48000).samples, (2, 1)), 48000).save(path)
    forms: list[Any] = [path.read_bytes(), f"file://{path}", {"bytes": path.read_bytes(), "path": "gone.wav"}]
    for form in forms:
        clip = Clip.of(form, None, 16000, "")
        assert isinstance(clip.source, Audio)
        assert (clip.source.num_channels, clip.source.num_samples) == (1, 47840)
        assert clip.source_sampling_rate == 48000
        assert codec.encode(form) == codec.encode(path)


def test_a_row_of_datasets_is_encoded_as_it_comes(codec: Codec) -> None:
    datasets = pytest.importorskip("datasets", reason="needs xcodec[datasets]")
    rows = datasets.Dataset.from_dict({"audio": [str(SPEECH)]}).cast_column("audio", datasets.Audio(decode=False))
    assert codec.encode([row["audio"] for row in rows]) == [codec.encode(SPEECH)]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((16000, np.zeros(9)), InputError, r"^got \(rate, array\); expected \(array, rate\)$"),
        ((np.zeros(9), np.zeros(9)), InputError, r"tuple of \(ndarray, ndarray\).*For several recordings give a list"),
        (("a.wav", "b.wav"), InputError, r"tuple of \(str, str\)"),
        ((np.zeros(9), 16000, 1), InputError, r"tuple of \(ndarray, int, int\)"),
        ((np.zeros(9), 0), AudioError, "a sampling rate of 0"),
        ({"array": np.zeros(9)}, InputError, "got a dict with array; expected array and sampling_rate"),
        ({}, InputError, "got a dict with nothing"),
        (b"no audio at all", AudioError, "is not audio"),
        (io.StringIO("text"), InputError, "open for text; open it in binary mode, 'rb'"),
        ([np.zeros(9), 16000], InputError, r"^inputs\[0\]: an array of shape \(9,\) needs its sampling_rate"),
        (3, InputError, "got int"),
    ],
)
def test_what_is_ambiguous_or_no_recording_is_said(
    codec: Codec, given: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        codec.encode(given)


def test_bare_ids_are_decoded(codec: Codec, codes: Codes) -> None:
    expected = codec.decode(Codes(codes.ids, 50.0, len(codes) * 320, 16000, 16000, (65536,)))
    assert expected.num_samples == len(codes) * 320
    device = codec.device
    for ids in (codes.ids, codes.ids[0], codes.ids[0].astype(np.uint16), torch.tensor(codes.ids, device=device)):
        assert codec.decode(ids) == expected
    for audio in codec.decode([codes.ids, torch.tensor(codes.ids[0])]):
        np.testing.assert_allclose(audio.samples, expected.samples, atol=1e-4)


def test_ids_of_some_codebooks_are_decoded() -> None:
    codec = Codec(tiny_xcodec(), XcodecFeatureExtractor())
    depth = len(codec.codebook_sizes)
    ids = np.random.default_rng(0).integers(0, codec.codebook_sizes[0], (depth, 20))
    for count in (1, depth):
        assert codec.decode(ids[:count]).num_samples == codec.decode(codec.encode(np.zeros(6400), 16000)).num_samples
    assert codec.decode(ids[0]) == codec.decode(ids[:1])
    with pytest.raises(CodesError, match=rf"expected \(codebooks, frames\), and this model has {depth} codebooks"):
        codec.decode(ids.T)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((2, 1, 5), int), r"shape \(2, 1, 5\): expected .* for a batch give a list"),
        (np.zeros((2, 5), int), "this model has 1 codebooks"),
        (np.zeros(0, int), "at least one of each"),
        (np.zeros(5), "expected integers"),
        (np.full(5, 65536), "expected 0 to 65535"),
        (torch.tensor(3), r"shape \(\)"),
    ],
)
def test_ids_of_another_kind_are_refused(codec: Codec, ids: Any, message: str) -> None:
    with pytest.raises(CodesError, match=message):
        codec.decode(ids)
    with pytest.raises(CodesError, match=r"^inputs\[0\]: "):
        codec.decode([ids])


def test_a_list_is_a_batch_and_never_the_ids_of_one_recording(codec: Codec) -> None:
    with pytest.raises(InputError, match=r"^inputs\[0\]: .* got int$"):
        codec.decode([1, 2, 3])


def test_a_path_is_read_as_bytes_would_be(codec: Codec, tmp_path: Path, wide: Audio) -> None:
    wide.save(tmp_path / "a.wav")
    assert codec.encode(tmp_path / "a.wav") == codec.encode((tmp_path / "a.wav").read_bytes())
