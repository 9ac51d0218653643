"""Probes that hold codes against phones, where the right answer is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from probing_builders import FrameCoder, clips_of_codes
from xcodec.evaluation.clips import Clip
from xcodec.probing.abx import PhoneDiscrimination, warped_angle
from xcodec.probing.alignment import Phone, PhoneAligner, frame_labels, warping_path
from xcodec.probing.clusters import cluster
from xcodec.probing.coder import Coding
from xcodec.probing.phones import (
    PhoneInformation,
    adjusted_information,
    contingency,
    held_out_purity,
    mutual_information,
    purity,
)
from xcodec.probing.probe import CodedClip
from xcodec.training.phones import SILENCE

RNG = np.random.default_rng(0)


class KnownPhones(PhoneAligner):
    """Tells the phones that it was given: each lasts five frames of 20 ms."""

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self._labels = labels

    def phones(self, clip: CodedClip, sampling_rate: int) -> tuple[Phone, ...]:
        labels = self._labels[int(Path(clip.clip.name).stem)]
        return tuple(Phone(label, 0.1 * i, 0.1 * (i + 1)) for i, label in enumerate(labels))


def clips_like(labels: Sequence[Sequence[int]], noise: float) -> list[CodedClip]:
    """Clips whose codes are their phones' labels and whose latents are unit vectors of them, with noise on these."""
    clips = []
    for number, each in enumerate(labels):
        spoken = np.repeat(np.array(each), 5)
        latents = np.eye(8, dtype=np.float32)[spoken] + noise * RNG.standard_normal((len(spoken), 8))
        codes = latents.argmax(1)[None]
        name = f"{number}.wav"
        coding = Coding(codes, 320 * len(spoken), latents.astype(np.float32))
        clips.append(CodedClip(Clip(name, Path(name), "words"), np.zeros(320 * len(spoken), np.float32), coding))
    return clips


LABELS = [RNG.integers(1, 8, 40).tolist() for _ in range(4)]


def test_where_a_code_is_a_phone_all_purities_and_the_information_are_full() -> None:
    findings = PhoneInformation(KnownPhones(LABELS)).measure(FrameCoder(), clips_like(LABELS, 0.0))
    for key in ("purity", "cluster_purity", "information", "adjusted", "clusters.purity", "clusters.adjusted"):
        assert findings.corpus[f"phones.{key}"] == pytest.approx(100), key
    assert [scores["phones.held_out"].value for scores in findings.clips.values()] == [100] * 4
    assert findings.corpus["phones.bits"] == pytest.approx(8 * 5)  # five frames of eight bits


def test_a_codec_with_noise_on_its_latents_knows_less_of_phones() -> None:
    probe = PhoneInformation(KnownPhones(LABELS))
    some, much = (probe.measure(FrameCoder(), clips_like(LABELS, noise)).corpus for noise in (0.3, 1.0))
    for key in ("purity", "adjusted", "clusters.adjusted"):
        assert some[f"phones.{key}"] > much[f"phones.{key}"] + 5, key


def test_random_labels_have_no_information_of_codes_that_chance_does_not_give_them() -> None:
    codes, labels = RNG.integers(0, 5000, 4000), RNG.integers(1, 40, 4000)
    table = contingency(codes, labels)
    assert purity(table) > 0.5  # of codes that were seen once
    assert mutual_information(table) > 2
    assert adjusted_information(codes, labels) == pytest.approx(0, abs=0.01)
    scores = held_out_purity(np.split(codes, 4), np.split(labels, 4))
    assert all(score is not None and score.value < 6 for score in scores)


