"""`xcodec evaluate`: recordings against what came back of them, in figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xcodec.cli.console import errors, output, show_error
from xcodec.cli.evaluation_systems import SystemOptions, load_baselines, load_systems, show_left_over
from xcodec.cli.failures import FAILED, Failure
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import (
    Compiled,
    Device,
    Dtype,
    IgnoreUnreadable,
    LocalInputs,
    Overwrite,
    Precision,
)
from xcodec.cli.paths import find_files
from xcodec.cli.progress import ProgressBar
from xcodec.cli.report_files import ReportFiles, write_report

if TYPE_CHECKING:
    from xcodec.evaluation.clips import Clip
    from xcodec.evaluation.evaluation import Evaluation
    from xcodec.evaluation.metric import Metric, Missing
    from xcodec.evaluation.systems.system import System

__all__ = ["EPILOG", "HELP", "command"]

CLIPS_A_WORKER = 4  # at least

HELP = """\
Measure how much of recordings a codec keeps.

Recordings are held against the reconstructions of one or more systems, on the
same clips in the same run:

  --model MODEL             a codec, which encodes and decodes them here; again
                            for more, and for other settings of the same:
                            MODEL@2 at 2 kbit/s, MODEL:int8 in that --dtype.
                            Also EnCodec, DAC, Mimi and others of transformers;
                            behind @ of DAC and Mimi is a number of codebooks
  --reconstructions FOLDER  files that are there already, in a folder laid out
                            as the recordings are (`xcodec reconstruct` does)
  --baseline NAME           codec2:3200 (also 2400, 1600, 1400, 1300, 1200,
                            700C) or opus:6 (to 256 kbit/s)
  --command TEXT            any program, as 'mycodec {in} {out}': WAV in, WAV
                            out; with {bitstream} its size is the bitrate

[bold]What is measured[/bold]

  always         SI-SDR, mel distance, log-spectral distance, bitrate, and of a
                 model how its codebook is used; tokens, operations and work a
                 second, parameters
  with packages  STOI, ESTOI, PESQ-WB, PESQ-NB      'xcodec\\[eval]'
                 DNSMOS                             'xcodec\\[dnsmos]'
                 DistillMOS                         'xcodec\\[distillmos]'
                 ViSQOL                             'xcodec\\[visqol]'
                 F0 correlation, voicing error      'xcodec\\[pitch]'
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
    -m hf-audio/xcodec-hubert-general@2 -m facebook/encodec_24khz@3 \\
    -m kyutai/mimi@8 -m descript/dac_16khz --command 'mycodec {in} {out}'
  xcodec evaluate recordings/ -r again/ --html report.html --json report.json
  xcodec evaluate recordings/ -m my-model/ --asr facebook/hubert-large-ls960-ft"""

EPILOG = """\
A recording that cannot be read, or has no counterpart, is named at the end with
the reason; all others are measured.

[bold]Exit codes[/bold]  0: all done. 1: something failed. 2: wrong usage. 130: interrupted."""


@dataclass(frozen=True)
class ReportOptions(ReportFiles):
    """What is told of it, and where."""

    examples: Annotated[int, typer.Option(min=0, metavar="N", help="Clips to be heard on the page.")] = 12
    per_clip: Annotated[bool, typer.Option("--per-clip", help="Print every clip's scores too.")] = False


@dataclass(frozen=True)
class MetricOptions:
    """What is measured besides what always is, and how."""

    transcripts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a clip's name, a tab and what is said.", show_default=False),
    ] = None
    asr: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="For WER and dWER: pocketsphinx, a transformers id or folder, faster-whisper:FOLDER, or none; else "
            "pocketsphinx if installed and there are transcripts. May be given again, for recognisers side by side.",
            show_default=False,
        ),
    ] = None
    language: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="What is spoken, such as en, de or zh: how texts are normalised, and whether words or, as of zh and "
            "ja, characters are counted.",
        ),
    ] = "en"
    speaker: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For SIM: a transformers id or folder with x-vectors.", show_default=False),
    ] = None
    utmos: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For UTMOS: its TorchScript file.", show_default=False)
    ] = None
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Leave out what is not wanted, or takes long: stoi, pesq, dnsmos, distillmos, pitch or visqol. May be "
            "given again.",
            show_default=False,
        ),
    ] = None
    match_level: Annotated[
        bool,
        typer.Option("--match-level", help="Bring reconstructions to the recordings' active level before measuring."),
    ] = False
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that measure beside the codecs; 0 for none. Without it one for each processor and four "
            "clips.",
            show_default=False,
        ),
    ] = None

    def num_workers(self, num_clips: int) -> int:
        """How many processes measure so many clips: starting one takes as long as measuring a few."""
        if self.workers is not None:
            return self.workers
        from xcodec.tokenization.job import num_processors

        return min(num_processors(), num_clips // CLIPS_A_WORKER)


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
    result = measure(clips, systems, metrics, missing, report, measured)
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
        recognizers=options.asr or (),
        language=options.language,
        speaker=options.speaker,
        utmos=options.utmos,
        without=options.without or (),
        device=choose_device(device),
    )


def measure(
    clips: "Sequence[Clip]",
    systems: "Sequence[System]",
    metrics: "Sequence[Metric]",
    missing: "Sequence[Missing]",
    report: ReportOptions,
    measured: MetricOptions,
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
        return evaluate(
            clips,
            systems,
            metrics,
            missing,
            examples,
            advance,
            count_macs=True,
            workers=measured.num_workers(len(clips)),
            match_level=measured.match_level,
        )


def write_reports(result: "Evaluation", report: ReportOptions) -> None:
    """Write the reports that are asked for."""
    if report.json_file is not None:
        from xcodec.evaluation.record import record

        write_report(report.json_file, json.dumps(record(result), indent=2, ensure_ascii=False) + "\n")
    if report.html_file is not None:
        from xcodec.evaluation.page import page

        write_report(report.html_file, page(result))


def show(result: "Evaluation", per_clip: bool) -> None:
    """Print the tables, and what is missing from them."""
    from xcodec.cli.evaluation_tables import WIDEST, codebook_tables, comparisons_table, means_table, rows_tables

    if not result.clips:
        return
    console = output()
    console.width = max(console.width, WIDEST)
    compared = comparisons_table(result)
    for table in (
        means_table(result),
        *([] if compared is None else [compared]),
        *codebook_tables(result),
        *(rows_tables(result) if per_clip else ()),
    ):
        console.print(table)
    if result.missing:
        console.print("not measured:")
    for missing in result.missing:
        console.print(Text(f"  {missing.what}: {missing.how_to_get}"), soft_wrap=True)
