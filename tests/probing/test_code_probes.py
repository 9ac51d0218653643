"""Probes of codes where the right answer is known."""

import numpy as np
import pytest

import builders
from probing_builders import FrameCoder, clips_of_codes, speech_clips
from xcodec.codec import Codec
from xcodec.evaluation.systems.model import Model
from xcodec.models.auto import feature_extractor_of
from xcodec.probing.coder import CodecCoder, Coding
from xcodec.probing.damage import CodeDamage, flip_bits, repeat_lost_frames
from xcodec.probing.disturbances import DISTURBANCES, Disturbance, noisy
from xcodec.probing.edit_distance import edit_distance, unit_edit_distances
from xcodec.probing.probe import ClipProbe, CodedClip
from xcodec.probing.quality import Quality
from xcodec.probing.repetition import RepeatEncoding
from xcodec.probing.robustness import Robustness
from xcodec.probing.shift import FrameShift
from xcodec.probing.usage import Usage, zipf_exponent

NOTHING = Disturbance("nothing", "nothing", "as it is", lambda samples, rate, rng: samples)


def mean(probe: ClipProbe, coder: FrameCoder | CodecCoder, clips: list[CodedClip], key: str) -> float:
    findings = probe.measure(coder, clips)
    return float(np.mean([scores[key].value for scores in findings.clips.values()]))


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ([], [], 0),
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [], 3),
        ([], [1, 2], 2),
        ([1, 2, 3, 4], [2, 3, 4], 1),
        ([1, 2, 3], [1, 9, 3], 1),
        ([1, 2, 3], [3, 2, 1], 2),
        ([11, 9, 20, 20, 5, 14], [19, 9, 20, 20, 9, 14, 7], 3),  # kitten, sitting
    ],
)
def test_edit_distances_are_levenshteins(first: list[int], second: list[int], distance: int) -> None:
    assert edit_distance(np.array(first, int), np.array(second, int)) == distance


def test_an_edit_distance_is_in_percent_of_the_clean_codes_and_for_each_codebook() -> None:
    clean, other = Coding(np.array([[1, 2, 3, 4], [5, 5, 5, 5]]), 4), Coding(np.array([[1, 2, 9, 4], [5, 5, 5, 5]]), 4)
    assert unit_edit_distances(clean, other) == [25.0, 0.0]


def test_codes_of_an_undisturbed_recording_are_no_distance_apart() -> None:
    coder = FrameCoder()
    assert mean(Robustness(1, [NOTHING]), coder, speech_clips(coder, 1.0), "unit_edit_distance.nothing") == 0


def test_a_codec_with_noise_on_its_latents_is_less_robust() -> None:
    clean, noisy_one = FrameCoder(), FrameCoder(noise=1.0)
    probe, key = Robustness(1), "unit_edit_distance.noise_30"
    assert mean(probe, clean, speech_clips(clean, 2.0), key) < mean(probe, noisy_one, speech_clips(noisy_one, 2.0), key)


