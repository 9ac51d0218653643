"""`xcodec evaluate`: recordings against what came back of them, in figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xcodec.cli.console import errors, output, show_error
from xcodec.cli.failures import FAILED, Failure
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import (
    Bandwidth,
    Compiled,
    Device,
    Dtype,
    IgnoreUnreadable,
    LocalInputs,
    Overwrite,
    Precision,
    load_codec,
)
from xcodec.cli.paths import find_files, home
from xcodec.cli.progress import ProgressBar
from xcodec.cli.values import not_empty, path_to_write
from xcodec.errors import InputError, MissingExtraError
from xcodec.files import written_whole

if TYPE_CHECKING:
    from xcodec.evaluation.clips import Clip
    from xcodec.evaluation.evaluation import Evaluation
    from xcodec.evaluation.metric import Metric, Missing
    from xcodec.evaluation.systems import System

__all__ = ["EPILOG", "HELP", "command"]

WIDEST = 1000  # columns; a table wider than the terminal is broken there, and loses nothing

HELP = """\
Measure how much of recordings a codec keeps.

Recordings are held against the reconstructions of one or more systems, on the
same clips in the same run:

  --model MODEL             a codec, which encodes and decodes them here; again
                            for more, and for other settings of the same:
                            MODEL@2 at 2 kbit/s, MODEL:int8 in that --dtype
  --reconstructions FOLDER  files that are there already, in a folder laid out
                            as the recordings are (`xcodec reconstruct` does)
  --baseline NAME           codec2:3200 (also 2400, 1600, 1400, 1300, 1200,
                            700C) or opus:6 (to 256 kbit/s)

[bold]What is measured[/bold]

  always         SI-SDR, mel distance, log-spectral distance, bitrate, and of a
                 model how its codebook is used
  with packages  STOI, ESTOI, PESQ-WB, PESQ-NB      'xcodec\\[eval]'
                 DNSMOS                             'xcodec\\[dnsmos]'
                 WER by pocketsphinx, where there are transcripts: --transcripts,
                 or transcripts.tsv or *.trans.txt beside the recordings
                                                    'xcodec\\[asr]'
  with models    WER (--asr), SIM (--speaker), UTMOS (--utmos)

What is missing is named, with how to get it. A metric that is not defined for a
clip, such as STOI of silence, is left out of its mean, and --json says why.

[bold]Examples[/bold]

  xcodec evaluate recordings/ -m mini --baseline codec2:3200 --baseline opus:6
  xcodec evaluate recordings/ -m mini -m mini:int8
  xcodec evaluate music/ -m hf-audio/xcodec-hubert-general@1 \\
    -m hf-audio/xcodec-hubert-general@2
  xcodec evaluate recordings/ -r again/ --html report.html --json report.json
  xcodec evaluate recordings/ -m my-model/ --asr facebook/hubert-large-ls960-ft"""

EPILOG = """\
A recording that cannot be read, or has no counterpart, is named at the end with
the reason; all others are measured.

