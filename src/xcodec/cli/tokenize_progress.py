"""What people see of a run of `xcodec tokenize`: a bar while it works, and where it stands."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xcodec.cli.console import output, spoken_bytes, spoken_seconds
from xcodec.cli.progress import ProgressBar

if TYPE_CHECKING:
    from xcodec.tokenization.plan import Fingerprint, Plan
    from xcodec.tokenization.status import RunStatus, Standing
    from xcodec.tokenization.trial import Trial

__all__ = ["show_plan", "show_progress", "show_standing", "show_summary", "show_trial"]

_SILENT = 120.0  # seconds without a word, after which a run may be dead


def show_progress(bar: ProgressBar, status: "RunStatus") -> None:
    """Show recordings done and failed, speed and what is left."""
    standing = status.standing
    eta = "" if status.eta_seconds is None else f", {spoken_seconds(status.eta_seconds)} left"
    failed = f", {standing.failed:,} failed" if standing.failed else ""
    text = f"{standing.done:,}/{standing.rows:,}{failed}, {status.seconds_per_second:.1f} audio-s/s{eta}"
    bar.show(standing.seconds_done, text, total=standing.seconds_done + standing.seconds_left)


def show_plan(plan: "Plan", folder: str) -> None:
    """Print what was planned, and the room that it takes."""
    from xcodec.tokenization.trial import expected_bytes

    planned = plan.fingerprint
    faults = f", of which {planned.faults:,} cannot be read" if planned.faults else ""
    output().print(
        f"Planned {planned.rows:,} recordings{faults}, about {spoken_seconds(planned.seconds)}, in "
        f"{planned.shards:,} shards: {folder}. The codes take up to "
        f"{spoken_bytes(round(expected_bytes(planned.codec, planned.seconds)))}, and what is carried comes on top",
        soft_wrap=True,
        markup=False,
    )


def show_trial(trial: "Trial", planned: "Fingerprint") -> None:
    """Print how fast a trial was, and how long all would take at that speed."""
    output().print(
        f"Tried {spoken_seconds(trial.seconds)} of audio: {trial.speed:.1f} audio-seconds per second. At that speed "
        f"all takes {spoken_seconds(planned.seconds / trial.speed)} on one machine like this",
        soft_wrap=True,
    )


def show_summary(status: "RunStatus") -> None:
    """Print what a run did, and what is left or failed."""
    standing = status.standing
    output().print(
        f"Tokenized {standing.done:,} of {standing.rows:,} recordings, {spoken_seconds(standing.seconds_done)} of "
        f"audio; this run {spoken_seconds(status.seconds)} in {spoken_seconds(status.elapsed)}: "
        f"{status.seconds_per_second:.1f} audio-seconds per second, the model worked "
        f"{status.model_share:.0%} of the time, {status.padding_share:.1%} of its input was padding",
        soft_wrap=True,
    )
    if standing.failed or standing.left:
        show_standing(standing)


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