def test_the_louder_the_noise_the_more_codes_change() -> None:
    coder = FrameCoder()
    [scores] = Robustness(1).measure(coder, speech_clips(coder, 3.0)).clips.values()
    values = [scores[f"unit_edit_distance.noise_{ratio}"].value for ratio in (30, 20, 10, 0)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_every_disturbance_keeps_the_length_and_changes_the_sound() -> None:
    samples = builders.speech(0.5)
    for each in DISTURBANCES:
        disturbed = each.apply(samples, 16_000, np.random.default_rng(0))
        assert disturbed.shape == samples.shape, each.key
        assert disturbed.dtype == np.float32, each.key
        assert np.abs(disturbed - samples).max() > 0, each.key


def test_noise_has_the_ratio_that_is_asked_for() -> None:
    samples = builders.speech(2.0)
    noise = noisy(samples, 16_000, np.random.default_rng(0), ratio_db=20) - samples
    assert 10 * np.log10(np.square(samples).sum() / np.square(noise).sum()) == pytest.approx(20, abs=0.1)


def test_a_coder_of_single_frames_gives_the_same_codes_a_hop_later_and_others_in_between() -> None:
    coder = FrameCoder()
    [scores] = FrameShift(1).measure(coder, speech_clips(coder, 2.0)).clips.values()
    assert scores["shift.agreement.hop"].value == 100
    assert scores["shift.distance.hop"].value == 0
    assert scores["shift.agreement.half"].value < scores["shift.agreement.1"].value < 100.1


def test_a_clip_too_short_to_be_shifted_has_no_figure_and_a_reason() -> None:
    coder = FrameCoder()
    findings = FrameShift(1).measure(coder, speech_clips(coder, 0.1))
    assert findings.clips == {}
    assert findings.reasons["shift.agreement.hop"] == "it has 5 frames; expected 15 at least"


def test_an_idempotent_codec_gives_the_same_codes_at_every_generation_and_one_with_noise_does_not() -> None:
    pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")
    probe, key = RepeatEncoding(1, Quality(), generations=3), "repetition.agreement.3"
    clean, noisy_one = FrameCoder(), FrameCoder(noise=1.0)
    assert mean(probe, clean, speech_clips(clean, 2.0), key) == 100
    assert mean(probe, noisy_one, speech_clips(noisy_one, 2.0), key) < 60


def test_so_many_bits_flip_and_no_code_leaves_its_codebook() -> None:
    ids = np.random.default_rng(0).integers(0, 1000, (2, 5000))
    rng = np.random.default_rng(0)
    assert np.array_equal(flip_bits(ids, (1024, 1024), 0.0, rng), ids)
    changed = ids ^ flip_bits(ids, (1024, 1024), 0.05, rng)
    assert sum(int(each).bit_count() for each in changed.flat) / (10 * ids.size) == pytest.approx(0.05, rel=0.05)
    assert np.array_equal(flip_bits(ids, (1024, 1024), 1.0, rng), 1023 - ids)
    assert flip_bits(ids, (1000, 1000), 0.5, rng).max() < 1000


def test_a_lost_frame_becomes_the_last_one_that_arrived() -> None:
    ids = np.stack([np.arange(1000), 1000 + np.arange(1000)])
    damaged = repeat_lost_frames(ids, 0.3, np.random.default_rng(0))
    lost = damaged[0] != ids[0]
    assert lost.mean() == pytest.approx(0.3, abs=0.05)
    assert not lost[0]
    assert np.array_equal(damaged[1] - damaged[0], np.full(1000, 1000))
    assert all(damaged[0, i] == damaged[0, i - 1] for i in np.flatnonzero(lost))


def test_damaged_codes_sound_worse_and_the_more_the_worse() -> None:
    pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")
    coder = FrameCoder(hop=2)
    probe = CodeDamage(Quality(), flipped=(1.0, 20.0), lost=(50.0,))
    [scores] = probe.measure(coder, speech_clips(coder, 2.0)).clips.values()
    intact, some, many = (scores[f"damage.{key}.mel"].value for key in ("none", "flipped_1", "flipped_20"))
    assert intact < some < many
    assert scores["damage.none.mel"].value < scores["damage.lost_50.mel"].value


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
def test_the_exponent_of_zipfs_law_is_found(exponent: float) -> None:
    shares = np.arange(1, 101) ** -exponent
    assert zipf_exponent(np.round(1e6 * shares / shares.sum())) == pytest.approx(exponent, abs=0.01)


def test_codes_that_are_used_alike_use_all_bits_that_are_paid_and_one_code_none() -> None:
    coder = FrameCoder()
    even = Usage().measure(coder, clips_of_codes(np.arange(256 * 20)[None] % 256)).corpus
    assert even["usage.paid"] == 400  # 8 bits, 50 times a second
    assert even["usage.efficiency"] == pytest.approx(100, abs=0.01)
    assert even["usage.coverage"] == 100
    assert even["usage.zipf"] == pytest.approx(0, abs=1e-6)
    one = Usage().measure(coder, clips_of_codes(np.full((1, 500), 7))).corpus
    assert (one["usage.used"], one["usage.coverage"]) == (0, 100 / 256)


def test_of_several_codebooks_the_first_is_told_beside_the_mean() -> None:
    coder = FrameCoder(depth=2)
    probe = Robustness(2, [NOTHING])
    assert [scale.label for scale in probe.scales] == ["UED, nothing", "UED, nothing, first codebook"]
    [scores] = probe.measure(coder, speech_clips(coder, 1.0)).clips.values()
    assert set(scores) == {scale.key for scale in probe.scales}


def test_a_codec_of_this_package_is_probed_by_the_codes_and_audio_that_it_gives() -> None:
    model = builders.tiny_model()
    codec = Codec(model, feature_extractor_of(model))
    coder = CodecCoder(Model(codec, "tiny"))
    samples = builders.speech(1.0)
    coding, [again] = coder.encode_with_latents(samples), coder.encode([samples])
    expected = codec.encode(samples, 16_000)
    assert np.array_equal(coding.ids, expected.ids)
    assert np.array_equal(again.ids, expected.ids)
    assert coding.latents is not None
    assert coding.latents.shape[0] == len(expected)
    assert np.array_equal(coder.decode(coding.ids, coding), codec.decode(expected).samples[0])
