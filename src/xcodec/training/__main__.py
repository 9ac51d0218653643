"""`python -m xcodec.training`: make speech, train, validate, export."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from xcodec.audio import Audio
from xcodec.device import Precision, choose_dtype
from xcodec.errors import XcodecError
from xcodec.training.checkpoints import export
from xcodec.training.corpus import Corpus, build_corpus
from xcodec.training.recipe import Recipe
from xcodec.training.synthesis import SAMPLING_RATE
from xcodec.training.trainer import Trainer


def main(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a built-in recipe: mini.")],
    data: Annotated[Path, typer.Option(help="Folder of the training speech; made there if it does not exist.")],
    output: Annotated[Path, typer.Option(help="Folder of the run; a run that lies there is taken up.")],
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes; run again to go on.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Folder of wav files to measure on.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value in place of the recipe's.")] = None,
    export_to: Annotated[Path | None, typer.Option("--export", help="Write the model here at the end.")] = None,
    dtype: Annotated[Precision, typer.Option(help="Stored weights.")] = Precision.FLOAT32,
) -> None:
    """Train a codec: resumable, and safe to interrupt."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        settled = Recipe.read(recipe, tuple(settings or ()))
        corpus = Corpus(data) if (data / "index.json").is_file() else build_corpus(settled.synthesis, data)
        paths = sorted(validation.glob("*.wav")) if validation is not None else []
        clips = [Audio.read(path).mono().resample(SAMPLING_RATE).samples[0] for path in paths]
        trainer = Trainer(settled, corpus, output, log=lambda line: print(line, flush=True))
        parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        hours = ", ".join(f"{name} {value:.2f} h" for name, value in corpus.hours().items())
        trainer.log(f"{parameters / 1e6:.2f}M parameters; training speech: {hours}")
        trainer.run(clips, minutes)
        if export_to is not None:
            export(trainer.model, trainer.average, export_to, choose_dtype(dtype))
    except XcodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
