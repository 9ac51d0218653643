"""`xcodec tokenize`: a data set of audio -> Parquet files of codes; its status; its exports."""

import json
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xcodec.cli.console import errors, output, show_error, spoken_seconds
from xcodec.cli.failures import FAILED, Command
from xcodec.cli.interruption import Interruption
from xcodec.cli.manual import manual
from xcodec.cli.options import (
    BUILT_IN,
    Bandwidth,
    Compiled,
    Device,
    Dtype,
    Model,
    Precision,
    load_codec,
    not_empty,
    to_file,
)
from xcodec.cli.paths import home
from xcodec.cli.tokenize_progress import TokenizeProgress, show_plan, show_standing
from xcodec.errors import InputError

__all__ = ["app"]

HELP = """\
Tokenize a data set: recordings become Parquet files of codes.

What is to be done is planned once, in shards of about an hour; each shard is
one file that appears whole or not at all. After any crash, run the same command
again: only what is missing is done. Every recording is exactly once in the
output, with its codes, or as a failure with its reason.

  xcodec tokenize INPUT... -o OUT          plan and run, or go on
  xcodec tokenize status OUT               how far it is
  xcodec tokenize export OUT --to npy -o DIR

`xcodec tokenize run --help` has all that can be set. A folder that is itself
called status, export or run is ./status and so on."""

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
  'shards/*.tar'                  WebDataset
  dataset/                        a Hugging Face data set, by save_to_disk
  cuts.jsonl.gz                   cuts of Lhotse

Every audio or video file that is found becomes a row of the plan. One that
cannot be read, and whatever else in the input names no recording, is a failure
with its reason. Left out, the recordings that OUT was planned with are gone on with.

