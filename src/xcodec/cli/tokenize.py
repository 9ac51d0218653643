"""`xcodec tokenize`: a data set of audio -> Parquet files of codes; its status; its exports."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from xcodec.built_in import MINI
from xcodec.cli.console import errors, output
from xcodec.cli.failures import FAILED, Command
from xcodec.cli.groups import retold, with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.manual import manual
from xcodec.cli.options import IGNORE_UNREADABLE, Bandwidth, CodecOptions, Compiled, OutputFolder
from xcodec.cli.paths import place
from xcodec.cli.progress import ProgressBar
from xcodec.cli.tokenize_export import EXPORT_HELP, export
from xcodec.cli.tokenize_options import (
    Engine,
    InputArguments,
    ObservationOptions,
    OutputOption,
    PlanOptions,
    RayOptions,
    ReadingOptions,
    ShardOptions,
)
from xcodec.cli.tokenize_progress import (
    show_jobs,
    show_plan,
    show_progress,
    show_standing,
    show_summary,
    show_trial,
)
from xcodec.cli.tokenize_report import REPORT_HELP, report
from xcodec.cli.tokenize_submit import SUBMIT_HELP, submit
from xcodec.cli.tokenize_verify import VERIFY_EPILOG, VERIFY_HELP, verify

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.tokenization.job import Job
    from xcodec.tokenization.plan import Plan
    from xcodec.tokenization.run import Engine as EngineRun
    from xcodec.tokenization.status import RunStatus, Standing

__all__ = ["app"]

HELP = """\
Tokenize a data set: recordings become Parquet files of codes.

What is to be done is planned once, in shards of an hour or more; each shard
is one file that appears whole or not at all. After any crash, run the same command
again: only what is missing is done. Every recording is exactly once in the
output, with its codes, or as a failure or left out, with the reason.

  xcodec tokenize INPUT... -o OUT          plan and run, or go on
  xcodec tokenize status OUT               how far it is
  xcodec tokenize verify OUT               whether it is whole and right
  xcodec tokenize report OUT -o report.html
  xcodec tokenize export OUT --to npy -o DIR

`xcodec tokenize run --help` has all that can be set. A folder that is itself
called status, verify, report, export or run is ./status and so on."""

RUN_HELP = """\
Tokenize a data set, or go on where a run stopped.

[bold]INPUT[/bold] is any of these, on this machine or wherever fsspec reaches (s3://,
gs://, hf://, ...):

  recordings/ 'corpus/**/*.flac'  folders, files and patterns of recordings
  data.jsonl .csv .tsv .parquet   a manifest: `path`, and if you like `id`,
                                  `start`, `duration`, `text` and any others,
                                  which are carried to the output
  list.txt .lst .list wav.scp -   a path on each line; Kaldi's id and path; -
                                  is such a list, or JSON lines, on stdin
  'data/*.parquet'                the same with the audio inside, as on the Hub
  'shards/*.tar'                  WebDataset
  dataset/                        a Hugging Face data set, by save_to_disk
  cuts.jsonl.gz                   cuts of Lhotse

Every audio or video file that is found becomes a row of the plan. One that
cannot be read, and whatever else in the input names no recording, is a failure
with its reason. Left out, the recordings that OUT was planned with are gone on with.

[bold]OUT[/bold], a folder or a prefix such as s3://bucket/tokens, gets codes/*.parquet (id,
codes, frames, seconds, source_rate and what is carried), failures.parquet,
plan.parquet, plan.json and status.json; with --where and --dedupe also
excluded.parquet, what was left out and why.

