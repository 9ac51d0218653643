"""Metrics: what they are held against, where they have no value, and what they say when something is missing."""

import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import builders
from evaluation_builders import save_predictor, save_recognizer, save_voices, save_whisper
from xcodec.audio import Audio
from xcodec.errors import CheckpointError, InputError, MissingExtraError
from xcodec.evaluation.clips import Clip, Pair
from xcodec.evaluation.codebook import CodeCounter, corrected_entropy, entropy
from xcodec.evaluation.distill_mos import DistillMos
from xcodec.evaluation.distortion import LogSpectralDistance, MelDistance, SiSdr
from xcodec.evaluation.intelligibility import Stoi
from xcodec.evaluation.metric import Metric, Score, UndefinedError
from xcodec.evaluation.opinion import Dnsmos, Utmos
from xcodec.evaluation.perceptual import Pesq
from xcodec.evaluation.pitch import Pitch
from xcodec.evaluation.recognition import RecognitionChange, RecognitionError, RecognitionRate, Transcriber
from xcodec.evaluation.recognizers import FasterWhisper, PocketSphinx, TransformersRecognizer
from xcodec.evaluation.selection import select_metrics
from xcodec.evaluation.speaker import SpeakerSimilarity
from xcodec.evaluation.summary import mean_of
from xcodec.evaluation.visqol import Visqol
from xcodec.quantizers.fsq import FSQ

CPU = torch.device("cpu")
SPEECH = builders.speech(3.0)
NOISY = SPEECH + 0.02 * np.random.default_rng(0).normal(size=len(SPEECH)).astype(np.float32)


def pair(
    reference: np.ndarray,
    reconstruction: np.ndarray,
    transcript: str | None = None,
    memory: dict | None = None,
    sampling_rate: int = 16_000,
) -> Pair:
    clip = Clip("clip.wav", Path("clip.wav"), transcript)
    return Pair(clip, Audio(reference, sampling_rate), Audio(reconstruction, sampling_rate), memory)


def value(metric: Metric, given: Pair) -> float:
    (score,) = metric.measure(given).values()
    return score.value


def test_library_metrics_are_taken_at_their_own_rates() -> None:
    pesq, stoi = (pytest.importorskip(name, reason="needs pip install 'xcodec[eval]'") for name in ("pesq", "pystoi"))
    pesq, stoi = pesq.pesq, stoi.stoi
    wide = [Audio(signal, 16_000).resample(48_000).samples[0] for signal in (SPEECH, NOISY)]
    given = pair(*wide, sampling_rate=48_000)
    for rate, band in ((16_000, "wb"), (8_000, "nb")):
        at_rate = [Audio(signal, 48_000).resample(rate).samples[0] for signal in wide]
        assert value(Pesq(band), given) == pytest.approx(pesq(rate, *at_rate, band))  # type: ignore[arg-type]
    at_16 = [Audio(signal, 48_000).resample(16_000).samples[0] for signal in wide]
    assert value(Stoi(), given) == pytest.approx(stoi(*at_16, 16_000))
    assert value(Stoi(extended=True), given) == pytest.approx(stoi(*at_16, 16_000, extended=True))


def test_si_sdr_is_auraloss_s_and_ignores_scale_and_offset() -> None:
    oracle = -pytest.importorskip("auraloss", reason="needs pip install auraloss").time.SISDRLoss()(
        torch.tensor(NOISY).double()[None, None], torch.tensor(SPEECH).double()[None, None]
    )
    assert value(SiSdr(), pair(SPEECH, NOISY)) == pytest.approx(float(oracle), abs=1e-4)
    assert value(SiSdr(), pair(SPEECH, 0.25 * NOISY + 0.1)) == pytest.approx(float(oracle), abs=1e-3)


@pytest.mark.parametrize("metric", [MelDistance(), LogSpectralDistance()], ids=["mel", "LSD"])
def test_a_signal_at_half_the_level_is_six_decibels_away_in_spectrum(metric: Metric) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)
    assert value(metric, pair(noise, noise / 2)) == pytest.approx(20 * math.log10(2), abs=0.01)
    assert value(metric, pair(noise, noise)) == 0
    assert value(metric, pair(noise, -noise)) == 0  # which phase hears, and these do not


