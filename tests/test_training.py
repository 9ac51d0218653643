"""Training: speech is made, losses measure, a run learns, resumes and exports."""

import json
import math
import shutil
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from xcodec.errors import CheckpointError, InputError
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.modules.mel import mel_filters
from xcodec.training.augmentation import augment, source_length
from xcodec.training.checkpoints import export
from xcodec.training.corpus import Corpus, build_corpus
from xcodec.training.data import batches, make_batch
from xcodec.training.forward import fused_latents, reconstruct
from xcodec.training.initialization import initialize, initialize_from_batch
from xcodec.training.losses import MelLoss, log_magnitude, spread_loss
from xcodec.training.recipe import AugmentationRecipe, OptimizerRecipe, Recipe, SynthesisRecipe
from xcodec.training.synthesis import ENGINES, Espeak, utterances
from xcodec.training.texts import SCRIPTS, sentence
from xcodec.training.trainer import Trainer, learning_rate
from xcodec.training.validation import validate

pytestmark = pytest.mark.gradients

TINY = """
steps: 30
batch_seconds: 1.0
crop_seconds: [0.3, 0.5]
model:
  encoder_hidden_size: 2
  downsampling_ratios: [8, 8, 5]
  hidden_size: 32
  intermediate_size: 32
  num_hidden_layers: 1
  num_attention_heads: 2
  num_key_value_heads: 2
  head_dim: 16
  activation_dropout: 0.0
  quantization_dim: 64
  semantic_model_config:
    {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32,
     feature_projection_input_dim: 160, conv_depthwise_kernel_size: 5, mask_time_prob: 0.0,
     hidden_dropout: 0.0, attention_dropout: 0.0, activation_dropout: 0.0, feat_proj_dropout: 0.0,
     conformer_conv_dropout: 0.0}
loss: {windows: [128, 512], mels: [10, 40]}
optimizer: {learning_rate: 2.0e-3, warmup_steps: 3, ema: 0.9}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(SynthesisRecipe(seed=1, hours={"espeak": 0.02}), tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return Recipe.read(path)


def quiet(_line: str) -> None:
    pass


# Speech


def test_synthesis_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first, again, other = (list(islice(utterances("espeak", seed), 3)) for seed in (5, 5, 6))
    for one, same in zip(first, again, strict=True):
        assert one.voice == same.voice
        np.testing.assert_array_equal(one.samples, same.samples)
    assert [one.voice for one in first] != [one.voice for one in other]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_synthesizer_speaks_audibly_at_16_khz(engine: str) -> None:
    if engine != "espeak" and shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    built = build_corpus(SynthesisRecipe(hours={"espeak": 0.002, "flite": 1.0}, optional=["flite"]), tmp_path)
    assert list(built.hours()) == ["espeak"]
    assert "flite is not installed; its 1 h are left out" in capsys.readouterr().out
    with pytest.raises(InputError, match="'flite' is not installed: apt-get install flite, or drop it"):
        build_corpus(SynthesisRecipe(hours={"flite": 1.0}), tmp_path)


@pytest.mark.parametrize("script", ["english", *SCRIPTS])
def test_sentences_differ_and_leave_no_gap_unfilled(script: str) -> None:
    import random

    rng = random.Random(0)
    made = [sentence(script, rng) for _ in range(20)]
    assert len(set(made)) == 20
    assert not any("{" in text for text in made)


def test_a_corpus_keeps_clips_sources_and_recordings(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    time = np.arange(48_000) / 48_000
    soundfile.write(tmp_path / "recordings" / "tone.wav", 0.1 * np.sin(2 * np.pi * 440 * time), 48_000)
    asked = SynthesisRecipe(hours={"espeak": 0.002}, recordings=str(tmp_path / "recordings"), shares={"recordings": 2})
    built = build_corpus(asked, tmp_path / "speech")
    assert built.sources == ["espeak", "recordings"]
    assert built.hours()["recordings"] == pytest.approx(1 / 3600)
    assert built.hours()["espeak"] >= 0.002
    tone = built.crop(len(built) - 1, 16_000, 0.0)
    assert np.abs(tone).max() == pytest.approx(0.9, abs=0.01)
    assert np.abs(np.fft.rfft(tone)).argmax() == 440
    shares = built.likelihoods(asked.shares)
    assert shares[-1] / shares[0] == pytest.approx(2 * 16_000 / np.diff(built.offsets)[0])


def test_a_folder_without_speech_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training speech at"):
        Corpus(tmp_path)


# Augmentation and batches


@pytest.mark.parametrize("speed", [0.88, 1.0, 1.12])
def test_an_augmented_crop_has_the_length_and_level_asked_for(speed: float) -> None:
    recipe = AugmentationRecipe(level_db=(-12.0, -12.0), noise_probability=1, reverberation_probability=1)
    rng = np.random.default_rng(0)
    source = rng.standard_normal(source_length(8000, speed)).astype(np.float32)
    made = augment(source, 8000, speed, recipe, rng)
    assert made.shape == (8000,)
    assert made.dtype == np.float32
    assert np.abs(made).max() == pytest.approx(10 ** (-12 / 20), rel=1e-4)


def test_playing_faster_raises_the_pitch() -> None:
    recipe = AugmentationRecipe(tilt_probability=0, noise_probability=0, reverberation_probability=0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(20_000) / 16_000).astype(np.float32)
    made = augment(tone, 16_000, 1.1, recipe, np.random.default_rng(0))
    assert np.abs(np.fft.rfft(made)).argmax() == pytest.approx(1100, abs=1)


def test_noise_lies_as_far_below_the_speech_as_asked() -> None:
    def made(probability: float) -> np.ndarray:
        recipe = AugmentationRecipe(
            level_db=(0.0, 0.0),
            tilt_probability=0,
            reverberation_probability=0,
            noise_probability=probability,
            noise_snr_db=(20.0, 20.0),
        )
        tone = np.sin(2 * np.pi * 1000 * np.arange(16_001) / 16_000).astype(np.float32)
        return augment(tone, 16_000, 1.0, recipe, np.random.default_rng(0))

    clean, noisy = made(0), made(1)
    scale = np.dot(clean, noisy) / np.dot(clean, clean)
    noise = noisy - scale * clean
    assert 20 * np.log10(np.linalg.norm(scale * clean) / np.linalg.norm(noise)) == pytest.approx(20.0, abs=0.5)


def test_a_batch_depends_on_seed_and_step_alone(corpus: Corpus, recipe: Recipe) -> None:
    begun_later = islice(batches(corpus, recipe, 320, 3), 2)
    for step, batch in enumerate(begun_later, start=3):
        assert torch.equal(batch, make_batch(corpus, recipe, 320, step))
        assert batch.shape[1] % 320 == 0
        assert 0.3 <= batch.shape[1] / 16_000 <= 0.51
        assert batch.numel() / 16_000 == pytest.approx(recipe.batch_seconds, rel=0.3)
    assert not torch.equal(make_batch(corpus, recipe, 320, 3)[0, :4000], make_batch(corpus, recipe, 320, 4)[0, :4000])


# Losses


def test_losses_of_equal_signals_are_zero_and_of_a_louder_one_its_logarithm() -> None:
    signal = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    loss = MelLoss([64, 512], [5, 40])
    assert [term.item() for term in loss(signal, signal)] == [0.0, 0.0]
    logarithmic, linear = loss(2 * signal, signal)
    assert logarithmic.item() == pytest.approx(math.log(2), rel=1e-3)
    assert linear.item() == pytest.approx(1.0, rel=0.02)


def test_mel_loss_equals_a_direct_computation() -> None:
    generator = torch.Generator().manual_seed(1)
    given, wanted = torch.randn(2, 1, 1600, generator=generator, dtype=torch.float64).float()
    window, bands = 256, 20

    def mel(signal: np.ndarray) -> np.ndarray:
        padded = np.pad(signal, window // 2, mode="reflect")
        taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        frames = [padded[start : start + window] * taper for start in range(0, len(signal) + 1, window // 4)]
        turns = np.exp(-2j * np.pi * np.outer(np.arange(window), np.arange(window // 2 + 1)) / window)
        return np.abs(np.array(frames) @ turns) * 2 / window @ mel_filters(bands, window, 16_000).numpy()

    one, other = mel(given[0].numpy()), mel(wanted[0].numpy())
    logarithmic, linear = MelLoss([window], [bands])(given, wanted)
    assert logarithmic.item() == pytest.approx(np.abs(np.log(one) - np.log(other)).mean(), rel=1e-3)
    assert linear.item() == pytest.approx(np.abs(one - other).mean() / (other.mean() + 1e-3), rel=1e-3)


@pytest.mark.parametrize(("bands", "n_fft"), [(5, 64), (80, 1024), (160, 512)])
def test_no_mel_filter_is_empty(bands: int, n_fft: int) -> None:
    filters = mel_filters(bands, n_fft, 16_000)
    assert filters.shape == (n_fft // 2 + 1, bands)
    assert (filters.amax(0) > 0).all()
    assert filters.max() <= 1.0


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 2000, requires_grad=True)
    sum(MelLoss([64, 256], [5, 20])(silence, torch.randn(1, 2000))).backward()  # type: ignore[union-attr]
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


def test_the_spread_loss_is_zero_on_white_inputs_and_sees_drift_width_and_correlation() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[None]
    assert spread_loss(signs).item() == pytest.approx(0.0)
    assert spread_loss(signs + 3).item() == pytest.approx(9.0)
    assert spread_loss(2 * signs).item() == pytest.approx(9 / 2)
    assert spread_loss(signs[..., [0, 0]]).item() == pytest.approx(1 / 2)


def test_windows_and_mel_bands_must_match() -> None:
    with pytest.raises(InputError, match="2 windows and 1 numbers"):
        MelLoss([64, 128], [5])


# The recipe


def test_the_built_in_recipe_is_read_and_describes_a_model_of_at_most_15_million_parameters() -> None:
    from xcodec.models.xcodec2 import Xcodec2Config

    mini = Recipe.read("mini")
    with torch.device("meta"):
        model = Xcodec2Model(Xcodec2Config(**mini.model))
    assert sum(parameter.numel() for parameter in model.parameters()) <= 15e6
    assert model.config.codebook_size == 65_536
    assert model.config.frame_rate == 50.0


def test_unknown_keys_and_wrong_values_are_errors_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {}\nstpes: 5\noptimizer: {clip: -1}\n")
    with pytest.raises(InputError, match=r"wrong in 2 places(.|\n)*optimizer\.clip: (.|\n)*stpes: Extra inputs"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{hiden_size: 64}", "model: .*no field is called hiden_size; is it hidden_size"),
        (
            "{semantic_model_config: {layer_drop: 0.0}}",
            "model: .*called semantic_model_config.layer_drop; is it .*layerdrop",
        ),
        ("{zzz: 1}", "model: .*no field is called zzz$"),
        ("{hidden_size: 100}", "model: .*hidden_size"),  # names are right, values do not fit
        ("{semantic_model_config: {num_hidden_layers: many}}", "model: .*num_hidden_layers"),
        ("[1]", "model: .*dictionary"),
    ],
)
def test_a_model_that_cannot_be_meant_is_an_error_that_names_the_field(
    tmp_path: Path, model: str, message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model: {model}\n")
    with pytest.raises(InputError, match=rf"recipe\.yaml is wrong in 1 place:\n  {message}"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", (), r"is wrong in 1 place:\n  model: Field required"),
        (b"", ("steps=5",), r"is wrong in 1 place:\n  model: Field required"),
        (b"model: {", (), "is not YAML: while parsing a flow node"),
        (b"model: {}\nseed: 2001-99-99\n", (), "is not YAML: month must be in 1..12"),
        (b"- 1\n", (), "holds a list; expected keys and values"),
        (b"\xff\xfe\xff", (), "cannot be read"),
        (b"model: {}", ("steps=[",), r"the value of the setting 'steps=\[' is not YAML"),
        (b"model: {}\nsteps: 5", ("steps.x=1",), r"the setting 'steps\.x=1' goes into 'steps', which is a value"),
    ],
)
def test_a_recipe_that_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, settings: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Recipe.read(path, settings)


def test_a_section_that_the_file_leaves_empty_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: {}\noptimizer:\n")
    assert Recipe.read(path, ("optimizer.clip=0.5",)).optimizer.clip == 0.5


def test_settings_replace_what_the_file_says() -> None:
    changed = Recipe.read("mini", ("steps=7", "optimizer.clip=0.5", "crop_seconds=[1, 2]"))
    assert (changed.steps, changed.optimizer.clip, changed.crop_seconds) == (7, 0.5, (1.0, 2.0))
    with pytest.raises(InputError, match=r"key=value, as optimizer\.clip=0\.5, but 'steps' was given"):
        Recipe.read("mini", ("steps",))


def test_a_recipe_that_does_not_exist_is_said_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r"no recipe at .*maxi.yaml(.|\n)*built-in recipes: mini"):
        Recipe.read("maxi")


def test_the_learning_rate_warms_up_and_falls_to_the_end() -> None:
    rates = [learning_rate(OptimizerRecipe(warmup_steps=10), step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(5e-5)
    assert max(rates) == pytest.approx(5e-4)
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(2e-5)


# Learning


def test_training_reconstructs_what_the_model_does(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    model = Trainer(recipe, corpus, tmp_path, quiet).model.eval()
    waveform = make_batch(corpus, recipe, 320, 0)
    with torch.no_grad():
        result = reconstruct(model, waveform)
        expected = model(waveform[:, None])
    torch.testing.assert_close(result.audio, expected.audio_values[:, 0])
    assert torch.equal(result.codes, expected.audio_codes[:, 0])


def test_the_first_batch_spreads_the_codes_and_sets_the_level(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    model = Trainer(recipe, corpus, tmp_path, quiet).model
    waveform = make_batch(corpus, recipe, 320, 0)
    initialize(model)
    initialize_from_batch(model, waveform)
    with torch.no_grad():
        projected = model.quantizer.project_in(fused_latents(model, waveform))
        result = reconstruct(model, waveform)
    torch.testing.assert_close(projected.std((0, 1)), torch.ones(8), rtol=0.1, atol=0.0)
    assert len(result.codes.unique()) > 0.5 * result.codes.numel()
    wanted = log_magnitude(waveform, 1280, 320)
    assert (result.log_magnitude.mean() - wanted.mean()).abs() < 0.5


def test_the_loss_falls(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    trainer = Trainer(recipe, corpus, tmp_path, quiet)
    waveform = make_batch(corpus, recipe, 320, 0)
    losses = [trainer.train_step(waveform)["loss"] for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_a_resumed_run_equals_an_uninterrupted_one(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    def run(folder: str, steps: int) -> Trainer:
        trainer = Trainer(recipe.model_copy(update={"steps": steps}), corpus, tmp_path / folder, quiet)
        trainer.run()
        return trainer

    # The schedule depends on the number of steps, so it is held flat.
    recipe = recipe.model_copy(update={"optimizer": OptimizerRecipe(learning_rate=1e-3, final_learning_rate=1e-3)})
    whole = run("whole", 6)
    run("halves", 3)
    resumed = run("halves", 6)
    assert resumed.step == whole.step == 6
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_a_time_limit_ends_a_run_and_its_state_is_there(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    trainer = Trainer(recipe.model_copy(update={"steps": 10**6}), corpus, tmp_path, quiet)
    trainer.run(minutes=0.02)
    assert 0 < trainer.step < 10**6
    assert Trainer(recipe, corpus, tmp_path, quiet).step == trainer.step


def test_a_termination_signal_ends_a_run_after_its_step_and_keeps_it(
    corpus: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    import os
    import signal
    import threading

    trainer = Trainer(recipe.model_copy(update={"steps": 10**6}), corpus, tmp_path, quiet)
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    trainer.run()
    assert 0 < trainer.step < 10**6
    assert signal.getsignal(signal.SIGTERM) == before
    assert Trainer(recipe, corpus, tmp_path, quiet).step == trainer.step


def test_a_run_of_another_model_or_a_damaged_one_is_not_taken_up(
    corpus: Corpus, recipe: Recipe, tmp_path: Path
) -> None:
    Trainer(recipe, corpus, tmp_path, quiet).save()
    wider = recipe.model_copy(update={"model": {**recipe.model, "intermediate_size": 64}})
    with pytest.raises(CheckpointError, match="of another model than the recipe describes"):
        Trainer(wider, corpus, tmp_path, quiet)
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"state.pt cannot be read(.|\n)*another --output"):
        Trainer(recipe, corpus, tmp_path, quiet)


def test_an_export_loads_and_gives_the_same_audio(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    trainer = Trainer(recipe, corpus, tmp_path, quiet)
    waveform = make_batch(corpus, recipe, 320, 0)
    trainer.train_step(waveform)
    export(trainer.model, trainer.average, tmp_path / "exported", torch.float32)
    loaded = Xcodec2Model.from_pretrained(tmp_path / "exported").eval()
    inputs = Xcodec2FeatureExtractor.from_pretrained(tmp_path / "exported")(
        audio=[waveform[0].numpy()], sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        torch.testing.assert_close(
            loaded(**inputs).audio_values, trainer.averaged_model()(**inputs).audio_values, rtol=0, atol=0
        )
    export(trainer.model, trainer.average, tmp_path / "half", torch.float16)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    half = (tmp_path / "half" / "model.safetensors").stat().st_size
    assert half < 0.6 * (tmp_path / "exported" / "model.safetensors").stat().st_size


def test_validation_measures_recordings(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    clip, _ = soundfile.read(Path(__file__).parent / "audio" / "austen-0880.wav", dtype="float32")
    trainer = Trainer(recipe, corpus, tmp_path, quiet)
    trainer.train_step(make_batch(corpus, recipe, 320, 0))
    measured = validate(trainer.averaged_model(), [clip])
    assert -1.0 <= measured.stoi <= 1.0
    assert math.isnan(measured.pesq) or 1.0 <= measured.pesq <= 4.7
    assert measured.codes == len(clip) // 320 + 1
    assert 1 < measured.distinct_codes <= measured.codes
    assert 0 < measured.entropy <= math.log2(measured.codes)
    assert len(measured.reconstructions[0]) == len(clip)
    assert "STOI" in str(measured)
