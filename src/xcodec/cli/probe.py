"""`xcodec probe`: what changes a codec's codes, what they hold, and how they break, in figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xcodec.cli.console import output, show_error
from xcodec.cli.evaluate import clips_in
from xcodec.cli.evaluation_systems import SystemOptions, load_systems
from xcodec.cli.failures import FAILED
from xcodec.cli.groups import retold, with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import Compiled, Device, Dtype, Overwrite, Precision
from xcodec.cli.progress import ProgressBar
from xcodec.cli.report_files import HTML, ReportFiles, write_report
from xcodec.cli.values import from_files, not_empty

if TYPE_CHECKING:
    from xcodec.evaluation.clips import Clip
    from xcodec.evaluation.metric import Missing
    from xcodec.probing.coder import Coder
    from xcodec.probing.probe import Probe
    from xcodec.probing.run import Probing

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Probe a codec's codes: what changes them, what they hold, and how they break.

MODEL is a checkpoint folder, a hub id or a built-in model, also of
transformers' other codecs; MODEL@RATE and MODEL:TYPE say its bandwidth or number
of codebooks, and --dtype. Several are probed on the same clips, and compared.

[bold]Probes[/bold]

  robustness  unit edit distance under noise, gain, resampling and MP3
  shift       codes of a recording that begins a little later
  repetition  ten generations of encoding and decoding
  damage      flipped bits and lost frames
  usage       entropy, bits used of bits paid, Zipf exponent
  phones      phone purity, mutual information, bits a phone; where there are
              transcripts (--transcripts, or transcripts.tsv or *.trans.txt
              beside the recordings), of one --language    'xcodec\\[train]'
  abx         ABX error rates of phones, likewise
  speaker     a linear probe that tells the speaker: by --speakers, or by the
              folders in FOLDER, one for each
  predictability
              bits a second of a small language model that learns the codes

docs/probe.md says what each figure can and cannot say. What is missing is named,
with how to get it.

[bold]Examples[/bold]

  xcodec probe mini --data recordings/
  xcodec probe mini mini:int8 --data recordings/ --probe robustness --probe shift
  xcodec probe my-model/ hf-audio/xcodec-hubert-general@2 kyutai/mimi@8 \\
    --data recordings/ --html probe.html --json probe.json"""

EPILOG = """\
A recording that cannot be read or encoded is named at the end with the reason; all
others are measured.

[bold]Exit codes[/bold]  0: all done. 1: something failed. 2: wrong usage. 130: interrupted."""


@dataclass(frozen=True)
class ProbeReport(ReportFiles):
    """What is told of it, and where."""

    html_file: Annotated[Path | None, retold(HTML, "Write a page with tables and plots, in one file.")] = None


@dataclass(frozen=True)
class ProbeOptions:
    """What is probed, and with what."""

    data: Annotated[
        list[str],
        typer.Option(
            metavar="FOLDER",
            help="Recordings: a folder (searched to any depth), a file or a glob pattern. May be given again.",
            show_default=False,
            callback=from_files,
        ),
    ]
    probes: Annotated[
        list[str] | None,
        typer.Option(
            "--probe", metavar="NAME", help="One of the probes alone. May be given again.", show_default=False
        ),
    ] = None
    clips: Annotated[
        int, typer.Option(min=1, metavar="N", help="Recordings at most, evenly spaced from the first to the last.")
    ] = 100
    transcripts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines of a clip's name, a tab and what is said.", show_default=False),
    ] = None
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Of the transcripts, as espeak-ng calls it: en-us, de, fr, cmn ...")
    ] = "en-us"
    speakers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lines of a clip's name, a tab and who speaks; else the first folder below FOLDER says it.",
            show_default=False,
        ),
    ] = None
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps that the language model learns.")] = 300


@with_groups
def command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Codecs, each MODEL, MODEL@RATE, MODEL:TYPE or MODEL@RATE:TYPE.",
            show_default=False,
            callback=not_empty,
        ),
    ],
    options: ProbeOptions,
    report: ProbeReport,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    compiled: Compiled = False,
    overwrite: Overwrite = False,
) -> None:
    """Probe a codec's codes."""
    from xcodec.evaluation.clips import spread
    from xcodec.probing.selection import check_names

    report.check(overwrite)
    check_names(options.probes or ())
    clips, failures = clips_in(options.data, options.transcripts)
    chosen = spread(clips, options.clips)
    clips = [clip for clip in clips if clip.name in chosen]
    coders = load_coders(models, device, dtype, compiled)
    probes, missing = probes_of(options, clips, coders)
    result = measure(clips, coders, probes, missing)
    show(result)
    write_reports(result, report)
    failed = [*failures, *result.evaluation.failures]
    for failure in failed:
        show_error(str(failure))
    if failed or not result.evaluation.clips:
        raise typer.Exit(FAILED)


def load_coders(models: Sequence[str], device: str, dtype: Precision, compiled: bool) -> "list[Coder]":
    """Load the codecs, each once whatever is asked of it."""
    from xcodec.probing.coder import coder_of

    systems = load_systems(SystemOptions(models=list(models)), device, dtype, compiled)
    return [coder_of(system) for system in systems]


def probes_of(
    options: ProbeOptions, clips: "Sequence[Clip]", coders: "Sequence[Coder]"
) -> "tuple[list[Probe], list[Missing]]":
    """The probes that are asked for and can be made, and how to get the others."""
    from xcodec.evaluation.transcripts import Transcripts
    from xcodec.probing.selection import select_probes
    from xcodec.probing.speaker import speakers_of

    table = None if options.speakers is None else Transcripts(options.speakers)
    depth = max(len(coder.codebook_sizes) for coder in coders)
    return select_probes(options.probes or (), depth, speakers_of(clips, table), options.language, options.steps)


def measure(
    clips: "Sequence[Clip]", coders: "Sequence[Coder]", probes: "Sequence[Probe]", missing: "Sequence[Missing]"
) -> "Probing":
    """Put every clip of every codec through every probe, and show how far that is."""
    from xcodec.probing.run import probe_codecs

    steps = 1000 * len(coders)
    with Interruption() as interruption, ProgressBar("Probed", steps) as bar:
        done = 0.0

        def advance(more: float) -> None:
            nonlocal done
            done += more
            bar.show(round(1000 * done))
            interruption.check()

        return probe_codecs(clips, coders, probes, missing, advance)


def show(result: "Probing") -> None:
    """Print the tables, and what is missing from them."""
    from xcodec.cli.evaluation_tables import WIDEST, comparisons_table
    from xcodec.cli.probe_tables import codecs_table, probe_tables

    if not result.evaluation.clips:
        return
    console = output()
    console.width = max(console.width, WIDEST)
    console.print(codecs_table(result))
    for table in probe_tables(result):
        console.print(table)
    compared = comparisons_table(result.evaluation)
    if compared is not None:
        console.print(compared)
    if result.evaluation.missing:
        console.print("not measured:")
    for missing in result.evaluation.missing:
        console.print(Text(f"  {missing.what}: {missing.how_to_get}"), soft_wrap=True)
    for text in result.left_out():
        console.print(Text(text), soft_wrap=True)


def write_reports(result: "Probing", report: ProbeReport) -> None:
    """Write the reports that are asked for."""
    if report.json_file is not None:
        from xcodec.probing.record import record

        write_report(report.json_file, json.dumps(record(result), indent=2, ensure_ascii=False) + "\n")
    if report.html_file is not None:
        from xcodec.probing.page import page

        write_report(report.html_file, page(result))
