"""The training loop: plain PyTorch, one process, resumable at any step."""

import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xcodec.errors import CheckpointError
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2Model
from xcodec.training.checkpoints import load_state, save_state
from xcodec.training.corpus import Corpus
from xcodec.training.data import batches
from xcodec.training.forward import Reconstruction, reconstruct
from xcodec.training.initialization import initialize, initialize_from_batch
from xcodec.training.losses import MelLoss, log_magnitude, spread_loss
from xcodec.training.recipe import OptimizerRecipe, Recipe
from xcodec.training.synthesis import SAMPLING_RATE
from xcodec.training.validation import Validation, validate

__all__ = ["Trainer", "learning_rate"]


def learning_rate(recipe: OptimizerRecipe, step: int, steps: int) -> float:
    """Linear warm-up from near zero, then half a cosine down to the final rate at the last step."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = min(1.0, (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps))
    fall = recipe.learning_rate - recipe.final_learning_rate
    return recipe.final_learning_rate + fall * 0.5 * (1 + math.cos(math.pi * done))


class Trainer:
    """A run: model, optimizer, moving average and step, in one folder on disk.

    Attributes:
        model: the model in training.
        average: the moving average of its weights, by name; what is validated and exported.
        step: steps done.
    """

    def __init__(self, recipe: Recipe, corpus: Corpus, folder: str | Path, log: Callable[[str], None] = print) -> None:
        """Begin a run, or take up the one whose state lies in `folder`.

        Raises:
            CheckpointError: where the state there is of another model, or damaged.
        """
        self.recipe = recipe
        self.corpus = corpus
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = log
        torch.manual_seed(recipe.seed)
        self.model = Xcodec2Model(Xcodec2Config(**recipe.model))
        initialize(self.model)
        self.loss = MelLoss(recipe.loss.windows, recipe.loss.mels, SAMPLING_RATE)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe.optimizer.learning_rate,
            betas=recipe.optimizer.betas,
            weight_decay=recipe.optimizer.weight_decay,
            fused=True,
        )
        self.step = 0
        self.average: dict[str, Tensor] = {}
        self._stopping = False
        if self.state_path.exists():
            self._restore(load_state(self.state_path))
            self.log(f"taking up {self.state_path} at step {self.step}")

    @property
    def state_path(self) -> Path:
        """Where the run's state lies."""
        return self.folder / "state.pt"

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the run in {self.folder} is of another model than the recipe describes: {error}; "
                "give another --output to begin anew"
            ) from error
        self.average = state["average"]
        self.step = int(state["step"])

    def save(self) -> None:
        """Write the run's state, whole or not at all."""
        save_state(
            self.state_path,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "step": self.step,
                "recipe": self.recipe.model_dump_json(),
            },
        )

    def averaged_model(self) -> Xcodec2Model:
        """A second model that carries the moving average."""
        model = Xcodec2Model(self.model.config)
        model.load_state_dict(self.average or self.model.state_dict())
        model.train(False)
        return model

    def train_step(self, waveform: Tensor) -> dict[str, float]:
        """Learn from (clips, samples); return the loss, its terms, and the gradient's norm."""
        recipe = self.recipe
        if self.step == 0:
            initialize_from_batch(self.model, waveform)
        torch.manual_seed(hash((recipe.seed, self.step)) % 2**31)  # so that what is random does not depend on resuming
        rate = learning_rate(recipe.optimizer, self.step, recipe.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast(waveform.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            result = reconstruct(self.model, waveform)
        terms = self._terms(result, waveform)
        loss = torch.stack([getattr(recipe.loss, name) * term for name, term in terms.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimizer.clip)
        if bool(torch.isfinite(norm)):  # one bad batch must not end a run
            self.optimizer.step()
        self._update_average()
        self.step += 1
        values = {"loss": loss, **terms, "gradient": norm}
        return {name: float(value.detach()) for name, value in values.items()} | {"learning_rate": rate}

    def _terms(self, result: Reconstruction, target: Tensor) -> dict[str, Tensor]:
        """The terms of the loss, by the names of their weights in the recipe."""
        head = self.model.acoustic_decoder.head
        mel, magnitude = self.loss(result.audio, target)
        wanted = log_magnitude(target, head.n_fft, head.hop_length)
        return {
            "mel": mel,
            "magnitude": magnitude,
            "head": (result.log_magnitude - wanted).abs().mean(),
            "spread": spread_loss(result.projected),
        }

    @torch.no_grad()
    def _update_average(self) -> None:
        state = self.model.state_dict()
        if not self.average:
            self.average = {name: tensor.clone() for name, tensor in state.items()}
            return
        # Early on the average reaches back no further than a tenth of the run so far.
        decay = min(self.recipe.optimizer.ema, (1 + self.step) / (10 + self.step))
        for name, tensor in state.items():
            self.average[name].lerp_(tensor, 1 - decay)

    def run(self, validation_clips: Sequence[np.ndarray] = (), minutes: float | None = None) -> None:
        """Train to the recipe's last step, to the time limit, or until SIGTERM or Ctrl-C, and save the state.

        Args:
            validation_clips: recordings, float32 (samples,) at 16 kHz, that the moving average is measured on.
            minutes: time limit of this call.
        """
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._loop(validation_clips, math.inf if minutes is None else 60 * minutes)
        finally:
            self.save()
            for number, handler in previous.items():
                signal.signal(number, handler)
        if validation_clips:
            self.validate(validation_clips)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _loop(self, clips: Sequence[np.ndarray], limit: float) -> None:
        timing = self.recipe.validation
        begin = logged = saved = validated = time.monotonic()
        seconds, sums, count = 0.0, dict[str, float](), 0
        for waveform in batches(self.corpus, self.recipe, self.model.hop_length, self.step):
            now = time.monotonic()
            if self._stopping or self.step >= self.recipe.steps or now - begin >= limit:
                return
            values = self.train_step(waveform)
            seconds += waveform.numel() / SAMPLING_RATE
            count += 1
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            now = time.monotonic()
            if self.step % timing.log_steps == 0:
                means = "  ".join(f"{name} {value / count:.4g}" for name, value in sums.items())
                rate = f"{count / (now - logged):.2f} steps/s  {seconds / (now - logged):.1f} audio-s/s"
                self.log(f"step {self.step}  {means}  {rate}")
                logged, seconds, sums, count = now, 0.0, {}, 0
            if now - saved >= 60 * timing.checkpoint_minutes:
                self.save()
                saved = now
            if clips and now - validated >= 60 * timing.every_minutes:
                self.validate(clips)
                validated = time.monotonic()

    def validate(self, clips: Sequence[np.ndarray]) -> Validation:
        """Measure the moving average on recordings, float32 (samples,) at 16 kHz."""
        measured = validate(self.averaged_model(), clips)
        self.log(f"validation at step {self.step}: {measured}")
        return measured
