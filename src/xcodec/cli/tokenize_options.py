"""The options of `xcodec tokenize` that no other command has, in groups."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.groups import retold
from xcodec.cli.log_lines import LogFormat
from xcodec.cli.options import CHANNEL, SEGMENT_SECONDS
from xcodec.cli.paths import home
from xcodec.cli.values import known_conditions, not_empty, to_store

if TYPE_CHECKING:
    from xcodec.tokenization.treatment import Treatment

__all__ = [
    "Engine",
    "InputArguments",
    "ObservationOptions",
    "OutputOption",
    "PlanOptions",
    "RayOptions",
    "ReadingOptions",
    "ShardOptions",
]

OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="OUT", help="Folder of the output.", show_default=False, callback=to_store),
]
InputArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[INPUT]...", help="What to tokenize.", show_default=False, callback=not_empty),
]


class Dedupe(str, Enum):
    """By what duplicates are found."""

    AUDIO = "audio"


class Engine(str, Enum):
    """Who does the shards."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class PlanOptions:
    """What is planned of the inputs."""

    root: Annotated[
        str | None,
        typer.Option("--root", metavar="FOLDER", help="What relative paths in manifests are relative to."),
    ] = None
    channel: Annotated[
        str,
        retold(
            CHANNEL,
            "Of recordings with several: left, right, a number from 0, mean, or each, which gives NAME.ch0, "
            "NAME.ch1 and so on. A manifest's own `channel` goes before.",
        ),
    ] = "mean"
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Plan with a hash of each recording, and compare it when it is read; else size and time are.",
        ),
    ] = False

    texts: Annotated[
        bool,
        typer.Option(
            "--texts",
            help="Carry `text`, `speaker`, `language` from beside a recording: a.normalized.txt, a.txt, a.json.",
        ),
    ] = False

    quality: Annotated[
        bool,
        typer.Option(
            "--quality", help="Write figures of each row: rms, peak, clipping, silence, snr, bandwidth, speech."
        ),
    ] = False
    where: Annotated[
        str,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Leave out what does not meet it, such as 'snr > 15 and clipping < 0.01'. Besides the figures there "
            "are seconds and source_rate.",
            show_default=False,
            callback=known_conditions,
        ),
    ] = ""
    dedupe: Annotated[
        Dedupe | None,
        typer.Option("--dedupe", help="audio: of rows with the same samples keep the first.", show_default=False),
    ] = None
    segment_seconds: Annotated[
        float | None,
        retold(
            SEGMENT_SECONDS,
            "Cut longer recordings at pauses into rows of at most so much, with `parent`, `start`, `end`.",
        ),
    ] = None

    def check(self, inputs: list[str] | None) -> None:
        """Refuse options that have no effect, since the plan is made.

        Raises:
            typer.BadParameter: says what to give.
        """
        if not inputs and self != PlanOptions(root=self.root):
            names = "--channel, --verify, --texts, --quality, --where, --dedupe and --segment-seconds"
            raise typer.BadParameter(f"{names} are for planning; give the INPUT")

    @property
    def treatment(self) -> "Treatment":
        """What is done to recordings besides encoding."""
        from xcodec.tokenization.treatment import Treatment

        dedupe = None if self.dedupe is None else self.dedupe.value
        return Treatment(self.quality, self.where, dedupe, self.segment_seconds)


@dataclass(frozen=True)
class ShardOptions:
    """Which shards are done, and by whom."""

    engine: Annotated[Engine, typer.Option("--engine", help="local: this machine. ray: a Ray cluster.")] = Engine.LOCAL
    shard_hours: Annotated[
        float | None,
        typer.Option(
            "--shard-hours",
            min=0.0001,
            metavar="HOURS",
            help="Audio in a shard; else 1, and more in large data sets.",
        ),
    ] = None
    part: Annotated[str, typer.Option("--part", metavar="I/N", help="Do only each N-th shard, from the I-th on.")] = (
        "1/1"
    )
    worker: Annotated[
        str | None,
        typer.Option(
            "--worker",
            metavar="I/N",
            help="One of N that take shards until none is left; 0 is the exit code where its own work went well.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Models side by side; else one, or one for each GPU."),
    ] = None
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Plan, and do nothing yet.")] = False
    trial: Annotated[
        float | None,
        typer.Option("--trial", min=1.0, metavar="SECONDS", help="With --plan-only: try for so long how fast it goes."),
    ] = None
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do shards with failures again, say after a disk came back.")
    ] = False

    def check(self) -> None:
        """Refuse a trial of what is to be run.

        Raises:
            typer.BadParameter: says what to give.
        """
        if self.trial is not None and not self.plan_only:
            raise typer.BadParameter("--trial is for --plan-only; a run says itself how fast it goes")
        self.chosen_part(), self.chosen_worker()
        if self.worker is not None and (self.part != "1/1" or self.engine is not Engine.LOCAL or self.workers):
            raise typer.BadParameter("--worker is one of many already; give no --part, --engine or --workers")
        if self.part != "1/1" and self.engine is Engine.LOCAL and (self.workers or 1) > 1:
            raise typer.BadParameter("--workers share all shards; give --part to runs of one worker each")

    def chosen_part(self) -> tuple[int, int]:
        """Understand --part.

        Raises:
            typer.BadParameter: where it is no I/N.
        """
        return one_of(self.part)

    def chosen_worker(self) -> tuple[int, int] | None:
        """Understand --worker, where it is given.

        Raises:
            typer.BadParameter: where it is no I/N.
        """
        return None if self.worker is None else one_of(self.worker)


def one_of(text: str) -> tuple[int, int]:
    """Understand I/N, counted from 1, as (I - 1, N).

    Raises:
        typer.BadParameter: where it is something else.
    """
    first, _, count = text.partition("/")
    if first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
        return int(first) - 1, int(count)
    raise typer.BadParameter(f"'{text}': expected I/N with I from 1 to N, such as 3/8")


@dataclass(frozen=True)
class ReadingOptions:
    """How recordings are read and put together."""

    batch_seconds: Annotated[
        float | None,
        typer.Option(
            "--batch-seconds",
            min=1.0,
            metavar="SECONDS",
            help="Padded audio that the model takes at once; 600 if not given, and 60 with --compile.",
        ),
    ] = None
    readers: Annotated[
        int | None,
        typer.Option("--readers", min=1, metavar="N", help="Reader processes per model; else half of the processors."),
    ] = None
    file_seconds: Annotated[
        float,
        typer.Option("--file-seconds", min=0.1, metavar="SECONDS", help="What reading one file may take."),
    ] = 300.0
    longest: Annotated[
        float,
        typer.Option("--longest", min=1.0, metavar="SECONDS", help="Audio that one recording may hold."),
    ] = 3600.0


@dataclass(frozen=True)
class ObservationOptions:
    """What a run tells machines."""

    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--log-format",
            help="json: what happens, as JSON lines on standard error; else errors alone.",
        ),
    ] = LogFormat.TEXT
    metrics_file: Annotated[
        str | None,
        typer.Option(
            "--metrics-file",
            metavar="FILE",
            help="How the run is doing, for Prometheus: node_exporter's textfile collector reads *.prom.",
        ),
    ] = None

    @property
    def metrics_path(self) -> Path | None:
        """The file of the metrics, if there is to be one."""
        return None if self.metrics_file is None else home(self.metrics_file)


@dataclass(frozen=True)
class RayOptions:
    """How a Ray cluster is used."""

    stall_minutes: Annotated[
        float,
        typer.Option("--stall-minutes", min=0.05, metavar="MINUTES", help="ray: silence until a shard is taken over."),
    ] = 30.0