def test_log_spectral_distance_is_its_definition() -> None:
    window, hop = 512, 128
    taper = np.hanning(window + 1)[:-1]
    powers = []
    for signal in (SPEECH, NOISY):
        padded = np.pad(signal.astype(np.float64), window // 2)
        frames = np.stack([padded[i : i + window] for i in range(0, len(padded) - window + 1, hop)])
        magnitude = np.abs(np.fft.rfft(frames * taper)) * 2 / window
        powers.append(10 * np.log10(np.maximum(magnitude, 1e-5) ** 2))
    expected = np.sqrt(((powers[0] - powers[1]) ** 2).mean(1)).mean()
    assert value(LogSpectralDistance(), pair(SPEECH, NOISY)) == pytest.approx(expected, rel=1e-6)


SILENCE = np.zeros(16_000, np.float32)
TOO_SHORT = SPEECH[8000:8160]


@pytest.mark.parametrize(
    ("metric", "given", "reason"),
    [
        (Stoi, (SILENCE, SILENCE), "the recording is digital silence"),
        (Stoi, (TOO_SHORT, TOO_SHORT), "fewer than 30 frames"),
        (Stoi, (SPEECH[8000:11200], SPEECH[8000:11200]), "fewer than 30 frames"),
        (lambda: Pesq("wb"), (SILENCE, SPEECH[:16_000]), "the recording is digital silence"),
        (lambda: Pesq("wb"), (SPEECH[:16_000], SILENCE), "the reconstruction is digital silence"),
        (lambda: Pesq("nb"), (TOO_SHORT, TOO_SHORT), "PESQ says: Buffer needs to be at least 1/4 of a second long"),
        (lambda: Pesq("wb"), (np.tile(SPEECH, 21), np.tile(NOISY, 21)), "longer than 60 s"),
        (SiSdr, (SPEECH, SPEECH), "equals the recording"),
        (SiSdr, (SPEECH, np.zeros_like(SPEECH)), "the reconstruction is digital silence"),
        (SiSdr, (np.tile([1.0, 0.0, -1.0, 0.0], 8), np.tile([0.0, 1.0, 0.0, -1.0], 8)), "nothing of the recording"),
    ],
)
def test_where_a_metric_has_no_value_it_says_why(metric, given: tuple[np.ndarray, np.ndarray], reason: str) -> None:
    try:
        made = metric()
    except MissingExtraError as error:
        pytest.skip(str(error))
    with pytest.raises(UndefinedError, match=reason):
        made.measure(pair(*given))


@pytest.mark.parametrize("metric", [MelDistance(), LogSpectralDistance()], ids=["mel", "LSD"])
def test_spectral_distances_are_defined_for_silence_and_for_one_sample(metric: Metric) -> None:
    assert value(metric, pair(SILENCE, SILENCE)) == 0
    assert value(metric, pair(SPEECH[5000:5001], NOISY[5000:5001])) >= 0


def test_a_pair_is_cut_to_the_shorter_unless_it_cannot_be_of_one_clip() -> None:
    reference, reconstruction = pair(SPEECH, NOISY[:-1000]).at(16_000)
    assert np.array_equal(reference, SPEECH[:-1000])
    assert np.array_equal(reconstruction, NOISY[:-1000])
    with pytest.raises(InputError, match=r"takes 2\.00 s and the recording 3\.00 s.*Are they of the same clip"):
        pair(SPEECH, NOISY[:32_000])


# Codebooks


def test_the_corrected_entropy_is_chao_and_shen_s() -> None:
    coverage = 1 - 2 / 5  # two codes of five were seen once
    expected = -sum(
        coverage * p * math.log2(coverage * p) / (1 - (1 - coverage * p) ** 5) for p in (3 / 5, 1 / 5, 1 / 5)
    )
    assert corrected_entropy(np.array([3, 1, 1])) == pytest.approx(expected)
    assert entropy(np.array([3, 1, 1])) == pytest.approx(-(0.6 * math.log2(0.6) + 0.4 * math.log2(0.2)))


def test_few_draws_of_many_codes_tell_the_entropy_where_the_observed_frequencies_do_not() -> None:
    ids = np.random.default_rng(0).integers(0, 4096, 2000)
    counter = CodeCounter(4096)
    counter.add(ids)
    use = counter.use()
    miller_madow = use.entropy + (use.distinct - 1) / (2 * use.codes) / math.log(2)
    assert use.entropy < 10.7
    assert use.corrected_entropy == pytest.approx(12, abs=0.15)
    assert abs(miller_madow - 12) > 4 * abs(use.corrected_entropy - 12)
    assert use.perplexity == pytest.approx(2**use.corrected_entropy)
    assert use.coverage == pytest.approx(use.distinct / 4096, abs=0.05)  # uniform: the share of codes that were met


def test_one_code_over_and_over_has_no_entropy_and_codes_all_different_have_no_coverage() -> None:
    same, different = CodeCounter(65536), CodeCounter(65536)
    same.add(np.full(100, 7))
    different.add(np.arange(100))
    assert (same.use().entropy, same.use().corrected_entropy, same.use().distinct) == (0, 0, 1)
    assert different.use().coverage == 0
    assert math.log2(100) < different.use().corrected_entropy <= 16


def test_the_use_of_levels_counts_the_digits_of_the_quantizer() -> None:
    quantizer = FSQ(8, (4, 3, 5))
    ids = torch.randint(0, 60, (1, 500), generator=torch.Generator().manual_seed(0))
    counter = CodeCounter(60, quantizer.levels)
    counter.add(ids.numpy())
    digits = quantizer.digits(ids)[0]
    for dimension, shares in enumerate(counter.use().levels):
        counts = digits[:, dimension].bincount(minlength=quantizer.levels[dimension])
        assert shares == pytest.approx(tuple((counts / 500).tolist()))


# Means

pytest.importorskip("scipy", reason="needs pip install 'xcodec[eval]'")


def test_the_mean_counts_each_clip_by_its_weight() -> None:
    mean = mean_of([Score(50.0, weight=2), Score(0.0, weight=8)])
    assert mean is not None
    assert mean.value == 10  # one word of ten is wrong
    assert mean.clips == 2


def test_the_interval_of_a_weighted_mean_is_that_of_clips_drawn_with_their_weights() -> None:
    drawn = np.random.default_rng(0)
    values, weights = drawn.normal(20.0, 10.0, 30), drawn.integers(1, 20, 30)
    mean = mean_of([Score(float(value), float(weight)) for value, weight in zip(values, weights, strict=True)])
    assert mean is not None
    times = drawn.multinomial(30, np.full(30, 1 / 30), 10_000)  # how often each clip is drawn
    low, high = np.quantile(times @ (weights * values) / (times @ weights), (0.025, 0.975))
    assert mean.low == pytest.approx(low, abs=0.03 * (high - low))
    assert mean.high == pytest.approx(high, abs=0.03 * (high - low))


def test_the_interval_is_that_of_the_mean_and_one_clip_has_none() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    mean = mean_of([Score(float(each)) for each in values])
    assert mean is not None
    assert mean.low is not None
    assert mean.high is not None
    half = 1.96 * values.std() / math.sqrt(400)
    assert mean.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert mean.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert mean_of([Score(1.0)]).low is None  # type: ignore[union-attr]
    same = mean_of([Score(2.0)] * 5)
    assert same is not None
    assert (same.low, same.value, same.high) == (2.0, 2.0, 2.0)
    assert mean_of([]) is None


# Extras


def test_dnsmos_is_what_its_package_says() -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install 'xcodec[dnsmos]'")
    pytest.importorskip("librosa", reason="needs pip install librosa")
    dnsmos = pytest.importorskip("speechmos.dnsmos", reason="needs pip install 'xcodec[dnsmos]'")
    for samples in (SPEECH, builders.speech(12.0)):
        told = dnsmos.run(samples, 16_000)
        scores = Dnsmos().measure(pair(samples, samples))
        for key in ("sig", "bak", "ovrl"):
            assert scores[f"dnsmos_{key}"].value == pytest.approx(told[f"{key}_mos"], abs=1e-4)


def test_dnsmos_hears_noise() -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install 'xcodec[dnsmos]'")
    pytest.importorskip("speechmos", reason="needs pip install 'xcodec[dnsmos]'")
    clean, noisy = (Dnsmos().measure(pair(SPEECH, each)) for each in (SPEECH, NOISY))
    assert clean["dnsmos_bak"].value > noisy["dnsmos_bak"].value + 0.5
    with pytest.raises(UndefinedError, match="reconstruction is digital silence"):
        Dnsmos().measure(pair(SPEECH, np.zeros_like(SPEECH)))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of writing the file
def test_utmos_is_any_torchscript_file_from_a_waveform_to_a_number(tmp_path: Path) -> None:
    utmos = Utmos(save_predictor(tmp_path / "predictor.jit"), CPU)
    assert value(utmos, pair(SPEECH, NOISY)) == pytest.approx(np.abs(NOISY).max())
    with pytest.raises(UndefinedError, match=r"predictor\.jit says: .*size"):
        utmos.measure(pair(TOO_SHORT, TOO_SHORT))
    identity = save_predictor(tmp_path / "identity.jit", torch.nn.Identity())
    with pytest.raises(CheckpointError, match="gives 48000 numbers for a clip; expected one"):
        Utmos(identity, CPU).measure(pair(SPEECH, NOISY))
    with pytest.raises(CheckpointError, match=r"transcripts\.tsv: is not a TorchScript file"):
        Utmos(builders.RECORDINGS[0].with_name("transcripts.tsv"), CPU)


def test_the_similarity_of_voices_is_by_any_x_vector_model(tmp_path: Path) -> None:
    similarity = SpeakerSimilarity(str(save_voices(tmp_path / "voices")), CPU)
    assert value(similarity, pair(SPEECH, SPEECH)) == pytest.approx(1, abs=1e-5)
    assert -1 <= value(similarity, pair(SPEECH, NOISY)) < 0.9999
    with pytest.raises(UndefinedError, match="too short for a voice"):
        similarity.measure(pair(TOO_SHORT, TOO_SHORT))
    with pytest.raises(CheckpointError, match="cannot be loaded as a model of speakers' voices"):
        SpeakerSimilarity(str(tmp_path / "nowhere"), CPU)


class Parrot:
    """A recogniser that says what it was told to, one after the other, and counts how often it was asked."""

    name = "parrot"
    packages = ()
    on_device = False

    def __init__(self, *texts: str, spelling: dict[str, str] | None = None) -> None:
        self.texts, self.asked, self.spelling = list(texts), 0, spelling or {}

    def transcribe(self, samples: np.ndarray) -> str:
        self.asked += 1
        return self.texts.pop(0)


def test_words_are_compared_as_whisper_s_authors_do() -> None:
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    parrot = Parrot("um he has got twenty one colors", spelling={"colours": "colors"})
    metric = RecognitionError(Transcriber(parrot))
    score = metric.measure(pair(SPEECH, NOISY, "He's got 21 colours!"))["wer"]
    assert score == Score(0.0, weight=5)


def test_words_that_a_recogniser_makes_up_are_errors_and_no_words_missed() -> None:
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    metric = RecognitionError(Transcriber(Parrot("red greed blue grey and so and so and so on")))
    found = metric.measure(pair(SPEECH, NOISY, "red green blue grey"))
    assert found == {"wer": Score(200.0, weight=4), "words_missed": Score(25.0, weight=4)}
    assert [scale.label for scale in metric.scales] == ["WER", "words missed"]


def test_characters_are_counted_where_words_have_no_spaces() -> None:
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    metric = RecognitionError(Transcriber(Parrot("\u4eca\u5929\u5929\u6c23\u597d"), "zh"))
    score = metric.measure(pair(SPEECH, NOISY, "\u4eca\u5929 \u5929\u6c14\u597d\u3002"))["cer"]
    assert score == Score(20.0, weight=5)
    assert metric.scales[0].label == "CER"


def test_what_is_heard_otherwise_than_in_the_recording_needs_no_transcript_and_the_recording_is_heard_once() -> None:
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    parrot = Parrot("the same five words here", "the sane five words", "the same five words here")
    transcriber = Transcriber(parrot)
    metrics = (RecognitionChange(transcriber), RecognitionError(transcriber))
    memory: dict = {}
    for samples, change in ((NOISY, 40.0), (NOISY[::-1].copy(), 0.0), (SPEECH, 0.0)):
        each = pair(SPEECH, samples, "the same five words there", memory)
        assert metrics[0].measure(each)["dwer"] == Score(change, weight=5)
        assert metrics[1].measure(each)["wer"].value == (40.0 if change else 20.0)
    assert parrot.asked == 3  # the recording, and two that differ from it


def test_two_recognisers_stand_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    names = [str(save_recognizer(tmp_path / name)) for name in ("one", "two")]
    metrics, _ = select_metrics(transcribed=True, recognizers=names, device=CPU)
    labels = {scale.key: scale.label for metric in metrics for scale in metric.scales}
    assert labels["wer"] == f"WER ({names[0]})"
    assert labels["wer_2"] == f"WER ({names[1]})"
    assert labels["dwer_2"] == f"dWER ({names[1]})"
    with pytest.raises(InputError, match="none is not for beside recognisers"):
        select_metrics(transcribed=True, recognizers=["none", names[0]], device=CPU)


def test_the_word_error_rate_by_a_transformers_model_is_jiwer_s(tmp_path: Path) -> None:
    jiwer = pytest.importorskip("jiwer", reason="needs pip install 'xcodec[eval]'")
    transcriber = Transcriber(TransformersRecognizer(str(save_recognizer(tmp_path / "recognizer")), CPU))
    heard = transcriber.heard(SPEECH)
    assert heard
    said = "and mister john dashwood"
    metric = RecognitionError(transcriber)
    assert metric.measure(pair(SPEECH, SPEECH, said))["wer"] == Score(100 * jiwer.wer(said, " ".join(heard)), weight=4)
    with pytest.raises(UndefinedError, match="no transcript"):
        metric.measure(pair(SPEECH, SPEECH))
    with pytest.raises(UndefinedError, match="has no words"):
        metric.measure(pair(SPEECH, SPEECH, " -- "))
    with pytest.raises(CheckpointError, match="cannot be loaded as a speech recogniser"):
        TransformersRecognizer(str(tmp_path / "nowhere"), CPU)


def test_pocketsphinx_understands_most_of_a_recording_and_nothing_of_silence() -> None:
    pytest.importorskip("pocketsphinx", reason="needs pip install 'xcodec[asr]'")
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    recording = Audio.read(builders.RECORDINGS[4]).samples[0]
    metric = RecognitionError(Transcriber(PocketSphinx()))
    said = "he might even have been made amiable himself"
    assert metric.measure(pair(recording, recording, said))["wer"].value < 50
    assert metric.measure(pair(SILENCE, SILENCE, said))["words_missed"].value >= 75


def test_pocketsphinx_hears_a_clip_the_same_whatever_it_has_heard_before() -> None:
    pytest.importorskip("pocketsphinx", reason="needs pip install 'xcodec[asr]'")
    first, second = (Audio.read(builders.RECORDINGS[i]).samples[0] for i in (1, 4))
    used, fresh = PocketSphinx(), PocketSphinx()
    used.transcribe(first / 20)  # another level, which is another mean
    assert used.transcribe(second) == fresh.transcribe(second)


def voiced(frequencies: np.ndarray) -> np.ndarray:
    """Make a buzz with so many harmonics as a voice has, its fundamental frequency in Hz given for each sample."""
    phase = 2 * np.pi * np.cumsum(frequencies) / 16_000
    return np.asarray(0.1 * sum(np.sin(k * phase) / k for k in range(1, 12)), np.float32)


def test_pitch_is_the_same_a_third_higher_and_another_upside_down() -> None:
    pytest.importorskip("swift_f0", reason="needs pip install 'xcodec[pitch]'")
    rise = np.linspace(110.0, 220.0, 32_000)
    pitch = Pitch()
    higher = pitch.measure(pair(voiced(rise), voiced(1.26 * rise)))
    assert higher["f0_correlation"].value > 0.99
    assert higher["voicing_error"].value < 3
    assert pitch.measure(pair(voiced(rise), voiced(rise[::-1])))["f0_correlation"].value < -0.95
    half = voiced(rise)
    half[16_000:] = 0
    assert pitch.measure(pair(voiced(rise), half))["voicing_error"].value == pytest.approx(50, abs=5)
    with pytest.raises(UndefinedError, match="fewer than 10 frames are voiced in both"):
        pitch.measure(pair(voiced(rise), np.zeros(32_000, np.float32)))


def test_visqol_is_highest_of_a_copy_and_falls_with_noise() -> None:
    pytest.importorskip("visqol", reason="needs pip install 'xcodec[visqol]'")
    metric = Visqol()
    copy, noisy = (value(metric, pair(SPEECH, each)) for each in (SPEECH, NOISY))
    assert copy > 4.5 > noisy
    with pytest.raises(UndefinedError, match="shorter than"):
        metric.measure(pair(TOO_SHORT, TOO_SHORT))


@pytest.mark.parametrize(
    ("module", "what", "how"),
    [
        ("pystoi", "STOI", "pip install 'xcodec[eval]' (pystoi)"),
        ("pesq", "PESQ-NB", "pip install 'xcodec[eval]' (pesq, which needs a C compiler)"),
        ("speechmos", "DNSMOS", "pip install 'xcodec[dnsmos]' (speechmos, which carries the network)"),
        ("pocketsphinx", "WER, dWER by pocketsphinx", "pip install 'xcodec[asr]' (pocketsphinx)"),
        (
            "swift_f0",
            "F0 correlation, voicing error",
            "pip install 'xcodec[pitch]' (swift-f0, which carries its network)",
        ),
        (
            "distillmos.sqa",
            "DistillMOS",
            "pip install 'xcodec[distillmos]' (distillmos, which carries its network)",
        ),
        (
            "visqol.api",
            "ViSQOL",
            "pip install 'xcodec[visqol]' (visqol-python, one of whose libraries needs a C++ compiler)",
        ),
    ],
)
def test_a_metric_whose_package_is_missing_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: str, what: str, how: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    metrics, missing = select_metrics(transcribed=True, device=CPU)
    assert {each.what: each.how_to_get for each in missing}[what] == how
    assert what not in {scale.label for metric in metrics for scale in metric.scales}


def test_what_was_not_given_is_named_too() -> None:
    _, missing = select_metrics(transcribed=False, device=CPU)
    told = {each.what: each.how_to_get for each in missing}
    assert "--utmos" in told["UTMOS"]
    assert "--speaker" in told["SIM"]
    assert "--transcripts" in told["WER"]
    _, missing = select_metrics(transcribed=True, recognizers=["none"], device=CPU)
    assert "--asr" in {each.what: each.how_to_get for each in missing}["WER, dWER"]


def test_what_is_left_out_is_named_and_not_measured() -> None:
    metrics, missing = select_metrics(transcribed=False, without=["stoi", "visqol"], device=CPU)
    told = {each.what: each.how_to_get for each in missing}
    assert [told["STOI"], told["ESTOI"]] == ["leave --without stoi out"] * 2
    assert told["ViSQOL"] == "leave --without visqol out"
    assert {"STOI", "ESTOI", "ViSQOL"}.isdisjoint(scale.label for metric in metrics for scale in metric.scales)
    with pytest.raises(InputError, match=r"expected one of stoi, pesq, .*visqol"):
        select_metrics(transcribed=False, without=["stoy"], device=CPU)


def test_what_measures_in_another_process_measures_the_same_there() -> None:
    """All that is no model of torch goes there in a pickle; ViSQOL and DNSMOS take too long for a test of it."""
    chosen, _ = select_metrics(transcribed=True, device=CPU)
    metrics = [metric for metric in chosen if not (metric.on_device or isinstance(metric, (Visqol, Dnsmos)))]
    assert {type(metric) for metric in metrics} >= {SiSdr, MelDistance, LogSpectralDistance}
    others = pickle.loads(pickle.dumps(metrics))
    said, noisy = SPEECH[:16_000], NOISY[:16_000]
    for metric, other in zip(metrics, others, strict=True):
        assert other.measure(pair(said, noisy, "a few words")) == metric.measure(pair(said, noisy, "a few words"))
    changes = [metric for metric in others if isinstance(metric, RecognitionRate)]
    assert len({id(change.transcriber) for change in changes}) == min(1, len(changes))


def test_distill_mos_hears_noise_and_needs_no_torchaudio(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xls_r_sqa", reason="needs pip install 'xcodec[distillmos]'")
    metric = DistillMos(CPU)
    clean, noisy = (value(metric, pair(SPEECH, each)) for each in (SPEECH, NOISY))
    assert 5 > clean > noisy > 1
    assert "torchaudio" not in sys.modules
    assert capsys.readouterr().out == ""


def test_a_whisper_that_was_converted_is_a_recogniser_and_hears_the_same_each_time(tmp_path: Path) -> None:
    """One of random weights, with a vocabulary of bytes."""
    pytest.importorskip("faster_whisper", reason="needs pip install 'xcodec[whisper]'")
    pytest.importorskip("jiwer", reason="needs pip install 'xcodec[asr]'")
    folder = save_whisper(tmp_path / "whisper")
    metrics, _ = select_metrics(transcribed=True, recognizers=[f"faster-whisper:{folder}"], device=CPU)
    words = [metric for metric in metrics if isinstance(metric, RecognitionRate)]
    assert [scale.key for metric in words for scale in metric.scales] == ["wer", "words_missed", "dwer"]
    listener = words[0].transcriber.recognizer
    assert isinstance(listener, FasterWhisper)
    assert listener.spelling == {"colour": "color"}
    assert listener.transcribe(SPEECH) == listener.transcribe(SPEECH)
    assert words[0].measure(pair(SPEECH, NOISY, "a few words"))["wer"].weight == 3
    with pytest.raises(CheckpointError, match="knows en, and not de"):
        FasterWhisper(str(folder), "de", CPU)
    with pytest.raises(CheckpointError, match=r"holds no model.bin; .*ct2-transformers-converter"):
        FasterWhisper(str(tmp_path), "en", CPU)