def test_labels_of_few_codes_and_many_frames_have_their_information_in_bits() -> None:
    codes = np.repeat([0, 1, 2, 3], 100)
    assert mutual_information(contingency(codes, codes // 2)) == pytest.approx(1)
    assert adjusted_information(codes, codes // 2) == pytest.approx(1, abs=0.01)
    assert adjusted_information(codes, np.zeros(400, int)) == 0  # there is nothing to know


def test_pauses_are_left_out() -> None:
    labels = [[1, SILENCE, 2, SILENCE] * 5] * 2
    clips = clips_like(labels, 0.0)
    findings = PhoneInformation(KnownPhones(labels)).measure(FrameCoder(), clips)
    assert findings.corpus["phones.bits"] == pytest.approx(2 * 8 * 5)


def test_without_transcripts_there_is_a_reason_and_no_figure() -> None:
    aligner = KnownPhones([[], []])
    clips = clips_of_codes(np.zeros((1, 50), int), np.zeros((1, 50), int))
    for probe in (PhoneInformation(aligner), PhoneDiscrimination(aligner)):
        findings = probe.measure(FrameCoder(), clips)
        assert not findings.corpus
        assert all("transcripts.tsv" in reason for reason in findings.reasons.values())


def test_abx_makes_no_error_where_phones_are_apart_and_half_of_all_where_latents_are_noise() -> None:
    probe = PhoneDiscrimination(KnownPhones(LABELS))
    clean, some, noise = (probe.measure(FrameCoder(), clips_like(LABELS, each)).corpus for each in (0.0, 0.4, 1000.0))
    for key in ("abx.latents.within", "abx.latents.across", "abx.codes.within", "abx.codes.across"):
        assert clean[key] == 0, key
        assert noise[key] == pytest.approx(50, abs=12), key
        assert clean[key] <= some[key] < noise[key], key


def test_a_sequence_is_warped_onto_itself_played_slowly_at_no_angle() -> None:
    directions = np.eye(4)
    assert warped_angle(directions, np.repeat(directions, 3, axis=0)) == 0
    assert warped_angle(directions[:1], directions[1:2]) == pytest.approx(0.5)
    assert warped_angle(directions[:1], -directions[:1]) == pytest.approx(1.0)


def test_a_warping_path_follows_what_is_slower() -> None:
    first = RNG.standard_normal((20, 3))
    path, cost = warping_path(np.repeat(first, 2, axis=0), first)
    assert cost == pytest.approx(0, abs=1e-6)
    assert np.array_equal(path[:, 0] // 2, path[:, 1])


def test_frames_are_labelled_by_what_is_at_their_middle() -> None:
    phones = [Phone(3, 0.0, 0.05), Phone(7, 0.05, 0.1)]
    assert frame_labels(phones, 6, 50.0).tolist() == [3, 3, 7, 7, 7, -1]


def test_points_in_heaps_are_clustered_by_heap() -> None:
    heaps = np.repeat(np.arange(4), 50)
    points = 10 * np.eye(4)[heaps] + 0.1 * RNG.standard_normal((200, 4))
    found = cluster(points, 50)
    assert purity(contingency(found, heaps)) == 1  # no cluster of two heaps


def test_phones_of_another_voice_are_found_where_they_are() -> None:
    """espeak-ng speaks, slower and higher, and tells its phones; they are found of the sound and the words alone."""
    pytest.importorskip("espeakng_loader", reason="needs pip install 'xcodec[train]'")
    from xcodec.training.synthesis import Espeak

    text = "The quick brown fox jumps over the lazy dog, and nobody minds."
    spoken = Espeak().speak(text, "en-us+m3", rate=130, pitch=70)
    assert spoken is not None
    assert spoken.phones is not None
    clip = CodedClip(Clip("a.wav", Path("a.wav"), text), spoken.samples, Coding(np.zeros((1, 1), int), 1))
    found = PhoneAligner("en-us").phones(clip, 16_000)
    frames = len(spoken.samples) // 320
    ends = [*(start for start, _ in spoken.phones[1:]), len(spoken.samples) / 16_000]
    true = [Phone(label, start, end) for (start, label), end in zip(spoken.phones, ends, strict=True)]
    expected, labels = frame_labels(true, frames, 50.0), frame_labels(found, frames, 50.0)
    assert (expected == labels).mean() > 0.75
