"""Progress: long work tells its listener how far it has come, and the sum is the whole; nobody else notices."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

import builders
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.evaluation.clips import clips_of
from xcodec.evaluation.distortion import SiSdr
from xcodec.evaluation.evaluation import evaluate
from xcodec.evaluation.systems import Model
from xcodec.evaluation.transcripts import Transcripts
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.modules import attention
from xcodec.modules.time import Tiled
from xcodec.progress import share, shares, told_to
from xcodec_builders import tiny_xcodec


def test_shares_of_shares_are_told_and_what_is_left_is_told_at_the_end() -> None:
    told: list[float] = []
    with told_to(told.append, 10.0):
        with share(0.5):
            for _ in shares(["a", "b"], [1, 3]):
                pass
        for _ in shares([1, 2]):  # of a half each, the second finds nothing left
            pass
    assert told == [1.25, 3.75, 0.0, 5.0, 0.0, 0.0]
    told.clear()
    with told_to(told.append, 4.0), share(0.25):
        pass
    assert told == [1.0, 3.0]


def test_without_a_listener_nothing_is_walked_over_twice_or_told() -> None:
    items = [1, 2, 3]
    assert shares(items) is items
    told: list[float] = []
    with told_to(told.append, 1.0), told_to(None, 5.0):  # whoever listens outside is told
        for _ in shares([1, 2]):
            pass
    assert told == [0.5, 0.5, 0.0]


def test_a_walk_that_was_broken_off_leaves_nobody_listening() -> None:
    told: list[float] = []
    walks = []

    def work() -> None:
        with told_to(told.append, 1.0):
            walks.append(iter(shares([1, 2])))
            next(walks[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    walks.clear()
    gc.collect()
    with told_to(None, 1.0), share(0.5):
        pass
    assert told == []
    assert shares([1]) == [1]


@pytest.fixture(scope="module", params=["mini", "xcodec"])
def codec(request: pytest.FixtureRequest) -> Codec:
    if request.param == "mini":
        return Codec.from_pretrained(max_memory="64MiB")
    model = tiny_xcodec()
    model.max_memory = 1
    return Codec(model, XcodecFeatureExtractor())


def test_a_long_recording_is_told_of_in_many_pieces_that_add_up_and_change_nothing(codec: Codec) -> None:
    recording = Audio(builders.speech(24.0), 16_000)
    told: list[float] = []
    codes = codec.encode(recording, on_progress=told.append)
    assert len(told) >= 5
    assert sum(told) == pytest.approx(recording.duration)
    assert max(told) < 0.8 * recording.duration
    np.testing.assert_array_equal(codes.ids, codec.encode(recording).ids)
    told.clear()
    audio = codec.decode(codes, on_progress=told.append)
    assert sum(told) == pytest.approx(recording.duration)
    np.testing.assert_array_equal(audio.samples, codec.decode(codes).samples)


def test_a_listener_that_raises_ends_a_long_recording_within_it() -> None:
    codec = Codec.from_pretrained()
    told: list[float] = []

    def stop(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        codec.encode(Audio(builders.speech(20.0), 16_000), on_progress=stop)
    assert sum(told) < 20.0


def test_attention_over_a_long_clip_comes_in_blocks_that_change_no_bit(
    tiny: Xcodec2Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = next(module for module in tiny.modules() if isinstance(module, attention.RelativeKeySelfAttention))
    x = torch.randn(1, 3000, layer.linear_q.in_features, generator=torch.Generator().manual_seed(0))

    def attended() -> tuple[torch.Tensor, int]:
        told: list[float] = []
        with told_to(told.append, 1.0):
            y = Tiled(None, 1 << 40).attend(layer, x.clone(), lambda own: own)
        return y, sum(each > 0 for each in told)

    whole, times = attended()
    monkeypatch.setattr(attention, "MOST_PRODUCTS", 1)
    blocks, more_times = attended()
    assert more_times == times + 2, "three blocks of 1,000 queries"
    assert torch.equal(blocks, whole)


def test_an_evaluation_tells_of_clips_in_fractions(tmp_path) -> None:
    paths = []
    for i in range(2):
        paths.append((Path(f"{i}.wav"), tmp_path / f"{i}.wav"))
        Audio(builders.speech(8.0), 16_000).save(paths[-1][1])
    told: list[float] = []
    clips = clips_of(paths, Transcripts(None))
    evaluate(clips, [Model(Codec.from_pretrained(), "mini")], [SiSdr()], on_progress=told.append)
    assert sum(told) == pytest.approx(2)
    assert len(told) > 6
