"""Probes that learn: who speaks, and which code comes next, where the right answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from probing_builders import FrameCoder, clips_of_codes
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.transcripts import Transcripts
from xcodec.probing.coder import Coding
from xcodec.probing.predictability import Predictability, symbol_sizes, symbols_of
from xcodec.probing.probe import CodedClip
from xcodec.probing.selection import PROBES, select_probes
from xcodec.probing.speaker import SpeakerLeakage, fit_linear, speakers_of

pytestmark = pytest.mark.gradients


def voices(distance: float) -> tuple[list[CodedClip], dict[str, str]]:
    """Six clips of each of four speakers, whose latents have means that are so far apart, and the speakers."""
    rng = np.random.default_rng(0)
    clips, speakers = [], {}
    for speaker in range(4):
        for number in range(6):
            name = f"{speaker}/{number}.wav"
            latents = rng.standard_normal((50, 16)).astype(np.float32)
            latents += distance * np.eye(16, dtype=np.float32)[speaker]
            clips.append(
                CodedClip(
                    Clip(name, Path(name)),
                    np.zeros(16_000, np.float32),
                    Coding(np.zeros((1, 50), int), 16_000, latents),
                )
            )
            speakers[name] = str(speaker)
    return clips, speakers


def accuracy(clips: list[CodedClip], speakers: dict[str, str]) -> float:
    findings = SpeakerLeakage(speakers).measure(FrameCoder(), clips)
    return float(np.mean([scores["speaker.accuracy"].value for scores in findings.clips.values()]))


def test_speakers_who_differ_in_their_latents_are_all_told_and_those_who_do_not_no_better_than_by_chance() -> None:
    assert accuracy(*voices(5.0)) == 100
    assert accuracy(*voices(0.0)) < 50
    findings = SpeakerLeakage(voices(0.0)[1]).measure(FrameCoder(), voices(0.0)[0])
    assert findings.corpus == {"speaker.chance": 25.0}


def test_a_speaker_of_one_clip_is_left_out_and_one_speaker_alone_is_told_from_nobody() -> None:
    clips, speakers = voices(5.0)
    findings = SpeakerLeakage(speakers).measure(FrameCoder(), clips[:7])  # six of one, one of another
    assert findings.clips == {}
    assert "--speakers FILE" in findings.reasons["speaker.accuracy"]


def test_a_linear_probe_is_where_its_loss_has_no_slope() -> None:
    points = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.5], [0.5, 2.0]])
    labels = np.array([0, 1, 1, 0])
    weights, bias = fit_linear(points, labels)
    logits = points @ weights + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = points.T @ (shares - np.eye(2)[labels]) + weights
    assert np.abs(slope).max() < 1e-3


def test_who_speaks_is_said_by_a_table_or_else_by_the_first_folder(tmp_path: Path) -> None:
    clips = [Clip("p225/a.wav", tmp_path / "p225/a.wav"), Clip("b.wav", tmp_path / "b.wav")]
    assert speakers_of(clips, None) == {"p225/a.wav": "p225"}
    (tmp_path / "speakers.tsv").write_text("b.wav\tEmma\np225/a\tnobody\n")
    assert speakers_of(clips, Transcripts(tmp_path / "speakers.tsv")) == {"b.wav": "Emma"}


def foretold(*clips: CodedClip, steps: int = 100) -> tuple[float, dict[str, float]]:
    findings = Predictability(steps).measure(FrameCoder(), list(clips))
    [bits] = [scores["predictability.bits"].value for scores in findings.clips.values()]
    return bits, findings.corpus


def test_codes_that_follow_a_rule_take_few_bits_and_random_ones_all_that_are_paid() -> None:
    rng = np.random.default_rng(0)
    period = rng.permutation(16)[None]
    ruled = clips_of_codes(*[np.roll(np.tile(period, 20), int(shift)) for shift in rng.integers(0, 16, 5)])
    bits, corpus = foretold(*ruled)
    assert bits < 0.1 * 400
    assert corpus["predictability.perplexity"] < 2
    chance = clips_of_codes(*[rng.integers(0, 256, (1, 400)) for _ in range(5)])
    bits, corpus = foretold(*chance, steps=20)
    assert bits == pytest.approx(400, rel=0.05)  # 8 bits, 50 times a second
    assert corpus["predictability.share"] == pytest.approx(100, rel=0.05)


def test_the_same_seed_gives_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    clips = clips_of_codes(*[rng.integers(0, 4, (1, 100)) for _ in range(3)])
    assert foretold(*clips, steps=5) == foretold(*clips, steps=5)


def test_large_codes_are_foretold_digit_by_digit() -> None:
    coder = FrameCoder()
    coder.codebook_sizes = (65536,)
    assert symbol_sizes(coder) == [256, 256]
    assert symbols_of(np.array([[0x1234, 0xFFFF]]), coder).tolist() == [[0x34, 0x12], [0xFF, 0xFF]]
    coder.levels = (4,) * 8
    assert math.prod(symbol_sizes(coder)) == 65536
    assert symbols_of(np.array([[5]]), coder).tolist() == [[1, 1, 0, 0, 0, 0, 0, 0]]


def test_probes_are_those_that_are_named_and_a_name_that_is_unknown_is_refused() -> None:
    probes, _ = select_probes(["speaker", "shift"], 1, {}, "en-us", 10)
    assert [probe.name for probe in probes] == ["shift", "speaker"]
    every, missing = select_probes([], 1, {}, "en-us", 10)
    assert len(every) + len(missing) == len(PROBES)
    assert all(len({scale.key for scale in probe.scales}) == len(probe.scales) for probe in every)
    with pytest.raises(InputError, match="no probe 'ufo'; expected robustness, shift"):
        select_probes(["ufo"], 1, {}, "en-us", 10)
