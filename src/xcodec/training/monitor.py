"""What a run says of itself: lines in the log, how far it has come, and TensorBoard's scalars and sounds."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from xcodec.training.validation import Validation

__all__ = ["Monitor", "OnStep", "StepReport"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """How far a run has come.

    Attributes:
        step: steps done.
        steps: steps of the whole run.
        loss: of the last step.
        steps_per_second: since the last line in the log.
        audio_per_second: seconds of audio seen in a second, in all processes, since then too.
    """

    step: int
    steps: int
    loss: float
    steps_per_second: float
    audio_per_second: float

    @property
    def speed(self) -> str:
        """Both speeds, as people read them."""
        return f"{self.steps_per_second:.2f} steps/s  {self.audio_per_second:.1f} audio-s/s"


OnStep = Callable[[StepReport], object]
"""Called after each step. What it raises ends the run."""


class Monitor(AbstractContextManager["Monitor"]):
    """Adds up what happens between two lines of the log.

    Args:
        folder: of the run; TensorBoard's files go into its folder tensorboard, where tensorboard is installed.
        steps: of the whole run.
        log_steps: from one line to the next.
        is_first: whether this process is the first; the others' monitors stay silent and write nothing.
        on_step: called after each step, in the first process.
    """

    def __init__(
        self, folder: Path, steps: int, log_steps: int, is_first: bool = True, on_step: OnStep | None = None
    ) -> None:
        self.steps = steps
        self.log_steps = log_steps
        self.is_first = is_first
        self.on_step = on_step
        self._writer = _writer(folder) if is_first else None
        self._begin()

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._values: dict[str, list[float]] = {}  # some are not measured in every step
        self._count = 0
        self._seconds = 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def step(self, step: int, values: dict[str, float], seconds: float) -> None:
        """Take note of a step.

        Args:
            step: how many are done.
            values: what it measured.
            seconds: of audio that it saw, in all processes.
        """
        if not self.is_first:
            return
        self._count += 1
        self._seconds += seconds
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
        passed = max(time.monotonic() - self._since, 1e-9)
        report = StepReport(step, self.steps, values["loss"], self._count / passed, self._seconds / passed)
        if self.on_step is not None:
            self.on_step(report)
        if step % self.log_steps == 0:
            means = {name: sum(measured) / len(measured) for name, measured in self._values.items()}
            logger.info(
                "step %d  %s  %s", step, "  ".join(f"{name} {x:.4g}" for name, x in means.items()), report.speed
            )
            if self._writer is not None:
                for name, value in means.items():
                    self._writer.add_scalar(f"training/{name}", value, step)
            self._begin()

    def validation_loss(self, step: int, loss: float) -> None:
        """Take note of what a language model's loss is on rows that it does not learn."""
        if not self.is_first:
            return
        logger.info("validation at step %d: loss %.4g", step, loss)
        if self._writer is not None:
            self._writer.add_scalar("validation/loss", loss, step)

    def validation(self, step: int, measured: Validation) -> None:
        """Take note of a validation, which the first process alone makes."""
        logger.info("validation at step %d: %s", step, measured)
        for failure in measured.failures:
            logger.warning("not measured: %s", failure)
        if self._writer is None:
            return
        for key, value in measured.scores.items():
            self._writer.add_scalar(f"validation/{key}", value, step)
        if measured.entropy is not None:
            self._writer.add_scalar("validation/entropy", measured.entropy, step)
        for number, audio in enumerate(measured.reconstructions):
            self._writer.add_audio(f"reconstruction/{number}", audio.samples[0], step, audio.sampling_rate)


def _writer(folder: Path) -> Any:
    """Open TensorBoard's files, or say what is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("tensorboard is not installed, so nothing is written for it: pip install 'xcodec[train]'")
        return None
    return SummaryWriter(str(folder / "tensorboard"))
