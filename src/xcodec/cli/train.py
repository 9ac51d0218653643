"""`xcodec train`: a recipe and audio -> a codec."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xcodec.cli.console import errors
from xcodec.cli.failures import INTERRUPTED
from xcodec.cli.interruption import StopRequest
from xcodec.cli.values import not_empty, path_to_write
from xcodec.device import Precision

if TYPE_CHECKING:
    from xcodec.training.monitor import StepReport

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Train a codec by a recipe: from nothing, from a checkpoint, or on from where the
run in OUT was left.

RECIPE is a YAML file, or the name of one that comes with the package: mini,
xcodec2, xcodec, xcodec2-finetune, xcodec2-decoder. A key that no recipe has is
an error; --set key=value replaces what the recipe says, with dots into its
sections.

A run may be interrupted at any time (Ctrl-C, SIGTERM, --minutes, a crash), while
it makes speech too, and goes on as if it had not been. Ctrl-C ends it after the
step; a second one at once, and what came after the last checkpoint is lost.
Several processes train together when torchrun starts them. With tensorboard
installed, OUT/tensorboard holds losses and sounds.

[bold]Examples[/bold]

  xcodec train xcodec2-small --data data/speech -o runs/small --minutes 10
  xcodec train xcodec2-small --data data/speech -o runs/small --validation tests/audio \\
    --set optimizer.learning_rate=2.0e-4
  xcodec train xcodec2-finetune --data recordings/ -o runs/ours --export ours/
  torchrun --nproc-per-node 8 -m xcodec train xcodec2 --data list.jsonl -o runs/big"""

EPILOG = """\
[bold]Exit codes[/bold]  0: done, or the time was up. 1: something is wrong, or the loss became infinite or NaN; the \
last checkpoint is good. 2: wrong usage. 130: interrupted (143 by SIGTERM); the same command goes on."""

STOPPING = "stopping at the next good place; once more stops at once, and loses what came after the last checkpoint"


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or a name.", callback=not_empty)],
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="PATH",
            help="Folder of audio, manifest, prepared speech, or Parquet of codes; again for more. A folder that does "
            "not exist is filled with synthetic speech, if the recipe says which.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the run.", parser=path_to_write)
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="In place of what the recipe says.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option("--validation", metavar="FOLDER", help="Recordings to measure on.")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long, speech included.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1; auto takes CUDA.")
    ] = "auto",
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FOLDER", help="Write the model here at the end.", parser=path_to_write),
    ] = None,
    dtype: Annotated[
        Precision, typer.Option("--dtype", metavar="TYPE", help="Of the exported weights.")
    ] = Precision.FLOAT32,
) -> None:
    """Train a codec."""
    import torch

    from xcodec.device import choose_dtype
    from xcodec.training.distributed import joined
    from xcodec.training.limit import Limit
    from xcodec.training.recipe import Recipe
    from xcodec.training.run import train

    if threads is not None:
        torch.set_num_threads(threads)
    settled = Recipe.read(recipe, tuple(settings or ()))
    with (
        StopRequest(STOPPING) as request,
        joined(device) as processes,
        log_printed(processes.is_first),
        StepsBar() as bar,
    ):
        train(
            settled,
            data,
            output,
            processes,
            validation=validation,
            limit=Limit(minutes, request.came),
            export_to=export,
            export_dtype=choose_dtype(dtype),
            on_step=bar.show,
        )
    if request.number is not None:
        raise typer.Exit(INTERRUPTED - signal.SIGINT + request.number)


class LinePrinter(logging.Handler):
    """Prints each message on standard output, above the progress bar. What printing raises ends the command."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        print(record.getMessage(), flush=True)


@contextmanager
def log_printed(is_first: bool) -> Iterator[None]:
    """Print what a run logs, until the block ends.

    Args:
        is_first: whether this process is the first. Of the others only the recordings that fail in their own batches
            are printed; all else is the same in each.
    """
    levels = {"xcodec.training": logging.INFO if is_first else logging.ERROR}
    levels["xcodec.training.data.batches"] = logging.INFO
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    printer = LinePrinter()
    logging.getLogger("xcodec.training").addHandler(printer)
    try:
        yield
    finally:
        logging.getLogger("xcodec.training").removeHandler(printer)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class StepsBar:
    """Steps done, the loss and the speed, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        console = errors()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> "StepsBar":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._progress.disable:  # as in ProgressBar
            self._progress.stop()

    def show(self, report: "StepReport") -> None:
        """Show how far the run has come; the bar appears with the first step."""
        text = f"loss {report.loss:.4g}  {report.speed}"
        if not self._progress.tasks:
            self._progress.start()
            self._progress.add_task(text, total=report.steps, completed=report.step)
        else:
            self._progress.update(self._progress.task_ids[0], completed=report.step, description=text)
