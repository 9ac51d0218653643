"""`xcodec llasa`: from texts and recordings to a language model that speaks: init, prepare, train."""

import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xcodec.cli.console import errors, output
from xcodec.cli.failures import FAILED, INTERRUPTED, Command
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import StopRequest
from xcodec.cli.llasa_options import TrainingOptions, ValidationRows, fields_of
from xcodec.cli.manual import manual
from xcodec.cli.options import CodecOptions, OutputFolder, Overwrite
from xcodec.cli.paths import home, place
from xcodec.cli.train import STOPPING, StepsBar, log_printed
from xcodec.cli.values import not_empty, to_file

if TYPE_CHECKING:
    from xcodec.tokenization.exports.llasa import LlasaReport

__all__ = ["app"]

HELP = """\
Make a language model that speaks, of a language model, recordings and their texts.

  xcodec tokenize train.jsonl -o tokens/         recordings to codes; `path`, `text`
  xcodec llasa init new my-llm/                  a model with tokens for the codes
  xcodec llasa prepare tokens/ rows/ --llm my-llm/    texts and codes to rows
  xcodec llasa train my-llm/ rows/ -o run/       the model learns them
  xcodec say "Hello." --llm run/model -o hello.wav

`xcodec llasa COMMAND --help` is the manual of each."""

INIT_HELP = """\
Give a language model tokens for a codec's codes.

BASE is a causal language model of transformers with a chat template, a folder or
a hub id; or new, a small Llama that reads bytes, drawn anew. OUT gets it with
LLaSA's markers and a token for each code behind its own vocabulary, in the
published order: of Llama 3, Llasa's own 193,800. Its config.json names the codec.

[bold]Examples[/bold]

  xcodec llasa init meta-llama/Llama-3.2-1B-Instruct my-llm/ -m HKUSTAudio/xcodec2-hf
  xcodec llasa init new my-llm/ --set num_hidden_layers=6 --set hidden_size=384"""

PREPARE_HELP = """\
Turn an output of `xcodec tokenize` into rows that a language model learns.

OUT is finished, and was made of a manifest with texts. DEST gets the memory maps
that LLaSA's own training reads too. A recording without a text, with a token of
the vocabulary spelled out in it, or longer than a row is left out, told and
counted. Codes of another codec than that of the language model are refused.

[bold]Examples[/bold]

  xcodec llasa prepare tokens/ rows/ --llm my-llm/
  xcodec llasa prepare tokens/ rows/ --llm HKUSTAudio/Llasa-1B --text transcript"""

TRAIN_HELP = """\
Teach a language model to say rows, or go on where the run in OUT was left.

LLM is what `xcodec llasa init` wrote, or one that speaks already; ROWS is what
`xcodec llasa prepare` wrote. OUT/model becomes the language model, at the end or
whenever the run is asked to end. With --lora, small matrices are trained in place
of the model's own, which takes a fraction of the memory, and added to them then.

A run may be interrupted at any time (Ctrl-C, SIGTERM, --minutes, a crash), and
the same command goes on as if it had not been. Several processes train together
when torchrun starts them.

[bold]Examples[/bold]

  xcodec llasa train my-llm/ rows/ -o run/ --epochs 3
  xcodec llasa train HKUSTAudio/Llasa-1B rows/ -o ann/ --lora 16 --no-lora-tokens \\
    --dtype bfloat16 --learning-rate 2e-4
  torchrun --nproc-per-node 8 -m xcodec llasa train my-llm/ rows/ -o run/"""

EPILOG = "[bold]Exit codes[/bold]  0: done. 1: not, and nothing was written. 2: wrong usage. 130: interrupted."
PREPARE_EPILOG = """\
[bold]Exit codes[/bold]  0: every recording is a row. 1: rows are written, and some recordings were left out; or \
nothing is written, and stderr says why. 2: wrong usage. 130: interrupted."""
TRAIN_EPILOG = """\
[bold]Exit codes[/bold]  0: done, or the time was up. 1: something is wrong, or the loss became infinite or NaN; the \
last checkpoint is good. 2: wrong usage. 130: interrupted (143 by SIGTERM); the same command goes on."""

LanguageModel = Annotated[
    str,
    typer.Option("--llm", metavar="LLM", help="The language model: a folder or a hub id.", show_default=False),
]

app = typer.Typer(help=manual(HELP), no_args_is_help=True, rich_markup_mode="rich")


