"""The training loop: plain PyTorch, in one process or several, resumable at any step."""

import copy
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xcodec.codec import Codec
from xcodec.errors import CheckpointError, TrainingError
from xcodec.evaluation.clips import Clip
from xcodec.models.codec_model import CodecModel
from xcodec.training.checkpoints import Checkpoints, best_figure, feature_extractor_of, load_state
from xcodec.training.data.batch import Batch
from xcodec.training.data.batches import Batches, Geometry
from xcodec.training.data.dataset import Dataset
from xcodec.training.data.sampler import Position
from xcodec.training.discriminators import Comparison, build_discriminators
from xcodec.training.distances import Distances
from xcodec.training.distributed import Processes, no_sync_if
from xcodec.training.generators import GeneratorOutput, build_generator
from xcodec.training.limit import Limit
from xcodec.training.losses.adversarial import adversarial_loss, discriminator_loss, feature_matching_loss
from xcodec.training.monitor import Monitor, OnStep
from xcodec.training.optimization import Optimization, learning_rate
from xcodec.training.precision import Precisions, autocast
from xcodec.training.recipe import Recipe
from xcodec.training.seeds import seed_of_step
from xcodec.training.validation import SCORES, Validation, check_installed, validate

__all__ = ["Trainer"]

SINGLE_PROCESS = Processes(torch.device("cpu"))
BAD_STEPS = 10
"""So many steps without a finite gradient, one after the other, end a run; single ones are passed over."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdversarialStep:
    """What the discriminators contribute to a step on one batch.

    Attributes:
        measured: their own loss, by name.
        terms: what the codec hears, each with its weight, by name.
        audio: the part of the codec's audio that was adversarial_step.
        gradient: of the weighted terms by that audio, scaled as the codec's loss is; None where it hears nothing.
    """

    measured: dict[str, Tensor]
    terms: dict[str, tuple[float, Tensor]]
    audio: Tensor | None = None
    gradient: Tensor | None = None


class Trainer:
    """A run: codec, discriminators, optimizers, moving average, step and position, in one folder on disk.

    Attributes:
        generator: the codec in training.
        discriminators: its judges, if the recipe has any.
        average: the moving average of the model's trained weights, by name; empty if the recipe keeps none.
        step: steps done.
        position: where the sampler stands.
        best: the best figure of a validation so far, by the recipe's `validation.best`; higher is better.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        folder: str | Path,
        processes: Processes = SINGLE_PROCESS,
        on_step: OnStep | None = None,
    ) -> None:
        """Begin a run, or take up the one whose state lies in `folder`.

        Args:
            recipe: what is trained, and how.
            dataset: the clips to train on.
            folder: of the run.
            processes: this one among those that train.
            on_step: called after each step, in the first process alone.

        Raises:
            CheckpointError: where the state there is of another model, or damaged.
            MissingExtraError: where the recipe keeps the best by a measure that is not installed.
        """
        check_installed(recipe.validation.best)
        self.recipe = recipe
        self.processes = processes
        self.on_step = on_step
        self.checkpoints = Checkpoints(folder, recipe.validation.keep)
        torch.manual_seed(recipe.seed)
        device = processes.device
        self.generator = build_generator(recipe).to(device)
        output_rate = self.generator.output_rate
        self.distances = Distances(recipe.loss, output_rate).to(device)
        self.discriminators = build_discriminators(recipe.adversarial, output_rate)
        self.average: dict[str, Tensor] = {}
        self.step = 0
        self.position = Position()
        self.best = -math.inf
        scaled = recipe.precision == "float16"
        self.precisions = Precisions(recipe.precision)
        self._generator_optimization = Optimization(self.generator, recipe.optimizer, scaled)
        self._shared_generator = processes.share(self.generator)
        if self.discriminators is not None:
            assert recipe.adversarial is not None
            self.discriminators.to(device)
            self._discriminator_optimization = Optimization(
                self.discriminators, recipe.adversarial.optimizer or recipe.optimizer, scaled
            )
            self._comparison = processes.share(Comparison(self.discriminators))
        geometry = Geometry(self.generator.sampling_rate, output_rate, self.generator.hop_length)
        self.batches = Batches(
            dataset,
            recipe.data,
            recipe.augmentation,
            geometry,
            recipe.seed,
            processes.rank,
            processes.count,
            self.generator.pitch_tracker,
        )
        self._bad_steps = 0
        if (last := self.checkpoints.last) is not None:
            self._restore(load_state(last), last)
            if processes.is_first:
                logger.info("taking up %s", last)

    def _restore(self, state: dict[str, Any], path: Path) -> None:
        try:
            self.generator.load_state_dict(state["generator"])
            self._generator_optimization.load_state_dict(state["generating"])
            if self.discriminators is not None:
                self.discriminators.load_state_dict(state["discriminators"])
                self._discriminator_optimization.load_state_dict(state["judging"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the run at {path} is of another model than the recipe describes: {error}",
                remedy="give another --output to begin anew",
            ) from error
        self.average = {name: tensor.to(self.processes.device) for name, tensor in state["average"].items()}
        self.step = int(state["step"])
        self.precisions = Precisions(self.recipe.precision, state.get("precision"))
        self.position = Position(*state["position"])
        self.best = best_figure(state, SCORES[self.recipe.validation.best])

    def state(self) -> dict[str, Any]:
        """Return all that it takes to go on. Random numbers depend on seed, step and process, so none is kept."""
        state = {
            "generator": self.generator.state_dict(),
            "generating": self._generator_optimization.state_dict(),
            "average": self.average,
            "step": self.step,
            "precision": self.precisions.settled,
            "position": [self.position.epoch, self.position.taken],
            "best": self.best,
            "best_score": SCORES[self.recipe.validation.best],
            "recipe": self.recipe.model_dump_json(),
            "config": json.dumps(self.generator.model.config.to_dict()),
        }
        if self.discriminators is not None:
            state |= {
                "discriminators": self.discriminators.state_dict(),
                "judging": self._discriminator_optimization.state_dict(),
            }
        return state

    def save(self) -> None:
        """Write the run's state, whole or not at all."""
        if self.processes.is_first:
            self.checkpoints.save(self.state())
        self.processes.wait()

    def averaged_model(self) -> CodecModel:
        """Make a second model that carries the moving average, or the weights as they are where none is kept."""
        model = copy.deepcopy(self.generator.model)
        model.load_state_dict(model.state_dict() | self.average)
        return model.train(False)

    def train_step(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Learn from the batches of a step; return the loss, its terms, and the gradients' norms.

        Raises:
            TrainingError: where gradients have not been finite for `BAD_STEPS` steps.
        """
        recipe = self.recipe
        batches = [batch.to(self.processes.device) for batch in batches]
        # So that what is random does not depend on whether the run was resumed.
        torch.manual_seed(seed_of_step(recipe.seed, self.step, self.processes.rank))
        if self.step == 0:
            self.generator.begin(batches[0])
            self.processes.broadcast(self.generator)
        rate = learning_rate(recipe.optimizer, self.step, recipe.steps)
        self.generator.train()
        values: dict[str, float] = {}
        for i, batch in enumerate(batches):
            is_last = i + 1 == len(batches)
            with no_sync_if(self._shared_generator, not is_last):
                with autocast(self.processes.device, self.precisions.next):
                    result: GeneratorOutput = self._shared_generator(batch)
                    terms = self._terms(result, batch)
                adversarial_step = self._adversarial_step(result.audio, batch.target, len(batches), is_last)
                losses = [weight * term / len(batches) for weight, term in terms.values()]
                self._generator_optimization.backward(losses, adversarial_step.audio, adversarial_step.gradient)
            weighted = terms | adversarial_step.terms
            measured = {name: term for name, (_, term) in weighted.items()} | adversarial_step.measured
            measured["loss"] = torch.stack([weight * term.detach() for weight, term in weighted.values()]).sum()
            for name, value in measured.items():
                values[name] = values.get(name, 0.0) + float(value.detach()) / len(batches)
        norm = self._generator_optimization.update(rate)
        if bool(torch.isfinite(norm)):
            self._update_average()
        values["gradient"] = float(norm)
        if self._discriminators_learn:
            values["discriminators_gradient"] = float(
                self._discriminator_optimization.update(self._discriminator_learning_rate())
            )
        self._check_finite(values)
        self.step += 1
        return values | {"learning_rate": rate}

    def _terms(self, result: GeneratorOutput, batch: Batch) -> dict[str, tuple[float, Tensor]]:
        """Measure how far the reconstruction is from the recording: every term with its weight, by name."""
        terms = result.terms | self.distances(result.audio, batch.target)
        return {name: (float(getattr(self.recipe.loss, name)), term) for name, term in terms.items()}

    @property
    def _discriminators_learn(self) -> bool:
        """Whether the discriminators are at work in this step."""
        adversarial = self.recipe.adversarial
        return self.discriminators is not None and adversarial is not None and self.step >= adversarial.first_step

    def _adversarial_step(self, audio: Tensor, target: Tensor, batches: int, is_last: bool) -> AdversarialStep:
        """Judge a reconstruction once, for both sides: the discriminators learn, and the codec hears what they say.

        The judgement is of the audio cut off from the codec, so that what the codec hears is the gradient by the audio,
        and the weights of neither side change before both have theirs.

        Args:
            audio: the codec's, (clips, samples).
            target: the recordings, (clips, samples).
            batches: that make the step.
            is_last: whether this is the last of them.
        """
        adversarial = self.recipe.adversarial
        if not self._discriminators_learn or adversarial is None:
            return AdversarialStep({}, {})
        stretch = self._stretch(target)
        is_heard = self.step >= adversarial.first_step + adversarial.lead_steps
        cut = audio[:, stretch].detach().requires_grad_(is_heard)
        terms: dict[str, tuple[float, Tensor]] = {}
        gradient = None
        with no_sync_if(self._comparison, not is_last):
            with autocast(self.processes.device, self.precisions.next):
                real, fake = self._comparison(target[:, stretch], cut)
            if is_heard:
                terms["adversarial"] = (adversarial.weight, adversarial_loss(fake))
                terms["features"] = (adversarial.feature_matching, feature_matching_loss(real, fake))
                heard = torch.stack([weight * term / batches for weight, term in terms.values()]).sum()
                gradient = self._generator_optimization.gradient(heard, cut)
            loss = discriminator_loss(real, fake)
            self._discriminator_optimization.backward([loss / batches])
        return AdversarialStep({"discriminators": loss}, terms, audio[:, stretch], gradient)

    def _discriminator_learning_rate(self) -> float:
        """Compute the discriminators' learning rate, whose schedule begins where they do."""
        adversarial = self.recipe.adversarial
        assert adversarial is not None
        step, steps = (max(0, count - adversarial.first_step) for count in (self.step, self.recipe.steps))
        return learning_rate(adversarial.optimizer or self.recipe.optimizer, step, steps)

    def _stretch(self, target: Tensor) -> slice:
        """Choose the part of (clips, samples) that the discriminators judge in this step."""
        assert self.recipe.adversarial is not None
        seconds = self.recipe.adversarial.seconds
        if seconds is None:
            return slice(None)
        clips, samples = target.shape
        length = min(samples, round(seconds * self.generator.output_rate / clips))
        first = int(np.random.default_rng((self.recipe.seed, self.step)).integers(samples - length + 1))
        return slice(first, first + length)

    def _check_finite(self, values: dict[str, float]) -> None:
        """End a run that has left the numbers."""
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        self._bad_steps = self._bad_steps + 1 if self.processes.any(bool(bad)) else 0
        if self._bad_steps >= BAD_STEPS:
            last = self.checkpoints.last
            kept = f"the last good checkpoint is {last}" if last is not None else "no checkpoint was written before"
            raise TrainingError(
                f"{', '.join(bad) or 'a value in another process'} has not been finite for {BAD_STEPS} steps up to "
                f"step {self.step}; {kept}. Go on from there with a smaller optimizer.learning_rate, or in float32"
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        if not self.recipe.ema:
            return
        state = self.generator.model.state_dict()
        if not self.average:
            frozen = tuple(f"{name}." for name in self.generator.frozen)
            self.average = {name: x.clone() for name, x in state.items() if not name.startswith(frozen)}
            return
        # Early on the average reaches back no further than a tenth of the run so far.
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, tensor in self.average.items():
            tensor.lerp_(state[name], 1 - decay)

    def run(self, validation_clips: Sequence[Clip] = (), limit: Limit | None = None) -> None:
        """Train to the recipe's last step, or until the limit is reached, and save the state.

        Args:
            validation_clips: recordings that the model is measured on; not at the end of a run that was asked to end.
            limit: ends the run after a step; None is none.

        Raises:
            TrainingError: where the loss leaves the numbers; the last checkpoint is then the last good one.
        """
        timing = self.recipe.validation
        folder, limit = self.checkpoints.folder, limit or Limit()
        is_first = self.processes.is_first
        with Monitor(folder, self.recipe.steps, timing.log_steps, is_first, self.on_step) as monitor:
            self._loop(validation_clips, limit, monitor)
            if not self.processes.any(not validation_clips or limit.is_asked_for):
                self._validate(validation_clips, monitor)
            self.save()

    def _loop(self, clips: Sequence[Clip], limit: Limit, monitor: Monitor) -> None:
        timing, count = self.recipe.validation, self.recipe.accumulate
        saved = validated = time.monotonic()
        upcoming = self.batches.following(self.step * count, self.position)
        while self.step < self.recipe.steps:
            if self.processes.any(limit.is_reached()):
                return
            made = [next(upcoming) for _ in range(count)]
            batches = [batch for batch, _ in made]
            began = time.perf_counter()
            values = self.train_step(batches)
            if self.precisions.settled is None:
                self._settle_precision(time.perf_counter() - began)
            self.position = made[-1][1]
            seconds = sum(batch.target.numel() for batch in batches) / self.generator.output_rate
            monitor.step(self.step, values, seconds * self.processes.count)
            now = time.monotonic()
            if self.processes.any(now - saved >= 60 * timing.checkpoint_minutes):
                self.save()
                saved = now
            if self.processes.any(bool(clips) and now - validated >= 60 * timing.every_minutes):
                self._validate(clips, monitor)
                validated = time.monotonic()

    def _settle_precision(self, seconds: float) -> None:
        """Hear how long a step took here; say what the run goes on in when that is settled."""
        self.precisions.took(self.processes.total(seconds))
        if self.precisions.settled is not None and self.processes.is_first:
            logger.info("%s is the quicker precision here; the run goes on in it", self.precisions.settled)

    def _validate(self, clips: Sequence[Clip], monitor: Monitor) -> None:
        if self.processes.is_first:
            measured = self.validate(clips)
            monitor.validation(self.step, measured)
            figure = measured.figure(SCORES[self.recipe.validation.best])
            if figure > self.best:
                self.best = figure
                self.checkpoints.save_best(self.state())
        self.processes.wait()

    def validate(self, clips: Sequence[Clip]) -> Validation:
        """Measure the model, averaged if an average is kept, on recordings."""
        model = self.averaged_model()
        return validate(Codec(model, feature_extractor_of(model)), clips)