[bold]Exit codes[/bold]  0: all done. 1: something failed. 2: wrong usage. 130: interrupted."""


@dataclass(frozen=True)
class SystemOptions:
    """What is evaluated."""

    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A checkpoint folder, a hub id, or the built-in mini; MODEL@KBPS and MODEL:TYPE say its bandwidth and "
            "--dtype. May be given again.",
            show_default=False,
            callback=lambda value: not_empty(value or []),
        ),
    ] = None
    folders: Annotated[
        list[str] | None,
        typer.Option(
            "--reconstructions",
            "-r",
            metavar="FOLDER",
            help="Reconstructions that are there already. May be given again.",
            show_default=False,
            callback=lambda value: not_empty(value or []),
        ),
    ] = None
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline", metavar="NAME", help="codec2:MODE or opus:KBPS. May be given again.", show_default=False
        ),
    ] = None
    bandwidth: Bandwidth = None

    def check(self) -> None:
        """Refuse to evaluate nothing.

        Raises:
            typer.BadParameter: says what to give.
        """
        if not (self.models or self.folders or self.baselines):
            raise typer.BadParameter("there is nothing to evaluate; give --model, --reconstructions or --baseline")


@dataclass(frozen=True)
class ReportOptions:
    """What is told of it, and where."""

    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write all figures as JSON.", show_default=False, parser=path_to_write
        ),
    ] = None
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page with players, spectrograms and codes, in one file.",
            show_default=False,
            parser=path_to_write,
        ),
    ] = None
    examples: Annotated[int, typer.Option(min=0, metavar="N", help="Clips to be heard on the page.")] = 12
    per_clip: Annotated[bool, typer.Option("--per-clip", help="Print every clip's scores too.")] = False

    def check(self, overwrite: bool) -> None:
        """See, before hours of measuring, whether reports can be written.

        Raises:
            InputError: where one exists already, or its folder does not.
            MissingExtraError: where what writes them is not installed.
        """
        for file in (self.json_file, self.html_file):
            if file is None:
                continue
            if file.is_dir():
                raise InputError("it is a folder", subject=file, remedy="give the name of a file")
            if file.exists() and not overwrite:
                raise InputError("exists already", subject=file, remedy="give --overwrite to replace it")
            if not file.parent.is_dir():
                raise InputError(f"the folder {file.parent} does not exist", subject=file, remedy="make it first")
        from xcodec.evaluation.selection import check_reports

        check_reports(self.html_file is not None)


@dataclass(frozen=True)
class MetricOptions:
    """What is measured besides what always is."""

    transcripts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a clip's name, a tab and what is said.", show_default=False),
    ] = None
    asr: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For WER: pocketsphinx, a transformers id or folder, or none; else pocketsphinx if installed.",
            show_default=False,
        ),
    ] = None
    speaker: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For SIM: a transformers id or folder with x-vectors.", show_default=False),
    ] = None
    utmos: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For UTMOS: its TorchScript file.", show_default=False)
    ] = None


@with_groups
def command(
    inputs: LocalInputs,
    chosen: SystemOptions,
    report: ReportOptions,
    measured: MetricOptions,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    compiled: Compiled = False,
    overwrite: Overwrite = False,
    ignore_unreadable: IgnoreUnreadable = False,
) -> None:
    """Measure how much of recordings a codec keeps."""
    chosen.check()
    report.check(overwrite)
    clips, failures = clips_in(inputs, measured.transcripts)
    metrics, missing = metrics_of(measured, clips, device)
    systems = [*load_systems(chosen, device, dtype, compiled), *load_baselines(chosen.baselines or [], missing)]
    result = measure(clips, systems, metrics, missing, report)
    show(result, report.per_clip)
    write_reports(result, report)
    unreadable = [failure for failure in result.failures if not failure.system]
    ignored = unreadable if ignore_unreadable else []
    for left_out in ignored:
        errors().print(f"left out: {left_out}", style="yellow", soft_wrap=True, markup=False)
    failed = [*failures, *(failure for failure in result.failures if failure not in ignored)]
    for failure in failed:
        show_error(str(failure))
    if unreadable or failures:
        output().print(f"Measured {len(clips) - len(unreadable)} of {len(clips) + len(failures)} recordings")
    show_left_over(systems)
    if failed or not (result.clips or unreadable):
        raise typer.Exit(FAILED)


def clips_in(inputs: list[str], transcripts: Path | None) -> "tuple[list[Clip], list[Failure]]":
    """The recordings to measure with, and what is no recording."""
    from xcodec.audio import MEDIA_SUFFIXES
    from xcodec.evaluation.clips import clips_of
    from xcodec.evaluation.transcripts import Transcripts

    found, failures = find_files(inputs, MEDIA_SUFFIXES)
    files = [(item.relative, item.source) for item in found if isinstance(item.source, Path)]
    return clips_of(files, Transcripts(transcripts)), failures


def metrics_of(options: MetricOptions, clips: "Sequence[Clip]", device: str) -> "tuple[list[Metric], list[Missing]]":
    """The metrics that can be taken, and how to get the others."""
    from xcodec.device import choose_device
    from xcodec.evaluation.selection import select_metrics

    return select_metrics(
        transcribed=any(clip.transcript is not None for clip in clips),
        recognizer=options.asr,
        speaker=options.speaker,
        utmos=options.utmos,
        device=choose_device(device),
    )


def measure(
    clips: "Sequence[Clip]",
    systems: "Sequence[System]",
    metrics: "Sequence[Metric]",
    missing: "Sequence[Missing]",
    report: ReportOptions,
) -> "Evaluation":
    """Take every clip through every system and metric, and show how far that is."""
    from xcodec.evaluation.clips import spread
    from xcodec.evaluation.evaluation import evaluate

    with Interruption() as interruption, ProgressBar("Measured", len(clips), counted=True) as bar:
        done = 0.0

        def advance(more: float) -> None:
            nonlocal done
            done += more
            bar.show(round(done, 6))
            interruption.check()

        examples = spread(clips, report.examples if report.html_file else 0)
        return evaluate(clips, systems, metrics, missing, examples, advance)


def write_reports(result: "Evaluation", report: ReportOptions) -> None:
    """Write the reports that are asked for."""
    if report.json_file is not None:
        from xcodec.evaluation.record import record

        write(report.json_file, json.dumps(record(result), indent=2, ensure_ascii=False) + "\n")
    if report.html_file is not None:
        from xcodec.evaluation.page import page

        write(report.html_file, page(result))


def show_left_over(systems: "Sequence[System]") -> None:
    """Print what folders of reconstructions hold that is no recording's counterpart."""
    from xcodec.evaluation.systems import Folder

    for folder in (system for system in systems if isinstance(system, Folder)):
        if extra := folder.left_over():
            names = ", ".join(str(path.relative_to(folder.path)) for path in extra[:3])
            more = " ..." if len(extra) > 3 else ""
            note = f"{folder.name}: what is no recording's counterpart was left out ({len(extra)}): {names}{more}"
            errors().print(Text(note), soft_wrap=True)