@app.command("init", cls=Command, help=manual(INIT_HELP), epilog=EPILOG, no_args_is_help=True)
@with_groups
def init(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="A folder, a hub id, or new.", show_default=False, callback=not_empty)
    ],
    folder: Annotated[
        str, typer.Argument(metavar="OUT", help="The folder to write.", show_default=False, callback=to_file)
    ],
    *,
    codec: CodecOptions,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A field of new's configuration, a LlamaConfig."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
) -> None:
    """Give a language model tokens for a codec's codes."""
    fields = fields_of(settings or [])
    loaded = codec.load(pack=False)
    with errors().status(f"loading {base}"):
        from xcodec.llasa.beginning import begin

        report = begin(base, home(folder), loaded, codec.model, fields=fields, seed=seed)
    output().print(f"{folder}: {report}", soft_wrap=True, markup=False)


@app.command("prepare", cls=Command, help=manual(PREPARE_HELP), epilog=PREPARE_EPILOG, no_args_is_help=True)
def prepare(
    tokens: OutputFolder,
    folder: Annotated[
        str, typer.Argument(metavar="DEST", help="Folder to write rows to.", show_default=False, callback=to_file)
    ],
    llm: LanguageModel,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The carried column of texts.")] = "text",
    length: Annotated[int, typer.Option("--length", min=8, metavar="IDS", help="Ids in a row, text and codes.")] = 2048,
    val_every: ValidationRows = 100,
    cut: Annotated[bool, typer.Option("--cut", help="Cut what is longer than a row, in place of leaving it out.")] = (
        False
    ),
    overwrite: Overwrite = False,
) -> None:
    """Turn an output of `xcodec tokenize` into rows."""
    with errors().status("preparing"):
        from xcodec.tokenization.exports.llasa import prepare_rows
        from xcodec.tokenization.tokens import Tokens

        report = prepare_rows(
            Tokens(place(tokens)),
            home(folder),
            llm,
            text_column=text,
            length=length,
            val_every=val_every or None,
            cut=cut,
            overwrite=overwrite,
        )
    show_prepared(report, folder, llm)


def show_prepared(report: "LlasaReport", folder: str, llm: str) -> None:
    """Tell what became of the recordings.

    Raises:
        typer.Exit: where some were left out, or could not be read.
    """
    for failure in report.failures:
        errors().print(f"{failure.id}: {failure.error}", style="red", soft_wrap=True, markup=False)
    for reason in report.reasons():
        errors().print(reason, style="yellow", soft_wrap=True, markup=False)
    if not report.codec_is_known:
        errors().print(f"{llm} does not tell which codec it speaks, so that is not checked", soft_wrap=True)
    output().print(f"{folder}: {report}", soft_wrap=True, markup=False)
    if report.failures or report.total_left_out:
        raise typer.Exit(FAILED)


@app.command("train", cls=Command, help=manual(TRAIN_HELP), epilog=manual(TRAIN_EPILOG), no_args_is_help=True)
@with_groups
def train(
    llm: Annotated[
        str,
        typer.Argument(metavar="LLM", help="The language model: a folder or hub id.", show_default=False),
    ],
    rows: Annotated[
        str, typer.Argument(metavar="ROWS", help="Folder of rows.", show_default=False, callback=not_empty)
    ],
    folder: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT", help="Folder of the run.", show_default=False, callback=to_file),
    ],
    *,
    training: TrainingOptions,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1; auto takes CUDA.")
    ] = "auto",
) -> None:
    """Teach a language model to say rows."""
    settings: dict[str, Any] = training.settings()
    import torch
    from transformers.utils import logging

    from xcodec.training.distributed import joined
    from xcodec.training.language_model.run import train_language_model
    from xcodec.training.language_model.settings import LanguageSettings
    from xcodec.training.limit import Limit

    logging.set_verbosity_error()
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = LanguageSettings(**settings)
    with (
        StopRequest(STOPPING) as request,
        joined(device) as processes,
        log_printed(processes.is_first),
        StepsBar() as bar,
    ):
        train_language_model(
            llm,
            home(rows),
            home(folder),
            chosen,
            processes,
            limit=Limit(minutes, request.came),
            on_step=bar.show,
        )
    if request.number is not None:
        raise typer.Exit(INTERRUPTED - signal.SIGINT + request.number)
