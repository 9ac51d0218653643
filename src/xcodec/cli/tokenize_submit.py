"""`xcodec tokenize submit`: a data set becomes codes on a cluster that Slurm runs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from xcodec.cli.console import output
from xcodec.cli.groups import retold
from xcodec.cli.options import IGNORE_UNREADABLE, Bandwidth, CodecOptions, Compiled
from xcodec.cli.paths import home, place
from xcodec.cli.places import STANDARD, is_remote
from xcodec.cli.tokenize_options import InputArguments, ObservationOptions, OutputOption, PlanOptions, ReadingOptions

if TYPE_CHECKING:
    from xcodec.tokenization.slurm import SlurmPlan

__all__ = ["SUBMIT_HELP", "submit"]

SUBMIT_HELP = """\
Submit the work to Slurm: a job that plans, an array of workers, and a job that checks.

Workers take shards until none is left, so there may be fewer or more of them
than shards. One whose time ends, or that is preempted, lets its shard go and is
put back into the queue. Submitted again, what is missing is done. INPUT, OUT and
the model have to be where the nodes see them.

[bold]Examples[/bold]

  xcodec tokenize submit /data/corpus -o /data/tokens -m /data/xcodec2 --workers 64
  xcodec tokenize submit -o /data/tokens -m /data/xcodec2 --workers 64   go on
  ... --gpus 0 --cpus 16 --time 12:00:00 --sbatch=--partition=long
  ... --image /images/xcodec.sif --dry-run
  xcodec tokenize status /data/tokens"""


class Cluster(str, Enum):
    """Who runs the jobs."""

    SLURM = "slurm"


@dataclass(frozen=True)
class SlurmOptions:
    """What is asked of Slurm."""

    engine: Annotated[Cluster, typer.Option("--engine", help="The scheduler.")] = Cluster.SLURM
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Tasks of the array, each with a model.")
    ] = 8
    gpus: Annotated[int, typer.Option("--gpus", min=0, metavar="N", help="Of each worker.")] = 1
    cpus: Annotated[int, typer.Option("--cpus", min=1, metavar="N", help="Processors of each worker.")] = 8
    time: Annotated[
        str | None, typer.Option("--time", metavar="TIME", help="Of a worker until it is put back, as 12:00:00.")
    ] = None
    sbatch: Annotated[
        list[str] | None,
        typer.Option("--sbatch", metavar="OPTION", help="A further #SBATCH line of all three, as --sbatch=--qos=low."),
    ] = None
    sbatch_worker: Annotated[
        list[str] | None, typer.Option("--sbatch-worker", metavar="OPTION", help="Likewise, of workers alone.")
    ] = None
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="FILE", help="Run in this Apptainer image, which holds an xcodec."),
    ] = None
    logs: Annotated[
        str | None, typer.Option("--logs", metavar="FOLDER", help="Of scripts and logs; else OUT/slurm.")
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts, and submit nothing.")] = False

    def program(self) -> list[str]:
        """The words in front of a command of ours."""
        if self.image is None:
            return [sys.executable, "-m", "xcodec"]
        return ["apptainer", "exec", *(["--nv"] if self.gpus else []), str(home(self.image).absolute()), "xcodec"]

    def worker_lines(self) -> list[str]:
        """What a worker asks for."""
        lines = [f"--gpus={self.gpus}"] if self.gpus else []
        lines += [f"--cpus-per-task={self.cpus}"]
        lines += [] if self.time is None else [f"--time={self.time}"]
        return lines + (self.sbatch_worker or [])


def submit(
    folder: OutputOption,
    inputs: InputArguments = None,
    *,
    slurm: SlurmOptions,
    planning: PlanOptions,
    ignore_unreadable: Annotated[
        bool, retold(IGNORE_UNREADABLE, "Recordings that cannot be read do not fail the check.")
    ] = False,
    shard_hours: Annotated[
        float | None,
        typer.Option("--shard-hours", min=0.0001, metavar="HOURS", help="Audio in a shard; else 1, or more."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do shards with failures again.")] = False,
    bandwidth: Bandwidth = None,
    codec: CodecOptions,
    compiled: Compiled = False,
    reading: ReadingOptions,
    observation: ObservationOptions,
) -> None:
    """Write the scripts and submit them."""
    from xcodec.tokenization.plan import Plan
    from xcodec.tokenization.stores import store_of

    planning.check(inputs)
    if STANDARD in (inputs or []):
        raise typer.BadParameter("a job has no standard input; write the list to a file that the nodes see")
    store = store_of(place(folder))
    if not inputs and not Plan.exists(store):
        raise typer.BadParameter(f"nothing is planned in {store} yet; give the INPUT")
    out = ["-o", str(place(folder))]
    here = [] if bandwidth is None else ["--bandwidth", str(bandwidth)]
    hours = [] if shard_hours is None else ["--shard-hours", str(shard_hours)]
    plan = [
        *("tokenize", "run", *out, *words_of(planning), *hours, *words_of(replace(codec, device="cpu")), *here),
        *(*words_of(reading), "--plan-only", "--ignore-unreadable", "--", *map(seen_by_nodes, inputs or [])),
    ]
    work = [
        *("tokenize", "run", *out, *words_of(codec), *here, *words_of(reading)),
        *(["--compile"] * compiled + ["--retry-failed"] * retry_failed),
        *words_of(replace(observation, metrics_file=None)),
    ]
    check = ["tokenize", "status", str(place(folder)), "--check", *(["--ignore-unreadable"] * ignore_unreadable)]
    jobs = _slurm_plan(slurm, plan if inputs else None, work, check, logs_of(slurm, folder), observation)
    if slurm.dry_run:
        for name, script in jobs.scripts().items():
            output().print(f"# {name}.sh\n{script}", soft_wrap=True, markup=False)
        return
    store.make()
    run = jobs.submit(store)
    named = ", ".join(f"{name} {number}" for name, number in run.ids.items())
    output().print(
        f"Submitted {named}; logs and scripts are in {run.logs}. `xcodec tokenize status {folder}` says how far it is",
        soft_wrap=True,
        markup=False,
    )


def _slurm_plan(
    slurm: SlurmOptions,
    plan: list[str] | None,
    work: list[str],
    check: list[str],
    logs: Path,
    observation: ObservationOptions,
) -> "SlurmPlan":
    from xcodec.tokenization.slurm import SlurmPlan

    return SlurmPlan(
        slurm.program(),
        plan,
        work,
        check,
        workers=slurm.workers,
        logs=logs,
        lines=slurm.sbatch or (),
        worker_lines=slurm.worker_lines(),
        metrics_file=observation.metrics_path,
    )


def seen_by_nodes(name: str) -> str:
    """What an input is called wherever a job runs: a path from the root on, or a URL."""
    return name if is_remote(name) else str(home(name).absolute())


def logs_of(slurm: SlurmOptions, folder: str) -> Path:
    """The folder of the logs.

    Raises:
        typer.BadParameter: where the output is no folder, and none is given.
    """
    if slurm.logs is not None:
        return home(slurm.logs).absolute()
    if is_remote(folder):
        raise typer.BadParameter("OUT is no folder, so give one for the logs with --logs")
    return home(folder).absolute() / "slurm"


def words_of(group: Any) -> list[str]:
    """The options that say what a group of options says, but for those that say nothing new."""
    hints = get_type_hints(type(group), include_extras=True)
    words: list[str] = []
    for field in fields(group):
        value = getattr(group, field.name)
        if value == field.default:
            continue
        option = next(each for each in hints[field.name].__metadata__ if hasattr(each, "param_decls"))
        spelt = (option.default, *option.param_decls)  # typer counts the first name as the default until it is used
        name = max((each for each in spelt if isinstance(each, str) and each.startswith("--")), key=len)
        values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
        for each in values:
            words += [name] if each is True else [name, str(each.value if isinstance(each, Enum) else each)]
    return words
