# ruff: noqa: RUF001  (phonetic letters are meant, and not the Latin ones they look like)
"""Speech to train on: made, labelled with phones, kept on disk."""

import json
import logging
import shutil
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xcodec.errors import AudioError, InputError
from xcodec.training.data import corpus, stretches
from xcodec.training.data.corpus import Corpus, build_corpus, needs_building
from xcodec.training.limit import Limit
from xcodec.training.phones import INVENTORY, SILENCE, UNKNOWN, phone_of
from xcodec.training.sections import SynthesisRecipe
from xcodec.training.synthesis import ENGINES, Espeak, utterances
from xcodec.training.texts import SCRIPTS, sentence


def test_synthesis_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (list(islice(utterances("espeak", seed), 3)) for seed in (5, 5, 6))
    for one, same in zip(first, again, strict=True):
        assert one.voice == same.voice
        np.testing.assert_array_equal(one.samples, same.samples)
    assert [one.voice for one in first] != [one.voice for one in other]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_synthesizer_speaks_audibly_at_16_khz(engine: str) -> None:
    if engine != "espeak" and shutil.which(engine) is None:
        pytest.skip(f"needs apt-get install {engine}")
    spoken = next(utterances(engine, 0))
    assert spoken.samples.dtype == np.float32
    assert 0.5 < len(spoken.samples) / 16_000 < 60
    assert 0.01 < np.abs(spoken.samples).max() < 1.5
    assert spoken.voice.startswith(f"{engine}:")


def test_a_higher_pitch_setting_speaks_higher() -> None:
    def period(pitch: int) -> int:
        spoken = Espeak().speak("aaa aaa aaa aaa", "en-us", pitch=pitch, pitch_range=0)
        assert spoken is not None
        correlation = np.fft.irfft(np.abs(np.fft.rfft(spoken.samples)) ** 2)
        return 40 + int(correlation[40:300].argmax())  # in samples; speech lies between 50 and 400 Hz

    assert period(95) < 0.6 * period(5)


def test_an_unknown_synthesizer_or_voice_is_said() -> None:
    with pytest.raises(InputError, match=r"unknown synthesizer 'parrot'; the known ones are espeak, flite, festival"):
        next(utterances("parrot", 0))
    assert Espeak().speak("hello", "klingonese") is None


def test_an_optional_synthesizer_that_is_missing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    built = build_corpus(SynthesisRecipe(hours={"espeak": 0.002, "flite": 1.0}, optional=["flite"]), tmp_path)
    assert built is not None
    assert list(built.hours()) == ["espeak"]
    assert "flite is not installed; its 1 h are left out" in caplog.text
    with pytest.raises(InputError, match="'flite' is not installed: apt-get install flite, or drop it"):
        build_corpus(SynthesisRecipe(hours={"flite": 1.0}), tmp_path)


@pytest.mark.parametrize("script", ["english", *SCRIPTS])
def test_sentences_differ_and_leave_no_gap_unfilled(script: str) -> None:
    import random

    rng = random.Random(0)
    made = [sentence(script, rng) for _ in range(20)]
    assert len(set(made)) == 20
    assert not any("{" in text for text in made)


def test_espeak_tells_which_phone_is_when() -> None:
    spoken = Espeak().speak("aaa. Sssss.", "en-us", pitch_range=0)
    assert spoken is not None
    assert spoken.phones is not None
    starts = [start for start, _ in spoken.phones]
    assert starts == sorted(starts)
    assert starts[0] == 0.0
    assert starts[-1] < len(spoken.samples) / 16_000
    names = [INVENTORY[label] for _, label in spoken.phones if label != UNKNOWN]
    assert {"silence", "s"} <= set(names)
    # A hiss crosses zero far more often than a vowel, and a pause is quiet: the labels lie where the sounds are.
    ends = [*starts[1:], len(spoken.samples) / 16_000]
    crossings, levels = {}, {}
    for start, end, (_, label) in zip(starts, ends, spoken.phones, strict=True):
        piece = spoken.samples[round(16_000 * (start + 0.01)) : round(16_000 * (end - 0.01))]
        if len(piece) > 400:
            crossings[INVENTORY[label]] = np.mean(np.diff(np.sign(piece)) != 0)
            levels[INVENTORY[label]] = np.abs(piece).max()
    vowel = next(name for name in crossings if name in "eɛæaiɪ")
    assert crossings["s"] > 3 * crossings[vowel]
    assert levels["silence"] < 0.2 * levels[vowel]


def test_a_phone_is_known_by_its_first_letter() -> None:
    assert INVENTORY[phone_of("ˈaʊ")] == "a"
    assert INVENTORY[phone_of("dʒ")] == "d"
    assert INVENTORY[phone_of("a\u0308ː")] == "a"  # a with two dots, a letter and an accent
    assert INVENTORY[phone_of("ä")] == "a"
    assert INVENTORY[phone_of("g")] == "ɡ"
    assert phone_of("") == SILENCE
    assert phone_of("ˈ") == UNKNOWN
    assert len(set(INVENTORY)) == len(INVENTORY)


