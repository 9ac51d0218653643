"""Compiled layers: the eager result, one compilation for every length, and none for what is too long."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import _dynamo

from builders import RECORDINGS, tiny_model
from xcodec import codec as codec_module
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor
from xcodec_builders import tiny_xcodec

SPEECH = Audio.read(RECORDINGS[0])


def excerpt(seconds: float) -> Audio:
    return Audio(SPEECH.samples[:, : int(seconds * SPEECH.sampling_rate)], SPEECH.sampling_rate)


def same_result(compiled: Codec, eager: Codec, *seconds: float) -> None:
    clips = [excerpt(each) for each in seconds]
    codes, expected = compiled.encode(clips), eager.encode(clips)
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(codes, expected, strict=True))
    for found, whole in zip(compiled.decode(codes), eager.decode(codes), strict=True):
        np.testing.assert_allclose(found.samples, whole.samples, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["xcodec2", "xcodec"])
def test_one_compilation_serves_every_length(family: str, tmp_path: Path) -> None:
    torch.compiler.reset()
    _dynamo.utils.counters.clear()
    model, extractor = (
        (tiny_model(), Xcodec2FeatureExtractor()) if family == "xcodec2" else (tiny_xcodec(), XcodecFeatureExtractor())
    )
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    eager = Codec.from_pretrained(tmp_path, device="cpu")
    compiled = Codec.from_pretrained(tmp_path, device="cpu", compile=True)
    same_result(compiled, eager, 1.0)
    assert _dynamo.utils.counters["stats"]["unique_graphs"] > 0
    with _dynamo.config.patch(error_on_recompile=True):
        same_result(compiled, eager, 2.0)
        same_result(compiled, eager, 0.3)
    same_result(compiled, eager, 0.9, 0.8)
    with _dynamo.config.patch(error_on_recompile=True):
        same_result(compiled, eager, 1.4, 1.2, 1.1)


def test_a_batch_that_is_too_long_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    _dynamo.utils.counters.clear()
    model = tiny_model()
    model.compile_layers()  # by hand: the codec asks the model, whoever compiled it
    compiled, eager = Codec(model, Xcodec2FeatureExtractor()), Codec(tiny_model(), Xcodec2FeatureExtractor())
    monkeypatch.setattr(codec_module, "COMPILED_SECONDS", 3.0)
    same_result(compiled, eager, 2.9, 2.8)
    assert not _dynamo.utils.counters["stats"]["unique_graphs"]
    monkeypatch.undo()
    compiled.encode(excerpt(0.5))
    assert _dynamo.utils.counters["stats"]["unique_graphs"]
