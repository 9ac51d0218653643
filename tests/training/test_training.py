"""A run: it learns, is interrupted, goes on as if it had not been, and ends as a checkpoint folder."""

import itertools
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import Result
from transformers import HubertConfig, HubertModel, Wav2Vec2BertConfig, Wav2Vec2BertModel
from typer.testing import CliRunner

from builders import RECORDINGS, TINY, prepare, speech, tiny_model
from tokenize_builders import job_for
from tokenize_builders import run as tokenize
from training_builders import FLAT, UNCHANGED, Clips, tiny_recipe
from waiting import PATIENCE, wait_until
from xcodec import Audio, Codec
from xcodec.cli.app import app
from xcodec.cli.train import STOPPING, log_printed
from xcodec.errors import CheckpointError, InputError, TrainingError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.distortion import MelDistance
from xcodec.evaluation.evaluation import evaluate
from xcodec.evaluation.summary import weighted_mean
from xcodec.evaluation.systems import Model
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.training.checkpoints import best_figure, export
from xcodec.training.data.batch import Batch
from xcodec.training.data.sampler import Position
from xcodec.training.generators import build_generator
from xcodec.training.generators.xcodec2 import Xcodec2Generator, encode
from xcodec.training.limit import Limit
from xcodec.training.losses.adversarial import adversarial_loss, discriminator_loss, feature_matching_loss
from xcodec.training.losses.magnitude import log_magnitude
from xcodec.training.monitor import StepReport
from xcodec.training.optimization import Optimization
from xcodec.training.recipe import Recipe
from xcodec.training.run import train
from xcodec.training.seeds import seed_of_step
from xcodec.training.trainer import BAD_STEPS, SINGLE_PROCESS, Trainer
from xcodec.training.validation import SCORES, validate
from xcodec_builders import TINY_ACOUSTIC, TINY_SEMANTIC

pytestmark = pytest.mark.gradients


@pytest.fixture(scope="module")
def source() -> Clips:
    return Clips(list(speech(24.0).reshape(8, -1)))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return tiny_recipe(tmp_path)


def recording(folder: Path, seconds: float, sampling_rate: int = 16_000) -> Clip:
    """A recording to measure on."""
    path = folder / f"{seconds:g}-{sampling_rate}.wav"
    Audio(speech(seconds), 16_000).resample(sampling_rate).save(path)
    return Clip(path.name, path)


def first_batches(trainer: Trainer, count: int = 1) -> list[Batch]:
    made, position = [], Position()
    for step in range(count):
        batch, position = trainer.batches.batch(step, position)
        made.append(batch)
    return made


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """All that learns: of the generator, the discriminators, and the average."""
    assert trainer.discriminators is not None
    parts = (trainer.generator.state_dict(), trainer.discriminators.state_dict(), trainer.average)
    return {f"{i}.{name}": tensor for i, part in enumerate(parts) for name, tensor in part.items()}


def assert_equal(one: Trainer, other: Trainer) -> None:
    assert (one.step, one.position) == (other.step, other.position)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


# What a step does


