"""What a run says of itself: lines, a progress bar on a terminal, and TensorBoard's scalars and sounds."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from xcodec.training.validation import Validation

__all__ = ["Monitor"]


class Monitor(AbstractContextManager["Monitor"]):
    """Adds up what happens between two lines.

    Args:
        folder: of the run; TensorBoard's files go into its folder tensorboard, where tensorboard is installed.
        steps: of the whole run.
        step: where it begins.
        log_steps: from one line to the next.
        log: takes a line; None makes the monitor silent, as it is in all processes but the first.
        bar: whether to draw a progress bar on standard error.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        step: int,
        log_steps: int,
        log: Callable[[str], None] | None,
        bar: bool = False,
    ) -> None:
        self.log = log
        self.log_steps = log_steps
        self._writer = _writer(folder, log) if log is not None else None
        self._progress = _progress_bar(steps, step) if bar and log is not None else None
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
        if self._progress is not None:
            self._progress[0].stop()

    def say(self, line: str) -> None:
        """Print a line."""
        if self.log is not None:
            self.log(line)

    def step(self, step: int, values: dict[str, float], seconds: float) -> None:
        """Take note of a step.

        Args:
            step: how many are done.
            values: what it measured.
            seconds: of audio that it saw, in all processes.
        """
        self._count += 1
        self._seconds += seconds
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)
        if self._progress is not None:
            bar, task = self._progress
            bar.update(task, completed=step, speed=self._speed(), loss=f"loss {values['loss']:.4g}")
        if step % self.log_steps == 0:
            means = {name: sum(measured) / len(measured) for name, measured in self._values.items()}
            self.say(f"step {step}  {'  '.join(f'{name} {x:.4g}' for name, x in means.items())}  {self._speed()}")
            if self._writer is not None:
                for name, value in means.items():
                    self._writer.add_scalar(f"training/{name}", value, step)
            self._begin()

    def _speed(self) -> str:
        passed = max(time.monotonic() - self._since, 1e-9)
        return f"{self._count / passed:.2f} steps/s  {self._seconds / passed:.1f} audio-s/s"

    def validation(self, step: int, measured: Validation) -> None:
        """Take note of a validation."""
        self.say(f"validation at step {step}: {measured}")
        if self._writer is None:
            return
        for name in ("mel", "stoi", "pesq", "entropy"):
            self._writer.add_scalar(f"validation/{name}", getattr(measured, name), step)
        for number, audio in enumerate(measured.reconstructions):
            self._writer.add_audio(f"reconstruction/{number}", audio.samples[0], step, audio.sampling_rate)


def _writer(folder: Path, log: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log("tensorboard is not installed, so nothing is written for it: pip install 'xcodec[train]'")
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def _progress_bar(steps: int, step: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}  {task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    bar.start()
    return bar, bar.add_task("training", total=steps, completed=step, loss="", speed="")
