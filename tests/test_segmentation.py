"""Encoding in segments: cut at pauses, on the grid of frames, kept in the codes, and honoured by decoding."""

import numpy as np
import pytest

from builders import speech, tiny_model
from xcodec import Audio, Codec, Codes, CodesError, InputError, Xcodec2FeatureExtractor, XcodecFeatureExtractor
from xcodec.segmentation import cut, segment_starts
from xcodec_builders import tiny_xcodec

HOP = 320


@pytest.fixture(scope="module", params=["X-Codec2", "X-Codec"])
def codec(request) -> Codec:
    if request.param == "X-Codec2":
        return Codec(tiny_model(), Xcodec2FeatureExtractor())
    return Codec(tiny_xcodec(), XcodecFeatureExtractor())


def test_cuts_fall_into_the_pauses():
    seconds = np.arange(25 * 16000) / 16000
    noise = np.random.default_rng(0).standard_normal(len(seconds)).astype(np.float32)
    pauses = (9.0, 17.5)
    for pause in pauses:
        noise[abs(seconds - pause) < 0.1] *= 0.01
    starts = segment_starts(noise, HOP, 10 * 50)
    assert len(starts) == 3
    for start, pause in zip(starts[1:], pauses, strict=True):
        assert abs(start / 50 - pause) < 0.1


@pytest.mark.parametrize("num_samples", [1, 3200, 50 * HOP, 50 * HOP + 1, 66 * HOP, 101 * HOP + 7, 1000 * HOP])
def test_no_segment_is_longer_than_allowed_or_much_shorter_than_a_third_of_it(num_samples):
    samples = np.random.default_rng(1).standard_normal(num_samples).astype(np.float32)
    starts = segment_starts(samples, HOP, 50)
    num_frames = -(-num_samples // HOP)
    sizes = np.diff([*starts, num_frames])
    assert starts[0] == 0
    assert sizes.max() <= 50
    assert len(sizes) == 1 or sizes.min() >= 16


def test_silence_is_cut_as_seldom_as_can_be():
    assert segment_starts(np.zeros(160 * HOP, np.float32), HOP, 50) == (0, 50, 100, 144)
    assert segment_starts(np.zeros(100 * HOP, np.float32), HOP, None) == (0,)


def test_segments_lose_a_sample_each_and_no_time():
    samples = np.arange(10 * HOP + 5, dtype=np.float32)
    first, second = cut(samples, HOP, (0, 4), lambda frames: frames * HOP - 1)
    assert np.array_equal(first, samples[: 4 * HOP - 1])
    assert np.array_equal(second, samples[4 * HOP :])


def test_segments_are_encoded_one_by_one_and_lengths_add_up(codec: Codec):
    recording = Audio(speech(11.0)[:-77], 16000)
    codes = codec.encode(recording, segment_seconds=3)
    assert codes.ids.shape == codec.encode(recording).ids.shape
    assert len(codes.segment_starts) >= 4
    assert (codes.num_samples, codes.duration) == (recording.num_samples, recording.duration)
    pieces = list(cut(recording.samples[0], HOP, codes.segment_starts, codec.model.samples_of))
    for ids, piece in zip(codes.segments, pieces, strict=True):
        assert np.array_equal(ids, codec.encode(piece, 16000).ids)


def test_decoding_goes_by_the_segments(codec: Codec, tmp_path):
    recording = Audio(speech(7.0), 16000)
    codes = codec.encode(recording, segment_seconds=2)
    codes.save(tmp_path / "a.codes")
    assert Codes.load(tmp_path / "a.codes") == codes
    decoded = codec.decode(tmp_path / "a.codes")
    assert decoded.num_samples == recording.num_samples
    start = 0
    for ids in codes.segments:
        alone = Codes(ids, 50.0, ids.shape[1] * HOP, 16000, 16000, codes.codebook_sizes)
        expected = codec.decode(alone).samples[0]
        found = decoded.samples[0, start : start + len(expected)]
        assert np.abs(found - expected[: len(found)]).max() < 1e-4
        start += len(expected)


def test_a_list_gives_each_its_own_segments(codec: Codec):
    recordings = [Audio(speech(seconds), 16000) for seconds in (1.0, 7.0, 2.5)]
    together = codec.encode(recordings, segment_seconds=2)
    assert [len(codes.segment_starts) > 1 for codes in together] == [False, True, True]
    for codes, recording in zip(together, recordings, strict=True):
        assert codes == codec.encode(recording, segment_seconds=2)
    for audio, recording in zip(codec.decode(together), recordings, strict=True):
        assert audio.num_samples == recording.num_samples
    assert codec.reconstruct(recordings[1], segment_seconds=2) == codec.decode(together)[1]


def test_a_short_recording_is_encoded_whole(codec: Codec, tmp_path):
    recording = Audio(speech(1.0), 16000)
    codes = codec.encode(recording, segment_seconds=30)
    assert codes == codec.encode(recording)
    codes.save(tmp_path / "a.codes")
    assert b'"format_version":"1"' in (tmp_path / "a.codes").read_bytes(), "older readers take it"
    codec.encode(recording.samples, 16000, segment_seconds=1.0).save(tmp_path / "b.codes")
    assert b'"format_version":"1"' in (tmp_path / "b.codes").read_bytes()


@pytest.mark.parametrize("seconds", [0, 0.5, -3, float("nan"), float("inf")])
def test_too_short_segments_are_refused(codec: Codec, seconds):
    with pytest.raises(InputError, match=r"segment_seconds=.*: expected a number of seconds, at least 1"):
        codec.encode(speech(1.0), 16000, segment_seconds=seconds)


@pytest.mark.parametrize("starts", [(), (1,), (0, 0), (0, 7, 3), (0, 10), "0", (0, 2.5), None, (0, True)])
def test_segments_that_do_not_fit_are_refused(starts):
    with pytest.raises(CodesError, match=r"segment_starts=.*: expected ascending frame numbers from 0 to at most 9"):
        Codes(np.zeros(10, int), 50.0, 3000, 16000, 16000, (1024,), segment_starts=starts)


def test_a_lower_bandwidth_keeps_the_segments():
    codes = Codes(np.zeros((2, 10), int), 50.0, 3000, 16000, 16000, (1024, 1024), segment_starts=(0, 4))
    assert codes.at_bandwidth(0.5).segment_starts == (0, 4)
    assert [ids.shape for ids in codes.segments] == [(2, 4), (2, 6)]