def test_a_corpus_keeps_clips_sources_phones_and_recordings(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    time = np.arange(48_000) / 48_000
    soundfile.write(tmp_path / "recordings" / "tone.wav", 0.1 * np.sin(2 * np.pi * 440 * time), 48_000)
    asked = SynthesisRecipe(hours={"espeak": 0.002}, recordings=str(tmp_path / "recordings"))
    built = build_corpus(asked, tmp_path / "speech")
    assert built is not None
    assert built.sources == ["espeak", "recordings"]
    assert built.hours()["recordings"] == pytest.approx(1 / 3600)
    assert built.hours()["espeak"] >= 0.002
    tone = built.excerpt(len(built) - 1, 0.0, 1.0)
    assert np.abs(tone.samples).max() == pytest.approx(0.9, abs=0.01)
    assert np.abs(np.fft.rfft(tone.samples)).argmax() == 440
    assert tone.phones is None
    half = built.excerpt(0, 0.5, 1.0)
    assert len(half.samples) == 16_000
    np.testing.assert_array_equal(half.samples[:8000], built.excerpt(0, 0.0, 1.0).samples[8000:])
    assert len(built.excerpt(0, float(built.seconds[0]) - 0.25, 1.0).samples) == pytest.approx(4000, abs=1)

    spoken = next(utterances("espeak", 0))
    whole = built.excerpt(0, 0.0, float(built.seconds[0]))
    assert spoken.phones is not None
    assert whole.phones is not None
    np.testing.assert_allclose(whole.phones[0], [start for start, _ in spoken.phones], atol=1e-4)
    assert whole.phones[1].tolist() == [label for _, label in spoken.phones]
    assert half.phones is not None
    assert half.phones[0][0] <= 0.0


def test_speech_whose_making_is_stopped_comes_out_as_that_which_is_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xcodec")
    monkeypatch.setattr(stretches, "STRETCH_SECONDS", 6.0)
    recipe = SynthesisRecipe(hours={"espeak": 0.008})  # 28.8 s: five stretches
    whole = build_corpus(recipe, tmp_path / "whole")
    assert whole is not None
    shares = []
    for _ in range(20):
        asked = threading.Event()
        lines: list[str] = []

        def ask(record: logging.LogRecord, lines: list[str] = lines, asked: threading.Event = asked) -> bool:
            lines.append(record.getMessage())
            if sum(each.startswith("made") for each in lines) == 3:
                asked.set()
            return True

        corpus.logger.addFilter(ask)
        built = build_corpus(recipe, tmp_path / "parts", Limit(asked=asked))
        corpus.logger.removeFilter(ask)
        if built is not None:
            break
        assert needs_building(tmp_path / "parts")
        shares.append(len(list((tmp_path / "parts/.unfinished-speech").iterdir())))
        assert lines[-1].startswith("stopped; ")
    assert shares == sorted(shares)
    assert shares[-1] > 0
    assert built is not None
    assert not needs_building(tmp_path / "parts")
    for name in ("index.json", "samples.npy"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert whole.hours()["espeak"] == pytest.approx(0.008, abs=5 * 10 / 3600)


def test_a_synthesizer_stops_within_a_sentence() -> None:
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) >= 3

    assert Espeak(stop=stop).speak("one two three four five. " * 1000, "en-us") is None
    assert len(asked) == 3


@pytest.mark.parametrize("voice", ["nl+caleb", "nb+Reed", "en-us+klatt3"])
def test_what_a_voice_says_does_not_depend_on_who_else_draws_random_numbers(voice: str) -> None:
    first, again = (Espeak(5).speak("one two three four", voice) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.samples, again.samples)


def test_another_stretch_is_other_speech() -> None:
    first, other = (next(utterances("espeak", 0, stretch)) for stretch in (0, 1))
    assert not np.array_equal(first.samples[:1000], other.samples[:1000])


def test_a_corpus_from_before_phones_has_none(tmp_path: Path) -> None:
    build_corpus(SynthesisRecipe(hours={"espeak": 0.002}), tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    del index["phones"], index["phone_starts"]
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert Corpus(tmp_path).excerpt(0, 0.0, 1.0).phones is None


def test_what_is_no_corpus_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prepared speech at"):
        Corpus(tmp_path)
    build_corpus(SynthesisRecipe(hours={"espeak": 0.002}), tmp_path)
    index = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(index[:-20])
    with pytest.raises(InputError, match=r"is damaged .* remove it, to make it anew"):
        Corpus(tmp_path)
    cut = json.loads(index)
    (tmp_path / "index.json").write_text(json.dumps(cut | {"offsets": [*cut["offsets"][:-1], 7]}))
    with pytest.raises(InputError, match="is not what its index says"):
        Corpus(tmp_path)


def test_recordings_of_too_low_a_rate_and_no_speech_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    soundfile.write(tmp_path / "low" / "tone.wav", 0.1 * np.ones(8000), 8000)
    with pytest.raises(AudioError, match="has 8000 Hz; recordings to train on need 16000 Hz"):
        build_corpus(SynthesisRecipe(hours={}, recordings=str(tmp_path / "low")), tmp_path / "speech")
    with pytest.raises(InputError, match="synthesis section gives no speech"):
        build_corpus(SynthesisRecipe(hours={}), tmp_path / "speech")
