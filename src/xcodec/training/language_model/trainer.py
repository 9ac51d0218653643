"""The loop that teaches a language model to speak, in one process or several, resumable at any step."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from xcodec.errors import CheckpointError, InputError, TrainingError, first_line
from xcodec.llasa.prompt import Prompts
from xcodec.llasa.rows import TrainingRows
from xcodec.training.checkpoints import Checkpoints, load_state
from xcodec.training.distributed import Processes, no_sync_if
from xcodec.training.language_model.answers import AnswerLoss, RowBatch, RowOrder, row_batch
from xcodec.training.language_model.settings import LanguageSettings
from xcodec.training.limit import Limit
from xcodec.training.monitor import Monitor, OnStep
from xcodec.training.optimization import Optimization, learning_rate
from xcodec.training.precision import autocast
from xcodec.training.sections import OptimizerRecipe
from xcodec.training.seeds import seed_of_step

__all__ = ["LanguageTrainer"]

BAD_STEPS = 10
"""So many steps without a finite loss and gradient, one after the other, end a run; single ones are passed over."""

CODES_PER_SECOND = 50.0
"""Of X-Codec2's codes, which LLaSA's are; the speed is told in seconds of them."""

logger = logging.getLogger(__name__)


class LanguageTrainer:
    """A run: a language model, its optimizer and its step, in one folder on disk.

    Attributes:
        step: steps done.
        steps: of the whole run.
    """

    def __init__(
        self,
        model: Any,
        prompts: Prompts,
        rows: TrainingRows,
        validation: TrainingRows | None,
        settings: LanguageSettings,
        folder: Path,
        identity: str,
        processes: Processes,
        on_step: OnStep | None = None,
    ) -> None:
        """Begin a run, or take up the one whose state lies in `folder`.

        Args:
            model: whose parameters that take gradients are trained, on the processes' device.
            prompts: of its tokenizer.
            rows: to learn.
            validation: rows to measure the loss on; None is for none.
            settings: how.
            folder: of the run.
            identity: of the language model and the rows with which the run began.
            processes: this one among those that train.
            on_step: called after each step, in the first process alone.

        Raises:
            InputError: where the state there is of a run with other settings, rows or another model.
            CheckpointError: where it is damaged.
        """
        self.settings, self.processes, self.on_step = settings, processes, on_step
        self.checkpoints = Checkpoints(folder, settings.keep)
        self.rows, self.validation = rows, validation
        self.steps, self.step = settings.num_steps(len(rows), processes.count), 0
        self._identity = identity
        tokenizer = prompts.tokenizer
        self._pad_id = int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
        self._loss = AnswerLoss(model)
        self._shared_loss = processes.share(self._loss)
        rate = settings.learning_rate
        self._recipe = OptimizerRecipe(
            learning_rate=rate,
            final_learning_rate=rate / 10,
            warmup_steps=settings.warmup_steps,
            betas=(0.9, 0.95),
            weight_decay=settings.weight_decay,
            clip=settings.clip,
        )
        self._optimization = Optimization(model, self._recipe, scaled=False)
        self._order = RowOrder(len(rows), settings.seed)
        self._bad_steps = 0
        if (last := self.checkpoints.last) is not None:
            self._restore(load_state(last), last)
            if processes.is_first:
                logger.info("taking up %s", last)

    def _trained(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self._loss.model.named_parameters() if p.requires_grad}

    def _restore(self, state: dict[str, Any], path: Path) -> None:
        try:
            self.settings.check_same(state["settings"], self.checkpoints.folder)
            if state["identity"] != self._identity or state["processes"] != self.processes.count:
                raise InputError(
                    f"holds a run with another language model, other rows or {state['processes']} processes",
                    subject=self.checkpoints.folder,
                    remedy="give the same, or another folder to begin anew",
                )
            trained = self._trained()
            if trained.keys() != state["trained"].keys():
                raise CheckpointError("is of another model", subject=path, remedy="give another folder to begin anew")
            for name, tensor in trained.items():
                tensor.copy_(state["trained"][name])
            self._optimization.load_state_dict(state["optimization"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise CheckpointError(f"is no state of such a run: {first_line(error)}", subject=path) from error
        self.step = int(state["step"])

    def state(self) -> dict[str, Any]:
        """Return all that it takes to go on. Random numbers depend on seed, step and process, so none is kept."""
        return {
            "trained": self._trained(),
            "optimization": self._optimization.state_dict(),
            "step": self.step,
            "settings": self.settings.written(),
            "identity": self._identity,
            "processes": self.processes.count,
        }

    def save(self) -> None:
        """Write the run's state, whole or not at all."""
        if self.processes.is_first:
            self.checkpoints.save(self.state())
        self.processes.wait()

    def run(self, limit: Limit) -> None:
        """Train to the last step, or until the limit is reached; the state is saved, and the loss measured.

        Raises:
            TrainingError: where the loss leaves the numbers; the last checkpoint is then the last good one.
        """
        first, settings = self.processes.is_first, self.settings
        with Monitor(self.checkpoints.folder, self.steps, settings.log_steps, first, self.on_step) as monitor:
            saved = measured = time.monotonic()
            begun = self.step
            while self.step < self.steps and not self.processes.any(limit.is_reached()):
                values, answered = self.train_step()
                monitor.step(self.step, values, answered / CODES_PER_SECOND)
                now = time.monotonic()
                if self.processes.any(now - saved >= 60 * settings.checkpoint_minutes):
                    self.save()
                    saved = now
                if self.validation is not None and self.processes.any(
                    now - measured >= 60 * settings.validation_minutes
                ):
                    monitor.validation_loss(self.step, self.measure(self.validation))
                    measured = now
            if self.step > begun or self.checkpoints.last is None:
                self.save()
            if self.validation is not None and not self.processes.any(limit.is_asked_for):
                monitor.validation_loss(self.step, self.measure(self.validation))

    def train_step(self) -> tuple[dict[str, float], float]:
        """Learn from the batches of a step.

        Returns:
            The mean loss of an id, the gradients' norm and the learning rate, by name; and how many ids were learned.

        Raises:
            TrainingError: where the loss or the gradients have not been finite for `BAD_STEPS` steps.
        """
        settings, processes = self.settings, self.processes
        torch.manual_seed(seed_of_step(settings.seed, self.step, processes.rank))
        self._loss.train()
        batches = [self._batch(k) for k in range(settings.accumulate)]
        answered = processes.total(float(sum(batch.num_answered for batch in batches)))
        here = 0.0
        for k, batch in enumerate(batches):
            with no_sync_if(self._shared_loss, k + 1 < len(batches)):
                with autocast(processes.device, settings.dtype):
                    loss = self._shared_loss(batch)
                # Gradients are averaged over the processes, and their sum is wanted.
                self._optimization.backward([loss * (processes.count / answered)])
            here += float(loss.detach())
        rate = learning_rate(self._recipe, self.step, self.steps)
        norm = float(self._optimization.update(rate))
        mean = processes.total(here) / answered
        self._check_finite(mean, norm)
        self.step += 1
        return {"loss": mean, "gradient": norm, "learning_rate": rate}, answered

    def _batch(self, number: int) -> RowBatch:
        """Read one of this process's batches of the step."""
        size, processes = self.settings.batch_size, self.processes
        place = (self.step * self.settings.accumulate + number) * processes.count + processes.rank
        return row_batch(self.rows, self._order.take(place * size, size), self._pad_id, processes.device)

    def _check_finite(self, *values: float) -> None:
        is_bad = not all(math.isfinite(value) for value in values)
        self._bad_steps = self._bad_steps + 1 if self.processes.any(is_bad) else 0
        if self._bad_steps >= BAD_STEPS:
            last = self.checkpoints.last
            kept = f"the last good checkpoint is {last}" if last is not None else "no checkpoint was written before"
            raise TrainingError(
                f"loss and gradients have not been finite for {BAD_STEPS} steps up to step {self.step}; {kept}",
                remedy="go on from there with a smaller learning_rate, or dtype=float32",
            )

    @torch.no_grad()
    def measure(self, rows: TrainingRows) -> float:
        """Compute the mean loss of an id over rows, which the processes share between them."""
        self._loss.eval()
        total = answered = 0.0
        for batch in self._shares(rows):
            with autocast(self.processes.device, self.settings.dtype):
                total += float(self._loss(batch))
            answered += batch.num_answered
        return self.processes.total(total) / self.processes.total(answered)

    def _shares(self, rows: TrainingRows) -> Iterator[RowBatch]:
        """Yield this process's batches of rows, in their order."""
        numbers = range(self.processes.rank, len(rows), self.processes.count)
        for begin in range(0, len(numbers), self.settings.batch_size):
            chosen = numbers[begin : begin + self.settings.batch_size]
            yield row_batch(rows, chosen, self._pad_id, self.processes.device)