[bold]OUT[/bold] gets codes/*.parquet (id, codes, frames, seconds, source_rate and what
is carried), failures.parquet, plan.parquet, plan.json and status.json.

[bold]Examples[/bold]

  xcodec tokenize corpus/ -o tokens/ -m HKUSTAudio/xcodec2-hf
  xcodec tokenize train.jsonl -o tokens/ --root /data --batch-seconds 1200
  xcodec tokenize calls/ -o tokens/ --channel each     both sides of telephone calls
  find . -name '*.wav' | xcodec tokenize - -o tokens/
  xcodec tokenize -o tokens/ --part 3/8      the third of eight machines
  xcodec tokenize 's3://bucket/*.tar' -o /shared/tokens --engine ray"""

EPILOG = """\
[bold]Exit codes[/bold]  0: every recording has codes. 1: some have none, or something is
left. 2: wrong usage. 130: interrupted; run again to go on."""

EXPORT_HELP = """\
Write the codes of a finished output in another form.

  npy          OUT's ids as a tree of .npy files, shape (T,) or (K, T)
  webdataset   one tar for each shard: NUMBER.npy and NUMBER.json
  jsonl        codes.jsonl, an object for each recording
  llasa        the memory maps that LLaSA's training reads, with --tokenizer"""


class Engine(str, Enum):
    """Who does the shards."""

    LOCAL = "local"
    RAY = "ray"


class Form(str, Enum):
    """What codes are exported as."""

    NPY = "npy"
    WEBDATASET = "webdataset"
    JSONL = "jsonl"
    LLASA = "llasa"


class RunUnlessNamed(TyperGroup):
    """`xcodec tokenize INPUT` is `xcodec tokenize run INPUT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that is meant."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=RunUnlessNamed, help=manual(HELP), no_args_is_help=True, rich_markup_mode="rich")

Folder = Annotated[
    str,
    typer.Option("--output", "-o", metavar="OUT", help="Folder of the output.", show_default=False, callback=to_file),
]
OutputFolder = Annotated[
    str, typer.Argument(metavar="OUT", help="Folder of an output.", show_default=False, callback=not_empty)
]


def parse_part(text: str) -> tuple[int, int]:
    """Understand I/N, counted from 1, as (I - 1, N)."""
    first, _, count = text.partition("/")
    if first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
        return int(first) - 1, int(count)
    raise typer.BadParameter(f"'{text}': expected I/N with I from 1 to N, such as 3/8")


def channel_option(text: str) -> int | str | None:
    """Understand --channel."""
    from xcodec.tokenization.inputs.channels import parse_channel

    try:
        return parse_channel(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


@app.command("run", cls=Command, help=manual(RUN_HELP), epilog=manual(EPILOG), no_args_is_help=True)
def run(
    folder: Folder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT]...", help="What to tokenize.", show_default=False, callback=not_empty),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="FOLDER", help="What relative paths in manifests are relative to."),
    ] = None,
    channel: Annotated[
        str,
        typer.Option(
            "--channel",
            metavar="CHANNEL",
            help="Of recordings with several: left, right, a number from 0, mean, or each, which gives NAME.ch0, "
            "NAME.ch1 and so on. A manifest's own `channel` goes before.",
        ),
    ] = "mean",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Plan with a hash of each recording, and compare it when it is read; else size and time are.",
        ),
    ] = False,
    ignore_unreadable: Annotated[
        bool,
        typer.Option(
            "--ignore-unreadable", help="Recordings that cannot be read are listed, but do not make the exit code 1."
        ),
    ] = False,
    engine: Annotated[Engine, typer.Option("--engine", help="local: this machine. ray: a Ray cluster.")] = Engine.LOCAL,
    shard_hours: Annotated[
        float | None,
        typer.Option("--shard-hours", min=0.0001, metavar="HOURS", help="Audio in a shard; 1 if not given."),
    ] = None,
    part: Annotated[
        str, typer.Option("--part", metavar="I/N", help="Do only each N-th shard, from the I-th on.")
    ] = "1/1",
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Plan, and do nothing yet.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do shards with failures again, say after a disk came back.")
    ] = False,
    bandwidth: Bandwidth = None,
    model: Model = BUILT_IN,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    compiled: Compiled = False,
    batch_seconds: Annotated[
        float | None,
        typer.Option(
            "--batch-seconds",
            min=1.0,
            metavar="SECONDS",
            help="Padded audio that the model takes at once; 600 if not given, and 60 with --compile.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Reader processes per model; else half of the processors."),
    ] = None,
    file_seconds: Annotated[
        float,
        typer.Option("--file-seconds", min=0.1, metavar="SECONDS", help="What reading one file may take."),
    ] = 300.0,
    longest: Annotated[
        float,
        typer.Option("--longest", min=1.0, metavar="SECONDS", help="Audio that one recording may hold."),
    ] = 3600.0,
    actors: Annotated[
        int | None,
        typer.Option("--actors", min=1, metavar="N", help="ray: models side by side; else one per GPU."),
    ] = None,
    stall_minutes: Annotated[
        float,
        typer.Option("--stall-minutes", min=0.05, metavar="MINUTES", help="ray: silence until a shard is taken over."),
    ] = 30.0,
) -> None:
    """Tokenize a data set, or go on where a run stopped."""
    chosen_part = parse_part(part)
    chosen_channel = channel_option(channel)
    if not inputs and (verify or channel != "mean"):
        raise typer.BadParameter("--channel and --verify are for planning; give the INPUT")
    from xcodec.tokenization.engines.local import run_locally
    from xcodec.tokenization.engines.ray import RayEngine
    from xcodec.tokenization.inputs import Inputs
    from xcodec.tokenization.job import Job, default_workers
    from xcodec.tokenization.model import ModelChoice
    from xcodec.tokenization.readers import ReaderPool, ReadingLimits
    from xcodec.tokenization.run import prepare, tokenize
    from xcodec.tokenization.status import RunStatus

    job = Job(
        folder=home(folder).absolute(),
        model=ModelChoice(None if model == BUILT_IN else model, device, dtype, bandwidth, compiled),
        batch_seconds=batch_seconds or (60.0 if compiled else 600.0),
        workers=workers or default_workers(),
        limits=ReadingLimits(file_seconds, longest),
    )
    # With Ray, actors do the work; here the codec only tells which one it is, and takes no memory of a GPU.
    works_here = engine is Engine.LOCAL and not plan_only
    chosen_device = "cpu" if engine is Engine.RAY else device
    codec = load_codec(model, chosen_device, dtype, compiled=compiled and works_here, encoder_only=True)
    with errors().status("planning"), ReaderPool(job.workers, codec.sampling_rate, job.limits) as pool:
        options: dict[str, Any] = {"channel": chosen_channel, "count_channels": pool.channels, "hashed": verify}
        given = Inputs(inputs, root, **options) if inputs else None
        plan = prepare(job, codec, given, shard_hours)
    if plan_only:
        show_plan(plan.fingerprint, folder)
        raise typer.Exit(FAILED if plan.fingerprint.faults and not ignore_unreadable else 0)
    chosen = RayEngine(actors=actors, stall_seconds=60 * stall_minutes) if engine is Engine.RAY else run_locally
    with Interruption() as interruption, TokenizeProgress() as progress:

        def show(status: RunStatus) -> None:
            progress.show(status)
            interruption.check()

        status = tokenize(
            job, plan, codec, chosen, engine.value, chosen_part, retry_failed=retry_failed, on_status=show
        )
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
    if standing.failed:
        output().print(f"The failures are listed in {job.folder / 'failures.parquet'}", soft_wrap=True, markup=False)
    if standing.left or standing.failed > (standing.unreadable if ignore_unreadable else 0):
        raise typer.Exit(FAILED)


@app.command("status", cls=Command, help="Show how far an output is, and how the runs on it are doing.")
def status(
    folder: OutputFolder,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Show how far an output is."""
    from xcodec.tokenization.plan import Plan
    from xcodec.tokenization.status import Standing, read_runs

    plan = Plan(home(folder))
    standing, runs = Standing.of(plan), read_runs(plan.folder)
    if as_json:
        typer.echo(json.dumps({"standing": asdict(standing), "runs": [asdict(run) for run in runs]}))
    else:
        show_standing(standing, runs)
    plan.survey().check()


@app.command("export", cls=Command, help=manual(EXPORT_HELP), no_args_is_help=True)
def export(
    folder: OutputFolder,
    form: Annotated[Form, typer.Option("--to", help="What to write.", show_default=False)],
    destination: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.", callback=to_file),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="NAME", help="llasa: folder or hub id of the language model's tokenizer."),
    ] = None,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="llasa: the column with what is said.")] = (
        "text"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="llasa: replace rows that DIR holds.")] = False,
) -> None:
    """Write the codes of a finished output in another form."""
    from xcodec.tokenization.exports import EXPORTS, ExportReport
    from xcodec.tokenization.tokens import Tokens

    if overwrite and form is not Form.LLASA:
        raise typer.BadParameter(
            f"--overwrite is for --to llasa; for --to {form.value} remove what {destination} holds"
        )
    tokens = Tokens(home(folder))
    if form is Form.LLASA:
        if tokenizer is None:
            raise typer.BadParameter("--to llasa needs --tokenizer")
        from xcodec.tokenization.exports.llasa import LlasaReport, export_llasa

        report: LlasaReport | ExportReport = export_llasa(tokens, home(destination), tokenizer, text, overwrite)
    else:
        report = EXPORTS[form.value](tokens, home(destination))
    for failure in report.failures:
        show_error(f"{failure.id}: {failure.error}")
    output().print(f"Exported to {destination}: {report}", soft_wrap=True, markup=False)
    if report.failures:
        raise typer.Exit(FAILED)
