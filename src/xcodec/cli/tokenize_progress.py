"""What people see of a run of `xcodec tokenize`: a bar while it works, and where it stands."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xcodec.cli.console import output, spoken_bytes, spoken_seconds
from xcodec.cli.progress import ProgressBar

if TYPE_CHECKING:
    from xcodec.tokenization.plan import Fingerprint, Plan
    from xcodec.tokenization.readers import SlowRead
    from xcodec.tokenization.slurm import SlurmJob, SlurmRun
    from xcodec.tokenization.status import RunStatus, Standing
    from xcodec.tokenization.trial import Trial

__all__ = ["show_jobs", "show_plan", "show_progress", "show_standing", "show_summary", "show_trial"]

_SLOW = 1.0  # seconds to read, from which on a file is told as slow
_SILENT = 120.0  # seconds without a word, after which a run may be dead


def show_progress(bar: ProgressBar, status: "RunStatus") -> None:
    """Show recordings done and failed, speed and what is left."""
    standing = status.standing
    eta = "" if status.eta_seconds is None else f", {spoken_seconds(status.eta_seconds)} left"
    failed = f", {standing.failed:,} failed" if standing.failed else ""
    excluded = f", {standing.excluded:,} excluded" if standing.excluded else ""
    done = standing.rows - standing.left if standing.cut else standing.done
    text = f"{done:,}/{standing.rows:,}{excluded}{failed}, {status.seconds_per_second:.1f} audio-s/s{eta}"
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
        f"Tokenized {counted(standing)} of {standing.rows:,} recordings, {spoken_seconds(standing.seconds_done)} of "
        f"audio; this run {spoken_seconds(status.seconds)} in {spoken_seconds(status.elapsed)}: "
        f"{status.seconds_per_second:.1f} audio-seconds per second, the model worked "
        f"{status.model_share:.0%} of the time, {status.padding_share:.1%} of its input was padding",
        soft_wrap=True,
    )
    if standing.failed or standing.left or standing.excluded:
        show_standing(standing)


def show_standing(standing: "Standing", runs: Sequence["RunStatus"] = ()) -> None:
    """Print counts, the runs that work on them, and the largest failure classes."""
    from xcodec.tokenization.readers import slowest_of

    console = output()
    excluded = f" {standing.excluded:,} excluded," if standing.excluded else ""
    lines = [
        f"{counted(standing)} done,{excluded} {standing.failed:,} failed, {standing.left:,} left of {standing.rows:,} "
        "recordings",
        f"{standing.shards_done:,} of {standing.shards:,} shards; {spoken_seconds(standing.seconds_done)} of audio done"
        + (f", about {spoken_seconds(standing.seconds_left)} left" if standing.seconds_left else ""),
    ]
    lines += [line for run in runs for line in run_lines(run)]
    together = [run for run in runs if run.worker is not None and is_working(run)]
    if len(together) > 1 and (speed := sum(run.seconds_per_second for run in together)):
        left = f", {spoken_seconds(standing.seconds_left / speed)} to go" if standing.seconds_left else ""
        lines.append(f"{len(together)} workers together: {speed:.1f} audio-seconds per second{left}")
    lines += [f"{count:8,}  excluded: {reason}" for reason, count in standing.exclusions]
    examples = dict(standing.failure_examples)
    for name, count in standing.failure_classes:
        lines.append(f"{count:8,}  {name}")
        lines += [f"{'':10}such as {', '.join(examples[name])}"] if name in examples else []
    slowest = slowest_of(read for run in runs for read in run.slowest if read.seconds_to_read >= _SLOW)
    if slowest:
        lines.append("slowest to read:")
    lines += [f"{read.seconds_to_read:8.1f} s  {read.uri}{spoken_span(read)}" for read in slowest]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def is_working(run: "RunStatus") -> bool:
    """Whether a run goes on, as far as its file tells."""
    return run.state == "running" and time.time() - run.updated <= _SILENT


def run_lines(run: "RunStatus") -> list[str]:
    """What is shown of a run: a line, and one for each of those that work in it."""
    silence = time.time() - run.updated
    state = run.state if run.state != "running" or is_working(run) else f"silent for {spoken_seconds(silence)}"
    eta = f", {spoken_seconds(run.eta_seconds)} to go" if run.eta_seconds and state == "running" else ""
    place = f" {run.place}" if run.place else ""
    restarts = f", {run.restarts} restarts" if run.restarts else ""
    line = (
        f"{run.engine} run{place} on {run.host}, {state}: {run.seconds_per_second:.1f} audio-seconds per second, "
        f"model {run.model_share:.0%}, padding {run.padding_share:.1%}{restarts}{eta}"
    )
    return [line, *(f"    {name}: {speed:.1f} audio-seconds per second" for name, speed in run.speeds.items())]


def spoken_span(read: "SlowRead") -> str:
    """Where in its file a recording lies, and how long it is, as far as that is known."""
    start = f", from {spoken_seconds(read.start)} on" if read.start else ""
    return start + (f", {spoken_seconds(read.seconds)} of audio" if read.seconds else ", not read")


def show_jobs(slurm: "SlurmRun | None", jobs: "Sequence[SlurmJob]") -> None:
    """Print what Slurm says of the jobs that were submitted."""
    if slurm is None:
        return
    lines = [f"Slurm {job.name} {job.id}: {job.told}" for job in jobs]
    if not jobs:
        lines = [
            f"Slurm jobs {', '.join(slurm.ids.values())} were submitted; squeue and sacct say nothing of them here"
        ]
    for line in lines:
        output().print(line, soft_wrap=True, markup=False)


def counted(standing: "Standing") -> str:
    """What is done, and what is counted where that is not recordings."""
    return f"{standing.done:,} pieces" if standing.cut else f"{standing.done:,}"
