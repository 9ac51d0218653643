"""Many files through one model: read in groups, written one by one, counted, and none lost because another is bad."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import typer

from xcodec.cli.console import errors, output, show_error, spoken_seconds
from xcodec.cli.failures import FAILED, Failure
from xcodec.cli.interruption import Interruption
from xcodec.cli.paths import Job
from xcodec.cli.places import Saved, StandardOutput, send
from xcodec.cli.progress import ProgressBar
from xcodec.errors import AudioError

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["OnProgress", "Run"]

OnProgress = Callable[[float], object]
"""Called with the seconds of audio that were just finished."""

GROUP_BATCHES = 4  # batches whose recordings are in memory at once: enough to sort by length, so that little is padded
GROUP_FILES = 256
PACKING_REPAID = 180.0
"""Seconds of audio for which packed weights save the time that packing takes: at the released size on two cores some
4.5 s for an encoder, which then saves a tenth of a quarter of a second in each second of audio."""


class Timed(Protocol):
    """Something with a duration: a recording, or its codes."""

    @property
    def duration(self) -> float:
        """In seconds."""


Input = TypeVar("Input", bound=Timed)
Output = TypeVar("Output", bound=Saved)


class Run(Generic[Input, Output]):
    """One command's work on many files.

    Args:
        verb: what is done, in the past tense, for the summary.
        read: from a job to its recording or codes, for this codec.
        load: the codec; called only if there is anything to do. Where its weights are not packed, they will be as soon
            as recordings are read that are long enough for it.
        transform: from several recordings or codes to as many results, in order; it tells its progress.
        batch_seconds: audio that the model takes at a time.
        ignore_unreadable: recordings that cannot be read are named and counted as left out, and fail nothing.
        to_standard_output: the result goes there, so that the summary goes to standard error.
    """

    def __init__(
        self,
        verb: str,
        read: Callable[["Codec", Job], Input],
        load: Callable[[], "Codec"],
        transform: Callable[["Codec", list[Input], OnProgress], Sequence[Output]],
        batch_seconds: float,
        *,
        ignore_unreadable: bool = False,
        to_standard_output: bool = False,
    ) -> None:
        self.verb = verb
        self.read = read
        self.load = load
        self.transform = transform
        self.group_seconds = GROUP_BATCHES * batch_seconds
        self.interruption = Interruption()
        self.ignore_unreadable = ignore_unreadable
        self.to_standard_output = to_standard_output
        self.failures: list[Failure] = []
        self.left_out: list[Failure] = []
        self.num_done = 0
        self.seconds_done = 0.0

    def do(self, jobs: Sequence[Job], failures: Sequence[Failure]) -> None:
        """Do the jobs, then report on them and on what had failed before.

        Raises:
            typer.Exit: where anything failed.
        """
        self.failures += failures
        started = time.perf_counter()
        if jobs:
            codec = self.load()
            started = time.perf_counter()
            with self.interruption, ProgressBar(self.verb, len(jobs) + len(failures), counted=True) as bar:
                progress = AudioProgress(bar)
                is_packed, seconds = False, 0.0
                for group in self.groups(codec, jobs):
                    seconds += sum(item.duration for _, item in group)
                    if not is_packed and seconds >= PACKING_REPAID:
                        codec.model.pack_weights()
                        is_packed = True
                    self.work(codec, group, progress)
                    progress.settle(self.num_done + len(self.failures) + len(self.left_out), self.seconds_done)
        self.report(time.perf_counter() - started)

    def groups(self, codec: "Codec", jobs: Sequence[Job]) -> Iterator[list[tuple[Job, Input]]]:
        """Read the files, as many at a time as may be in memory together."""
        group: list[tuple[Job, Input]] = []
        seconds = 0.0
        for job in jobs:
            try:
                item = self.read(codec, job)
            except Exception as error:
                self.fail(job, error)
                continue
            if group and (seconds + item.duration > self.group_seconds or len(group) == GROUP_FILES):
                yield group
                group, seconds = [], 0.0
            group.append((job, item))
            seconds += item.duration
        if group:
            yield group

    def work(self, codec: "Codec", group: Sequence[tuple[Job, Input]], progress: "AudioProgress") -> None:
        """Transform a group; where that fails, each of it alone, to find out which is at fault."""
        files_per_second = len(group) / sum(item.duration for _, item in group)

        def on_progress(seconds: float) -> None:
            progress.advance(seconds * files_per_second, seconds)
            self.interruption.check()

        try:
            results = self.transform(codec, [item for _, item in group], on_progress)
        except Exception as error:
            if len(group) == 1:
                self.fail(group[0][0], error)
                return
        else:
            for (job, item), result in zip(group, results, strict=True):
                self.write(job, item, result)
            return
        for pair in group:  # out of the handler, whose traceback would keep the failed group's memory
            self.work(codec, [pair], progress)

    def fail(self, job: Job, error: Exception) -> None:
        """Note why an input came to nothing."""
        ignored = self.ignore_unreadable and isinstance(error, AudioError)
        (self.left_out if ignored else self.failures).append(Failure.of(job.source, error))

    def write(self, job: Job, item: Input, result: Output) -> None:
        """Write a result, and the folder it belongs in."""
        try:
            if isinstance(job.target, StandardOutput):
                send(result, job.target)
            else:
                job.target.parent.mkdir(parents=True, exist_ok=True)
                result.save(job.target)
        except BrokenPipeError:  # whoever read standard output has had enough
            raise
        except Exception as error:
            self.failures.append(Failure.of(job.target, error))
        else:
            self.num_done += 1
            self.seconds_done += item.duration

    def report(self, elapsed: float) -> None:
        """Print what was left out and what failed, then one line in any case."""
        for left_out in self.left_out:
            errors().print(f"left out: {left_out}", style="yellow", soft_wrap=True, markup=False)
        for failure in self.failures:
            show_error(str(failure))
        total = self.num_done + len(self.failures) + len(self.left_out)
        summary = f"{self.verb} {self.num_done} of {total} file{'s' * (total != 1)}"
        if self.left_out:
            summary += f", {len(self.left_out)} left out as unreadable"
        if self.num_done:
            rate = self.seconds_done / elapsed
            summary += f": {spoken_seconds(self.seconds_done)} of audio in {spoken_seconds(elapsed)}, "
            summary += f"{rate:.{1 if rate < 100 else 0}f} audio-seconds per second"
        console = errors() if self.to_standard_output else output()
        console.print(summary, soft_wrap=True, markup=False)
        if self.failures:
            raise typer.Exit(FAILED)


class AudioProgress:
    """Files done, audio done and its speed, behind a bar."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._started = time.perf_counter()
        self._num_files = self._seconds = 0.0

    def advance(self, num_files: float, seconds: float) -> None:
        """Count what the model is through with, before it is written."""
        self._num_files += num_files
        self._seconds += seconds
        speed = self._seconds / (time.perf_counter() - self._started)
        self._bar.show(self._num_files, f"{spoken_seconds(self._seconds)} of audio, {speed:.1f} audio-s/s")

    def settle(self, num_files: int, seconds: float) -> None:
        """Set what is done for certain."""
        self._num_files, self._seconds = num_files, seconds
        self._bar.show(num_files)