def load_systems(options: SystemOptions, device: str, dtype: Precision, compiled: bool) -> "list[System]":
    """Codecs and folders as systems; codecs that differ in bandwidth alone are loaded once."""
    from xcodec.evaluation.setting import Setting
    from xcodec.evaluation.systems import Folder, Model

    settings = [Setting.parse(name) for name in options.models or ()]
    wanted = [(setting.model, setting.precision or dtype) for setting in settings]
    codecs = {each: load_codec(each[0], device, each[1], compiled=compiled) for each in dict.fromkeys(wanted)}
    models = [
        Model(
            codecs[each],
            setting.text,
            setting.bandwidth or options.bandwidth,
            named_whole=setting.bandwidth is not None,
        )
        for setting, each in zip(settings, wanted, strict=True)
    ]
    return [*models, *(Folder(home(folder), folder) for folder in options.folders or ())]


def load_baselines(names: list[str], missing: "list[Missing]") -> "Iterator[System]":
    """The baselines whose programs are there; of the others, how to get them."""
    from xcodec.evaluation.baselines import baseline
    from xcodec.evaluation.metric import Missing

    for name in names:
        try:
            yield baseline(name)
        except MissingExtraError as error:
            missing.append(Missing(name, error.remedy or error.problem))


def show(result: "Evaluation", per_clip: bool) -> None:
    """Print the tables, and what is missing from them."""
    from xcodec.cli.evaluation_tables import codebook_tables, means_table, rows_tables

    if not result.clips:
        return
    console = output()
    console.width = max(console.width, WIDEST)
    for table in (means_table(result), *codebook_tables(result), *(rows_tables(result) if per_clip else ())):
        console.print(table)
    if result.missing:
        console.print("not measured:")
    for missing in result.missing:
        console.print(Text(f"  {missing.what}: {missing.how_to_get}"), soft_wrap=True)


def write(path: Path, text: str) -> None:
    """Write a report, whole or not at all, and say where it is."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    output().print(Text(f"wrote {path}"), soft_wrap=True)