[bold]Examples[/bold]

  xcodec tokenize corpus/ -o tokens/ -m HKUSTAudio/xcodec2-hf
  xcodec tokenize train.jsonl -o tokens/ --root /data --batch-seconds 1200
  xcodec tokenize books/ -o tokens/ --segment-seconds 30 --where 'snr > 15'
  xcodec tokenize calls/ -o tokens/ --channel each     both sides of telephone calls
  find . -name '*.wav' | xcodec tokenize - -o tokens/
  xcodec tokenize -o tokens/ --part 3/8      the third of eight machines
  xcodec tokenize s3://bucket/calls -o s3://bucket/tokens
  xcodec tokenize 's3://bucket/*.tar' -o /shared/tokens --engine ray"""

EPILOG = """\
[bold]Exit codes[/bold]  0: every recording has codes. 1: some have none, or something is
left. 2: wrong usage. 130: interrupted; run again to go on."""


class RunUnlessNamed(TyperGroup):
    """`xcodec tokenize INPUT` is `xcodec tokenize run INPUT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that is meant."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=RunUnlessNamed, help=manual(HELP), no_args_is_help=True, rich_markup_mode="rich")


@app.command("run", cls=Command, help=manual(RUN_HELP), epilog=manual(EPILOG), no_args_is_help=True)
@with_groups
def run(
    folder: OutputOption,
    inputs: InputArguments = None,
    *,
    planning: PlanOptions,
    ignore_unreadable: Annotated[
        bool, retold(IGNORE_UNREADABLE, "Recordings that cannot be read are listed, but do not make the exit code 1.")
    ] = False,
    shards: ShardOptions,
    bandwidth: Bandwidth = None,
    codec: CodecOptions,
    compiled: Compiled = False,
    reading: ReadingOptions,
    ray: RayOptions,
    observation: ObservationOptions,
) -> None:
    """Tokenize a data set, or go on where a run stopped."""
    shards.check()
    planning.check(inputs)
    models = num_models(shards, codec)
    job = job_of(folder, codec, bandwidth, compiled, reading, models)
    # Where actors or further processes do the work, the codec here only tells which one it is, and takes no GPU.
    alone = shards.engine is Engine.LOCAL and models == 1
    works_here = alone and not shards.plan_only
    here = codec if alone else replace(codec, device="cpu")
    loaded = here.load(compiled=compiled and works_here, encoder_only=True)
    plan = planned(job, loaded, inputs, planning, shards.shard_hours)
    if shards.plan_only:
        show_plan(plan, folder)
        if shards.trial is not None:
            from xcodec.tokenization.trial import Trial

            show_trial(Trial.run(job, plan, loaded, shards.trial), plan.fingerprint)
        raise typer.Exit(FAILED if plan.fingerprint.faults and not ignore_unreadable else 0)
    engine = engine_of(shards, ray, models)
    status = tokenized(job, plan, loaded, engine, shards, observation.metrics_path)
    show_summary(status)
    standing = status.standing
    if shards.worker is not None:  # what is left is the others'
        return
    if standing.failed:
        output().print(
            f"The failures are listed in {plan.store.called('failures.parquet')}", soft_wrap=True, markup=False
        )
    if standing.excluded:
        output().print(
            f"What was left out is listed in {plan.store.called('excluded.parquet')}", soft_wrap=True, markup=False
        )
    if is_incomplete(standing, ignore_unreadable):
        raise typer.Exit(FAILED)


def num_models(shards: ShardOptions, codec: CodecOptions) -> int:
    """How many models work on this machine, each in a process of its own if there are several."""
    if shards.engine is not Engine.LOCAL or shards.plan_only or shards.worker is not None or shards.part != "1/1":
        return 1
    if shards.workers is not None:
        return shards.workers
    from xcodec.tokenization.engines.processes import visible_gpus

    return max(1, len(visible_gpus())) if codec.device in ("auto", "cuda") else 1


def engine_of(shards: ShardOptions, options: RayOptions, models: int) -> "EngineRun":
    """Who does the shards."""
    from xcodec.tokenization.engines.local import run_locally
    from xcodec.tokenization.engines.processes import Processes
    from xcodec.tokenization.engines.ray import RayEngine

    if shards.engine is Engine.RAY:
        return RayEngine(actors=shards.workers, stall_seconds=60 * options.stall_minutes)
    return run_locally if models == 1 else Processes(models)


def job_of(
    folder: str, codec: CodecOptions, bandwidth: float | None, compiled: bool, reading: ReadingOptions, models: int = 1
) -> "Job":
    """What is to be done, as the options say, by so many models on this machine."""
    from xcodec.tokenization.job import Job, default_workers
    from xcodec.tokenization.model import ModelChoice
    from xcodec.tokenization.readers import ReadingLimits

    model = None if codec.model == MINI else codec.model
    return Job(
        folder=place(folder),
        model=ModelChoice(model, codec.device, codec.dtype, bandwidth, compiled),
        batch_seconds=reading.batch_seconds or (60.0 if compiled else 600.0),
        workers=reading.readers or default_workers(models),
        limits=ReadingLimits(reading.file_seconds, reading.longest),
    )


def planned(
    job: "Job", codec: "Codec", inputs: list[str] | None, options: PlanOptions, shard_hours: float | None
) -> "Plan":
    """Plan the inputs, or take up the plan that is there."""
    from xcodec.tokenization.inputs import Inputs
    from xcodec.tokenization.inputs.channels import parse_channel
    from xcodec.tokenization.readers import ReaderPool
    from xcodec.tokenization.run import prepare

    with errors().status("planning"), ReaderPool(job.workers, codec.sampling_rate, job.limits) as pool:
        given = None
        if inputs:
            given = Inputs(
                inputs,
                options.root,
                channel=parse_channel(options.channel),
                count_channels=pool.channels,
                hashed=options.verify,
                texts=options.texts,
            )
        return prepare(job, codec, given, shard_hours, options.treatment)


def tokenized(
    job: "Job", plan: "Plan", codec: "Codec", engine: "EngineRun", shards: ShardOptions, metrics_file: Path | None
) -> "RunStatus":
    """Do the shards, and show how far they are."""
    from xcodec.tokenization.run import tokenize

    with Interruption() as interruption, ProgressBar("Tokenizing") as bar:
        bar.show(text="reading")

        def show(status: "RunStatus") -> None:
            show_progress(bar, status)
            interruption.check()

        return tokenize(
            job,
            plan,
            codec,
            engine,
            shards.engine.value,
            shards.chosen_part(),
            worker=shards.chosen_worker(),
            retry_failed=shards.retry_failed,
            on_status=show,
            metrics_file=metrics_file,
        )


app.command("submit", cls=Command, help=manual(SUBMIT_HELP), no_args_is_help=True)(with_groups(submit))


@app.command("status", cls=Command, help="Show how far an output is, and how the runs on it are doing.")
def status(
    folder: OutputFolder,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Gather anew what has no codes; the exit code is 1 where any is left, or has failed."
        ),
    ] = False,
    ignore_unreadable: Annotated[
        bool, retold(IGNORE_UNREADABLE, "With --check: recordings that cannot be read do not count.")
    ] = False,
) -> None:
    """Show how far an output is."""
    from xcodec.tokenization.plan import Plan
    from xcodec.tokenization.run import write_lists
    from xcodec.tokenization.slurm import SlurmRun
    from xcodec.tokenization.status import Standing, read_runs

    plan = Plan(place(folder))
    standing, runs, slurm = Standing.of(plan), read_runs(plan.store), SlurmRun.of(plan.store)
    jobs = [] if slurm is None else slurm.jobs()
    if as_json:
        told = {"standing": asdict(standing), "runs": [asdict(run) for run in runs]}
        typer.echo(json.dumps(told | ({} if slurm is None else {"slurm": [asdict(job) for job in jobs]})))
    else:
        show_standing(standing, runs)
        show_jobs(slurm, jobs)
    plan.survey().check()
    if check:
        write_lists(plan)
        if is_incomplete(standing, ignore_unreadable):
            raise typer.Exit(FAILED)


def is_incomplete(standing: "Standing", ignore_unreadable: bool) -> bool:
    """Whether anything is left, or has failed in a way that counts."""
    return bool(standing.left or standing.failed > (standing.unreadable if ignore_unreadable else 0))


app.command("verify", cls=Command, help=manual(VERIFY_HELP), epilog=manual(VERIFY_EPILOG), no_args_is_help=True)(verify)
app.command("report", cls=Command, help=manual(REPORT_HELP), no_args_is_help=True)(report)
app.command("export", cls=Command, help=manual(EXPORT_HELP), no_args_is_help=True)(export)
