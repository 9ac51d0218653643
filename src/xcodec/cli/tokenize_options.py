"""The options of `xcodec tokenize` that no other command has, in groups."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from xcodec.cli.groups import retold
from xcodec.cli.options import CHANNEL

__all__ = ["Engine", "PlanOptions", "RayOptions", "ReadingOptions", "ShardOptions"]


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

    def check(self, inputs: list[str] | None) -> None:
        """Refuse options that have no effect, since the plan is made.

        Raises:
            typer.BadParameter: says what to give.
        """
        if not inputs and (self.verify or self.texts or self.channel != "mean"):
            raise typer.BadParameter("--channel, --verify and --texts are for planning; give the INPUT")


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

    def chosen_part(self) -> tuple[int, int]:
        """Understand I/N, counted from 1, as (I - 1, N).

        Raises:
            typer.BadParameter: where it is something else.
        """
        first, _, count = self.part.partition("/")
        if first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
            return int(first) - 1, int(count)
        raise typer.BadParameter(f"'{self.part}': expected I/N with I from 1 to N, such as 3/8")


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
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Reader processes per model; else half of the processors."),
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
class RayOptions:
    """How a Ray cluster is used."""

    actors: Annotated[
        int | None,
        typer.Option("--actors", min=1, metavar="N", help="ray: models side by side; else one per GPU."),
    ] = None
    stall_minutes: Annotated[
        float,
        typer.Option("--stall-minutes", min=0.05, metavar="MINUTES", help="ray: silence until a shard is taken over."),
    ] = 30.0