def test_training_reconstructs_what_the_model_does(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    generator = trainer.generator.eval()
    (batch,) = first_batches(trainer)
    with torch.no_grad():
        result = generator(batch)
        expected = generator.model(batch.waveform[:, None])
    torch.testing.assert_close(result.audio, expected.audio_values[:, 0])
    assert set(result.terms) == {"head", "spread", "phones"}
    assert result.terms["phones"].item() == 0.0  # nothing is labelled


def test_the_first_batch_spreads_the_codes_and_sets_the_level(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    (batch,) = first_batches(trainer)
    generator = trainer.generator
    assert isinstance(generator, Xcodec2Generator)
    generator.begin(batch)
    with torch.no_grad():
        projected = generator.model.quantizer.project_in(encode(generator.model, batch.waveform).fused)
        output = generator.model(batch.waveform[:, None])
    torch.testing.assert_close(projected.std((0, 1)), torch.ones(8), rtol=0.1, atol=0.0)
    assert len(output.audio_codes.unique()) > 0.5 * output.audio_codes.numel()
    level = log_magnitude(output.audio_values[:, 0], 1280, 320).mean()
    assert (level - log_magnitude(batch.target, 1280, 320).mean()).abs() < 1.0


def test_the_loss_falls_with_every_part_at_work(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    batches = first_batches(trainer)
    steps = [trainer.train_step(batches) for _ in range(20)]
    mels = [step["mel"] + step["head"] for step in steps]
    assert np.mean(mels[-5:]) < 0.8 * np.mean(mels[:3])
    assert "adversarial" not in steps[0]  # the discriminators lead by a step
    assert {"adversarial", "features", "discriminators", "discriminators_gradient"} <= steps[1].keys()
    assert steps[-1]["discriminators"] < steps[0]["discriminators"]
    terms = {name: getattr(recipe.loss, name) for name in ("mel", "magnitude", "head", "spread", "phones")}
    terms |= {"adversarial": 1.0, "features": 1.0}
    total = sum(weight * steps[-1][name] for name, weight in terms.items())
    assert steps[-1]["loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("seconds", [None, 0.3])
def test_one_judgement_teaches_the_codec_and_its_judges_what_two_would(
    seconds: float | None, source: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tmp_path, "adversarial.lead_steps=0", f"adversarial.seconds={seconds or 'null'}")
    trainer = Trainer(recipe, source, tmp_path)
    (batch,) = first_batches(trainer)
    trainer.generator.begin(batch)
    trainer.generator.drawn = frozenset()
    judges = trainer.discriminators
    assert judges is not None
    result = trainer.generator(batch)
    part = trainer._stretch(batch.target)
    distances = result.terms | trainer.distances(result.audio, batch.target)
    real, fake = judges(batch.target[:, part]), judges(result.audio[:, part])
    loss = sum(getattr(recipe.loss, name) * term for name, term in distances.items())
    loss = loss + adversarial_loss(fake) + feature_matching_loss(real, fake)
    codec_gradients = torch.autograd.grad(loss, trainer._generator_optimization.parameters, allow_unused=True)
    apart = judges(result.audio[:, part].detach())
    judges_gradients = torch.autograd.grad(
        discriminator_loss(real, apart), trainer._discriminator_optimization.parameters
    )

    seen: dict[Optimization, list[torch.Tensor | None]] = {}

    def watch(self: Optimization, _rate: float) -> torch.Tensor:
        seen[self] = [parameter.grad for parameter in self.parameters]
        return torch.ones(())

    monkeypatch.setattr(Optimization, "update", watch)
    trainer.train_step([batch])
    for side, expected in (
        (trainer._generator_optimization, codec_gradients),
        (trainer._discriminator_optimization, judges_gradients),
    ):
        for ours, wanted in zip(seen[side], expected, strict=True):
            assert (ours is None) == (wanted is None)
            if ours is not None:
                torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_keeps_float32_weights(precision: str, source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, f"precision={precision}")
    trainer = Trainer(recipe, source, tmp_path / "run")
    batches = first_batches(trainer)
    steps = [trainer.train_step(batches) for _ in range(20)]
    mels = [step["mel"] + step["head"] for step in steps]
    assert np.mean(mels[-5:]) < 0.9 * np.mean(mels[:3])
    assert {parameter.dtype for parameter in trainer.generator.parameters()} == {torch.float32}


def test_distances_are_taken_in_the_precision_of_the_step(source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(tiny_recipe(tmp_path, "precision=bfloat16"), source, tmp_path / "run")
    seen: list[bool] = []
    trainer.distances.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    trainer.train_step(first_batches(trainer))
    assert seen == [True]


def test_gradients_of_several_batches_add_up_to_those_of_one_large_one(source: Clips, tmp_path: Path) -> None:
    settings = ("loss.spread=0", "optimizer.clip=1000", "ema=0")  # the spread loss sees the whole batch at once
    recipe = tiny_recipe(tmp_path, *settings, augmentation=UNCHANGED, adversarial=None)
    one, several = (Trainer(recipe, source, tmp_path / name) for name in ("one", "several"))
    (batch,) = first_batches(one)
    half = len(batch.waveform) // 2
    parts = [
        Batch(batch.waveform[i : i + half], batch.target[i : i + half], batch.phones[i : i + half]) for i in (0, half)
    ]
    whole = Batch(batch.waveform[: 2 * half], batch.target[: 2 * half], batch.phones[: 2 * half])
    for trainer in (one, several):
        trainer.generator.begin(whole)
        trainer.generator.drawn = frozenset()
        trainer.generator.train()
    first, second = one.train_step([whole]), several.train_step(parts)
    assert first["mel"] == pytest.approx(second["mel"], rel=1e-4)
    assert first["gradient"] == pytest.approx(second["gradient"], rel=0.05)


def test_what_is_frozen_stays_as_it_is_and_in_evaluation_mode(source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, "frozen=[semantic_encoder, quantizer]", "loss.semantic=1.0")
    trainer = Trainer(recipe, source, tmp_path / "run")
    model = trainer.generator.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer.generator.drawn = frozenset()
    batches = first_batches(trainer)
    values = trainer.train_step(batches)
    assert values["semantic"] > 0
    frozen = ("semantic_encoder.", "quantizer.")
    for name, tensor in model.state_dict().items():
        changed = not torch.equal(before[name], tensor)
        assert not changed if name.startswith(frozen) else True, name
    assert not torch.equal(before["semantic_adapter.conv1.weight"], model.semantic_adapter.conv1.weight)
    assert not model.semantic_encoder.training
    assert model.semantic_adapter.training
    optimized = {
        id(parameter)
        for group in trainer._generator_optimization.optimizer.param_groups
        for parameter in group["params"]
    }
    assert not any(id(parameter) in optimized for parameter in model.semantic_encoder.parameters())
    with pytest.raises(InputError, match=r"the model has no part 'encoder'; its parts are semantic_features"):
        Trainer(tiny_recipe(tmp_path, "frozen=[encoder]"), source, tmp_path / "wrong")


def test_phones_are_learnt_where_speech_is_labelled(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    (batch,) = first_batches(trainer)
    # A label that can be heard: whether the frame is louder than most.
    loud = batch.waveform.unflatten(1, (-1, 320)).square().mean(-1)
    labelled = Batch(batch.waveform, batch.target, (loud > loud.median()).long())
    phones = [trainer.train_step([labelled])["phones"] for _ in range(25)]
    assert phones[0] > 2.0  # of ln 90
    assert phones[-1] < 0.3 * phones[0]


# A run is interrupted, and goes on


def test_a_resumed_run_equals_an_uninterrupted_one(source: Clips, tmp_path: Path) -> None:
    def run(folder: str, steps: int) -> Trainer:
        recipe = tiny_recipe(tmp_path, *FLAT, f"steps={steps}", "accumulate=2", "data.workers=2")
        trainer = Trainer(recipe, source, tmp_path / folder)
        trainer.run()
        return trainer

    whole = run("whole", 6)
    run("halves", 3)
    resumed = run("halves", 6)
    assert resumed.step == 6
    assert_equal(whole, resumed)


def test_a_killed_run_goes_on_from_its_last_checkpoint_as_if_it_had_not_been(source: Clips, tmp_path: Path) -> None:
    """The process is killed outright, with no time to save anything, in the middle of its seventh step."""
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
import os, signal, torch
torch.set_num_threads(1)
from builders import speech
from training_builders import FLAT, Clips, tiny_recipe
from xcodec.training.trainer import Trainer
folder = Path(sys.argv[1])
trainer = Trainer(tiny_recipe(folder, *FLAT, "steps=9"), Clips(list(speech(24.0).reshape(8, -1))), folder / "run")
train_step = trainer.train_step
def step(batches):
    if trainer.step == 4:
        trainer.save()
    if trainer.step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(batches)
trainer.train_step = step
trainer.run()
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    recipe = tiny_recipe(tmp_path, *FLAT, "steps=9")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as it had: with others, sums round otherwise
    try:
        resumed = Trainer(recipe, source, tmp_path / "run")
        assert resumed.step == 4
        resumed.run()
        whole = Trainer(recipe, source, tmp_path / "whole")
        whole.run()
    finally:
        torch.set_num_threads(threads)
    assert_equal(whole, resumed)


def test_a_time_limit_ends_a_run_and_its_state_is_there(source: Clips, tmp_path: Path) -> None:
    class ThreeSteps(Limit):
        looks = 0

        def is_reached(self) -> bool:
            self.looks += 1
            return self.looks > 3

    recipe = tiny_recipe(tmp_path, "steps=1000000")
    trainer = Trainer(recipe, source, tmp_path / "run")
    trainer.run(limit=Limit(minutes=0))
    assert trainer.step == 0
    assert not Limit(minutes=1e6).is_reached()
    trainer.run(limit=ThreeSteps())
    assert trainer.step == 3
    assert_equal(trainer, Trainer(recipe, source, tmp_path / "run"))


def test_a_run_that_is_asked_to_end_does_after_its_step_and_is_kept(source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, "steps=1000000")
    asked = threading.Event()

    def ask(report: StepReport) -> None:
        if report.step == 2:
            asked.set()

    trainer = Trainer(recipe, source, tmp_path / "run", on_step=ask)
    trainer.run([recording(tmp_path, 1.0)], Limit(asked=asked))
    assert trainer.step == 2
    assert trainer.best == -math.inf  # whoever wants the end does not want to wait for a measurement
    assert Trainer(recipe, source, tmp_path / "run").step == trainer.step


def test_the_last_states_and_the_best_are_kept(source: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xcodec")
    recipe = tiny_recipe(tmp_path, validation={"every_minutes": 1e-6, "checkpoint_minutes": 1e-6, "keep": 2})
    recipe = recipe.model_copy(update={"steps": 4})
    trainer = Trainer(recipe, source, tmp_path / "run")
    trainer.run([recording(tmp_path, 1.0)])
    assert [path.name for path in trainer.checkpoints.steps()] == ["step-00000003.pt", "step-00000004.pt"]
    assert sum("validation at step" in line for line in caplog.messages) == 5  # after every step, and at the end
    best = torch.load(trainer.checkpoints.best, weights_only=True)
    assert best["best"] == trainer.best
    assert math.isfinite(trainer.best)


def test_a_best_that_another_score_decided_does_not_keep_a_better_model_away(source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, "steps=1")
    trainer = Trainer(recipe, source, tmp_path / "run")
    trainer.run([recording(tmp_path, 1.0)])
    best = torch.load(trainer.checkpoints.best, weights_only=True)
    assert best["best_score"] == "mel_distance"
    assert Trainer(recipe, source, tmp_path / "run").best == trainer.best
    other = recipe.model_copy(update={"validation": recipe.validation.model_copy(update={"best": "stoi"})})
    assert Trainer(other, source, tmp_path / "run").best == -math.inf
    del best["best_score"]  # as it was when `mel` meant the mel loss, which is about a tenth of the distance in dB
    for validation, expected in (({"best": "mel"}, -math.inf), ({"best": "pesq"}, -0.59)):
        old = best | {"best": -0.59, "recipe": json.dumps({"validation": validation})}
        assert best_figure(old, SCORES[validation["best"]]) == expected


def test_random_numbers_of_a_step_depend_on_run_step_and_process_alone() -> None:
    program = "from xcodec.training.seeds import seed_of_step; print([seed_of_step(0, i, i % 3) for i in range(5)])"
    drawn = [
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": salt}, capture_output=True, text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    ]  # fmt: skip
    assert drawn[0] == drawn[1] == f"{[seed_of_step(0, i, i % 3) for i in range(5)]}\n"
    assert seed_of_step(0, 0, 0) == 7896617691693857887  # runs that are under way go on alike
    assert len({seed_of_step(*each) for each in itertools.product(range(3), repeat=3)}) == 27


def test_a_run_of_another_model_or_a_damaged_one_is_not_taken_up(source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    Trainer(recipe, source, tmp_path / "run").save()
    wider = recipe.model_copy(update={"model": {**recipe.model, "intermediate_size": 64}})
    with pytest.raises(CheckpointError, match="of another model than the recipe describes"):
        Trainer(wider, source, tmp_path / "run")
    (tmp_path / "run" / "step-00000000.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"step-00000000.pt cannot be read(.|\n)*another --output"):
        Trainer(recipe, source, tmp_path / "run")


def test_one_bad_batch_is_passed_over_and_many_end_the_run(source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(tiny_recipe(tmp_path, "ema=0"), source, tmp_path / "run")
    (batch,) = first_batches(trainer)
    trainer.train_step([batch])
    trainer.save()
    bad = Batch(torch.full_like(batch.waveform, math.nan), batch.target, batch.phones)
    before = {name: tensor.clone() for name, tensor in trainer.generator.state_dict().items()}
    values = trainer.train_step([bad])
    assert math.isnan(values["gradient"])
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.generator.state_dict().items())
    assert math.isfinite(trainer.train_step([batch])["gradient"])
    for _ in range(BAD_STEPS - 1):
        trainer.train_step([bad])
    with pytest.raises(
        TrainingError, match=rf"has not been finite for {BAD_STEPS} steps .* last good checkpoint is .*00001"
    ):
        trainer.train_step([bad])


def test_a_run_that_leaves_the_numbers_keeps_its_last_good_checkpoint(source: Clips, tmp_path: Path) -> None:
    class Broken(Clips):
        def excerpt(self, clip: int, start: float, seconds: float):  # type: ignore[no-untyped-def]
            read = super().excerpt(clip, start, seconds)
            return type(read)(np.full_like(read.samples, np.nan), read.sampling_rate)

    recipe = tiny_recipe(tmp_path)
    good = Trainer(recipe.model_copy(update={"steps": 3}), source, tmp_path / "run")
    good.run()
    broken = Trainer(recipe, Broken(source.clips), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"the last good checkpoint is .*step-00000003.pt"):
        broken.run()
    assert_equal(good, Trainer(recipe, source, tmp_path / "run"))


# Where a run begins


def test_a_run_begins_with_a_checkpoint_or_the_state_of_another_run(source: Clips, tmp_path: Path) -> None:
    first = Trainer(tiny_recipe(tmp_path, "steps=2"), source, tmp_path / "first")
    first.run()
    export(first.averaged_model(), tmp_path / "exported", torch.float32)
    assert first.checkpoints.last is not None
    for start in (tmp_path / "exported", first.checkpoints.last):
        recipe = tiny_recipe(tmp_path, f"initialize_from={start}", model={})
        second = Trainer(recipe, source, tmp_path / "second")
        assert second.step == 0
        expected = first.averaged_model().state_dict()
        for name, tensor in second.generator.model.state_dict().items():
            assert torch.equal(tensor, expected[name]), name
        assert second.generator.drawn == frozenset()


def test_a_run_cannot_begin_with_another_model(source: Clips, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"is of another model than the recipe describes; .* another shape"):
        Trainer(tiny_recipe(tmp_path, f"initialize_from={tmp_path / 'other'}"), source, tmp_path / "run")
    with pytest.raises(InputError, match="is of model_type 'xcodec2'; the recipe trains xcodec"):
        Trainer(
            tiny_recipe(tmp_path, f"initialize_from={tmp_path / 'other'}", "trains=xcodec", "loss.head=0", model={}),
            source, tmp_path / "run",
        )  # fmt: skip
    torch.save({"weights": 1}, tmp_path / "any.pt")
    with pytest.raises(CheckpointError, match="this is no state of a training run"):
        Trainer(tiny_recipe(tmp_path, f"initialize_from={tmp_path / 'any.pt'}"), source, tmp_path / "run")


def test_the_semantic_encoder_comes_from_a_checkpoint_of_its_own(source: Clips, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, f"semantic_from={tmp_path / 'w2v'}", "frozen=[semantic_encoder]", "loss.semantic=5")
    fields = recipe.model["semantic_model_config"] | {"num_hidden_layers": 2}  # one more than the codec needs
    torch.manual_seed(7)
    pretrained = Wav2Vec2BertModel(Wav2Vec2BertConfig(**fields))
    pretrained.save_pretrained(tmp_path / "w2v")
    trainer = Trainer(recipe, source, tmp_path / "run")
    encoder = trainer.generator.model.semantic_encoder
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, pretrained.state_dict()[name]), name
    assert trainer.train_step(first_batches(trainer))["semantic"] > 0
    narrow = fields | {"hidden_size": 16, "output_hidden_size": 16}
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**narrow)).save_pretrained(tmp_path / "w2v")
    with pytest.raises(
        CheckpointError, match=r"is no semantic encoder of this model; it lacks, or has in another shape"
    ):
        Trainer(recipe, source, tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"semantic_from: .*absent cannot be read"):
        Trainer(tiny_recipe(tmp_path, f"semantic_from={tmp_path / 'absent'}"), source, tmp_path / "other")


# The families


def test_x_codec_learns_with_its_own_losses(source: Clips, tmp_path: Path) -> None:
    HubertModel(HubertConfig(**TINY_SEMANTIC)).save_pretrained(tmp_path / "hubert")
    recipe = tiny_recipe(
        tmp_path,
        trains="xcodec",
        semantic_from=str(tmp_path / "hubert"),
        model={
            "semantic_model_config": TINY_SEMANTIC,
            "acoustic_model_config": TINY_ACOUSTIC,
            "codebook_size": 16,
            "target_bandwidths": [0.2, 0.4],
        },
        loss={"mel": 0, "stft": 1.0, "sub_band": 1.0, "commitment": 1.0, "semantic": 100.0},
        adversarial={"multi_frequency": {"hop_lengths": [32], "channels": [32]}, "feature_matching": 20.0},
    )
    trainer = Trainer(recipe, source, tmp_path / "run")
    batches = first_batches(trainer)
    hubert = {name: x.clone() for name, x in trainer.generator.model.semantic_model.state_dict().items()}
    steps = [trainer.train_step(batches) for _ in range(12)]
    assert {"stft", "sub_band", "commitment", "semantic", "adversarial", "features"} <= steps[-1].keys()
    for name in ("stft", "semantic"):
        assert np.mean([step[name] for step in steps[-3:]]) < 0.97 * steps[0][name], name
    model = trainer.generator.model
    assert all(torch.equal(hubert[name], x) for name, x in model.semantic_model.state_dict().items())
    assert all(bool(codebook.inited) for codebook in model.quantizer.codebooks)
    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    codec = Codec.from_pretrained(tmp_path / "exported")
    codes = codec.encode(RECORDINGS[0], bandwidth=0.4)
    assert codes.ids.shape[0] == 2
    assert codec.decode(codes).duration == pytest.approx(7.1)


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"decoder_hop_length": 480}, 24_000),
        ({"decoder_hop_length": 98, "upsampling_ratios": [3, 3]}, 44_100),
        ({"decoder_hop_length": 240, "upsampling_ratios": [2, 2]}, 48_000),
    ],
)
def test_a_decoder_alone_learns_another_rate_from_stored_codes(
    fields: dict[str, object], rate: int, tmp_path: Path
) -> None:
    start = tiny_model(hidden_size=128, quantization_dim=160, num_attention_heads=8)
    start.save_pretrained(tmp_path / "start")
    codec = Codec(start, Xcodec2FeatureExtractor())
    recordings = [Audio(speech(4.0)[i : i + 32_000], 16_000) for i in (0, 32_000)]
    codes = [each.ids[0].astype(np.int64) for each in codec.encode(recordings)]
    stored = Clips([each.resample(rate).samples[0] for each in recordings], rate, codes)
    recipe = tiny_recipe(
        tmp_path,
        "loss.spread=0",
        "loss.phones=0",
        trains="xcodec2-decoder",
        initialize_from=str(tmp_path / "start"),
        model=fields,
        augmentation=UNCHANGED,
    )
    trainer = Trainer(recipe, stored, tmp_path / "run")
    assert trainer.generator.output_rate == rate
    batches = first_batches(trainer)
    assert batches[0].target.shape[1] == batches[0].waveform.shape[1] * rate // 16_000
    steps = [trainer.train_step(batches) for _ in range(12)]
    assert steps[-1]["mel"] + steps[-1]["head"] < 0.95 * (steps[0]["mel"] + steps[0]["head"])
    for name, tensor in start.state_dict().items():
        if not name.startswith("acoustic_decoder."):
            assert torch.equal(tensor, trainer.generator.model.state_dict()[name]), name

    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    other = Codec.from_pretrained(tmp_path / "exported")
    made = codec.encode(RECORDINGS[1])
    np.testing.assert_array_equal(other.encode(RECORDINGS[1]).ids, made.ids)
    assert other.codes_identity.same_model(codec.identity), "and its own codes are those of what it started from"
    audio = other.decode(made)
    assert audio.sampling_rate == rate
    assert audio.duration == pytest.approx(2.99, abs=1e-4)
    with torch.no_grad():  # a padded batch equals single clips here too
        whole = other.decode([made, other.encode(RECORDINGS[0])])
    np.testing.assert_allclose(whole[0].samples, audio.samples, atol=1e-5)
    inputs = prepare(speech(1.0), speech(0.5))
    with torch.no_grad():
        values = other.model(**inputs).audio_values
    assert values.shape[-1] == -(-inputs["input_values"].shape[-1] * rate // 16_000)


def test_a_decoder_alone_trains_on_what_tokenize_wrote(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = tiny_model(hidden_size=128, quantization_dim=160, num_attention_heads=8)
    start.save_pretrained(tmp_path / "start")
    Xcodec2FeatureExtractor().save_pretrained(tmp_path / "start")
    (tmp_path / "audio/deep").mkdir(parents=True)
    for name in ("a.wav", "deep/b.flac", "deep/c.wav"):
        Audio(speech(2.0), 16_000).resample(48_000).save(tmp_path / "audio" / name)
    (tmp_path / "audio/broken.wav").write_text("no audio")
    job = job_for(tmp_path / "start", tmp_path / "tokens")
    told = tokenize(job, Codec.from_pretrained(tmp_path / "start"), tmp_path / "audio", hours=0.0005)
    assert (told.standing.done, told.standing.failed, told.standing.shards) == (3, 1, 3)
    recipe = Recipe.read(
        "xcodec2-decoder",
        (
            f"initialize_from={tmp_path / 'start'}",
            f"data.audio={tmp_path / 'audio'}",
            *("steps=2", "precision=float32", "data.batch_seconds=1.0", "data.crop_seconds=[0.5, 0.5]"),
            *("adversarial=null", "data.workers=1", "validation.log_steps=1"),
        ),
    )
    caplog.set_level(logging.INFO, "xcodec")
    train(recipe, [tmp_path / "tokens"], tmp_path / "run", SINGLE_PROCESS, export_to=tmp_path / "made")
    assert [line.split("  ")[0] for line in caplog.messages if line.startswith("step")] == ["step 1", "step 2"]
    codec = Codec.from_pretrained(tmp_path / "made")
    audio = codec.decode(codec.encode(RECORDINGS[1]))
    assert (audio.sampling_rate, round(audio.duration, 2)) == (48_000, 2.99)
    tiny_model(seed=1, hidden_size=128, quantization_dim=160, num_attention_heads=8).save_pretrained(tmp_path / "else")
    recipe = recipe.model_copy(update={"initialize_from": str(tmp_path / "else")})
    with pytest.raises(InputError, match=r"the codes in tokens were made by start \(.*the run starts from else \("):
        train(recipe, [tmp_path / "tokens"], tmp_path / "other-run", SINGLE_PROCESS)


@pytest.mark.parametrize("taught", ["nothing", "decoder", "all"])
def test_fine_tuning_keeps_the_codes_of_what_it_started_from_where_these_parts_are_frozen(
    taught: str, tmp_path: Path
) -> None:
    start = tiny_model(decodes={"name": "a maker", "config_hash": "a", "weights_hash": "b"})
    start.save_pretrained(tmp_path / "start")
    encoder = ["semantic_encoder", "semantic_adapter", "acoustic_encoder", "fc_encoder", "quantizer"]
    recipe = tiny_recipe(
        tmp_path,
        initialize_from=str(tmp_path / "start"),
        model={"rms_norm_eps": 1e-5},
        frozen=["semantic_encoder"] if taught == "all" else encoder,
    )
    if taught == "nothing":  # codes are counted otherwise
        recipe = recipe.model_copy(update={"model": {"quantization_levels": [2, 8, 4, 4, 4, 4, 4, 4]}})
    decoded = build_generator(recipe).model.decodes
    assert (None if decoded is None else decoded.name) == ("a maker" if taught == "decoder" else None)


def test_a_decoder_alone_needs_stored_codes(source: Clips, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "start")
    recipe = tiny_recipe(
        tmp_path, "loss.spread=0", "loss.phones=0", trains="xcodec2-decoder",
        initialize_from=str(tmp_path / "start"), model={}, augmentation=UNCHANGED,
    )  # fmt: skip
    trainer = Trainer(recipe, source, tmp_path / "run")
    with pytest.raises(InputError, match="trains on stored codes, and some of the data has none"):
        trainer.run()


def test_rates_that_no_decoder_can_write_are_refused() -> None:
    with pytest.raises(InputError, match=r"upsampling_kernel_sizes=.*larger by an even number"):
        Xcodec2Config(**TINY, upsampling_ratios=[2], upsampling_kernel_sizes=[5])
    with pytest.raises(InputError, match="expected a whole number of at least 1"):
        Xcodec2Config(**TINY, decoder_hop_length=0)
    with pytest.raises(InputError, match="expected a multiple of 128"):
        Xcodec2Config(**TINY, upsampling_ratios=[2, 2])
    assert "decoder_hop_length" not in Xcodec2Config(**TINY).architecture()  # codes of older models keep their identity
    assert Xcodec2Config(**TINY, decoder_hop_length=480).architecture()["decoder_hop_length"] == 480


# What comes of it


def test_an_export_loads_and_gives_the_same_audio(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    trainer.train_step(first_batches(trainer))
    model = trainer.averaged_model()
    assert isinstance(model, Xcodec2Model)
    export(model, tmp_path / "exported", torch.float32)
    loaded = Xcodec2Model.from_pretrained(tmp_path / "exported").eval()
    inputs = Xcodec2FeatureExtractor.from_pretrained(tmp_path / "exported")(
        audio=[speech(1.0)], sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).audio_values, model(**inputs).audio_values, rtol=0, atol=0)
    export(model, tmp_path / "half", torch.float16)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    half = (tmp_path / "half" / "model.safetensors").stat().st_size
    assert half < 0.6 * (tmp_path / "exported" / "model.safetensors").stat().st_size


def test_validation_measures_recordings(recipe: Recipe, source: Clips, tmp_path: Path) -> None:
    trainer = Trainer(recipe, source, tmp_path)
    trainer.train_step(first_batches(trainer))
    model = trainer.averaged_model()
    codec = Codec(model, Xcodec2FeatureExtractor())
    clips = [Clip("speech", Path(RECORDINGS[1])), recording(tmp_path, 0.05, 44_100)]
    measured = validate(codec, clips)
    expected = evaluate(clips, [Model(codec, "model")], [MelDistance()]).systems[0]
    distance = weighted_mean(expected.scores("mel_distance"))
    assert measured.scores["mel_distance"] == distance
    assert str(measured).startswith(f"mel distance {distance:.3f} dB  ")
    assert measured.figure("mel_distance") == -measured.scores["mel_distance"]
    assert -1.0 <= measured.scores.get("stoi", 0.0) <= 1.0
    samples = Audio.read(RECORDINGS[1]).num_samples
    [use] = measured.codebooks
    assert use == expected.codebooks[0]
    assert use.codes == samples // 320 + 1 + 3
    assert f"{use.distinct} distinct of {use.codes} codes, entropy {use.entropy:.2f} bit" in str(measured)
    assert measured.reconstructions[0].num_samples == samples


def test_a_recording_that_is_gone_is_told_and_ends_no_run(
    source: Clips, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(tiny_recipe(tmp_path, "steps=1"), source, tmp_path / "run")
    trainer.run([Clip("gone.wav", tmp_path / "gone.wav")])
    assert trainer.best == -math.inf
    assert trainer.step == 1
    assert any(line.startswith("not measured: ") and "gone.wav" in line for line in caplog.messages)


def run_cli(*arguments: str) -> Result:
    """The command, in this process, whose number of threads it may set."""
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(app, ["train", *arguments])
    finally:
        torch.set_num_threads(threads)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_the_command_makes_speech_trains_measures_and_exports(tmp_path: Path) -> None:
    tiny_recipe(tmp_path)
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "one.wav", speech(1.0), 16_000)
    common = (
        str(tmp_path / "tiny.yaml"), "--data", str(tmp_path / "speech"), "-o", str(tmp_path / "run"),
        "--set", "synthesis.hours={espeak: 0.01}", "--set", "validation.log_steps=2", "--threads", "1",
    )  # fmt: skip
    ran = run_cli(*common, "--set", "steps=4", "--validation", str(tmp_path / "recordings"),
                  "--export", str(tmp_path / "model"), "--dtype", "float16")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    assert f"making speech in {tmp_path / 'speech'}" in ran.stdout
    assert "steps/s" in ran.stdout
    assert "audio-s/s" in ran.stdout
    assert "learning_rate" in ran.stdout
    assert "validation at step 4: mel distance" in ran.stdout
    assert Codec.from_pretrained(tmp_path / "model").reconstruct(RECORDINGS[0]).duration == pytest.approx(7.1)
    events = list((tmp_path / "run" / "tensorboard").glob("events*"))
    assert events
    assert scalars(events) >= {"training/loss", "training/discriminators", "validation/mel_distance"}
    again = run_cli(*common, "--set", "steps=6")
    assert again.exit_code == 0, again.stderr
    assert "taking up" in again.stdout
    assert "step 6 " in again.stdout


@pytest.mark.parametrize(("is_first", "expected"), [(True, "a step\nnot opened\nnot read\n"), (False, "not read\n")])
def test_of_several_processes_one_tells_what_is_the_same_in_each(
    is_first: bool, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def log() -> None:
        logging.getLogger("xcodec.training.monitor").info("a step")
        logging.getLogger("xcodec.training.data.recordings").warning("not opened")
        logging.getLogger("xcodec.training.data.batches").warning("not read")

    with log_printed(is_first):
        log()
    assert capsys.readouterr().out == expected
    log()
    assert capsys.readouterr().out == ""


def test_ctrl_c_while_speech_is_made_ends_the_command_and_what_is_made_is_kept(tmp_path: Path) -> None:
    tiny_recipe(tmp_path)
    command = [
        sys.executable, "-m", "xcodec", "train", str(tmp_path / "tiny.yaml"), "--data", str(tmp_path / "speech"),
        "-o", str(tmp_path / "run"), "--set", "synthesis.hours={espeak: 1000.0}", "--threads", "1",
    ]  # fmt: skip
    stretch = tmp_path / "speech/.unfinished-speech"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"making speech in {tmp_path / 'speech'}\n"
        wait_until(lambda: list(stretch.glob("espeak-*.npz")), process)
        process.send_signal(signal.SIGINT)  # espeak-ng speaks nearly all of the time
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped; 0 % (0.08 of 1000.00 h) of the speech is kept, and the next run goes on" in out
    assert err == f"{STOPPING}\n"
    refused = run_cli(*command[4:], "--minutes", "0.001", "--export", str(tmp_path / "model"))
    assert refused.exit_code == 1
    assert "taking up 0 % (0.08 of 1000.00 h) of the speech" in refused.stdout
    assert "the run ended while speech was made: nothing is trained, or exported" in refused.stderr
    assert not (tmp_path / "run").exists()


def scalars(events: Sequence[Path]) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(events[0].parent))
    reader.Reload()
    assert reader.Tags()["audio"] == ["reconstruction/0"]
    return set(reader.Tags()["scalars"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("maxi", "--data", "x", "-o", "run"), "no recipe at"),
        (("mini", "--data", "x", "-o", "run", "--set", "stpes=1"), "stpes: Extra inputs are not permitted"),
        (("xcodec2-decoder", "--data", "absent", "-o", "run"), "there is nothing to train on at absent"),
        (("mini", "--data", "empty", "-o", "run"), "empty holds no recordings to train on"),
        (
            ("mini", "--data", "empty", "-o", "run", "--validation", "empty"),
            "no recordings in empty or below it to measure on",
        ),
        (("mini", "--data", "text", "-o", "run"), "is not audio in a format that can be read"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.wav").write_text("this is text")
    ran = run_cli(*arguments)
    assert ran.exit_code == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
