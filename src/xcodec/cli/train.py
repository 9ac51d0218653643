"""`xcodec train`: a recipe and audio -> a codec."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from xcodec.cli.failures import INTERRUPTED
from xcodec.cli.interruption import StopRequest
from xcodec.cli.values import not_empty, path_to_write
from xcodec.device import Precision

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

  xcodec train mini --data data/speech -o runs/mini --minutes 10
  xcodec train mini --data data/speech -o runs/mini --validation tests/audio \\
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
    with StopRequest(STOPPING) as request, joined(device) as processes:
        train(
            settled,
            data,
            output,
            processes,
            validation=validation,
            limit=Limit(minutes, request.came),
            export_to=export,
            export_dtype=choose_dtype(dtype),
            log=lambda line: print(line, flush=True),
            bar=sys.stderr.isatty(),
        )
    if request.number is not None:
        raise typer.Exit(INTERRUPTED - signal.SIGINT + request.number)
