"""What people see of a run of `xcodec tokenize`: a bar while it works, and where it stands."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from xcodec.cli.console import errors, output, spoken_seconds

if TYPE_CHECKING:
    from xcodec.tokenization.plan import Fingerprint
    from xcodec.tokenization.status import RunStatus, Standing

__all__ = ["TokenizeProgress", "show_plan", "show_standing"]

_SILENT = 120.0  # seconds without a word, after which a run may be dead


class TokenizeProgress:
    """Recordings done and failed, speed and what is left, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        console = errors()
        self._progress = Progress(
            TextColumn("Tokenizing"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, text="reading")

    def __enter__(self) -> "TokenizeProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, status: "RunStatus") -> None:
        """Show where a run is."""
        standing = status.standing
        eta = "" if status.eta_seconds is None else f", {spoken_seconds(status.eta_seconds)} left"
        failed = f", {standing.failed:,} failed" if standing.failed else ""
        text = f"{standing.done:,}/{standing.rows:,}{failed}, {status.seconds_per_second:.1f} audio-s/s{eta}"
        done = standing.seconds_done
        self._progress.update(self._task, completed=done, total=done + standing.seconds_left, text=text)


def show_plan(planned: "Fingerprint", folder: str) -> None:
    """Print what was planned."""
    faults = f", of which {planned.faults:,} cannot be read" if planned.faults else ""
    output().print(
        f"Planned {planned.rows:,} recordings{faults}, about {spoken_seconds(planned.seconds)}, in "
        f"{planned.shards:,} shards: {folder}",
        soft_wrap=True,
        markup=False,
    )


def show_standing(standing: "Standing", runs: Sequence["RunStatus"] = ()) -> None:
    """Print counts, the runs that work on them, and the largest failure classes."""
    console = output()
    lines = [
        f"{standing.done:,} done, {standing.failed:,} failed, {standing.left:,} left of {standing.rows:,} recordings",
        f"{standing.shards_done:,} of {standing.shards:,} shards; {spoken_seconds(standing.seconds_done)} of audio done"
        + (f", about {spoken_seconds(standing.seconds_left)} left" if standing.seconds_left else ""),
    ]
    for run in runs:
        silence = time.time() - run.updated
        state = run.state
        if state == "running" and silence > _SILENT:
            state = f"silent for {spoken_seconds(silence)}"
        eta = f", {spoken_seconds(run.eta_seconds)} to go" if run.eta_seconds and state == "running" else ""
        part = f" part {run.part[0] + 1}/{run.part[1]}" if run.part[1] > 1 else ""
        lines.append(
            f"{run.engine} run{part} on {run.host}, {state}: {run.seconds_per_second:.1f} audio-seconds per second, "
            f"model {run.model_share:.0%}, padding {run.padding_share:.1%}{eta}"
        )
    lines += [f"{count:8,}  {name}" for name, count in standing.failure_classes]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
