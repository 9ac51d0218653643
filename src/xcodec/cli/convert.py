"""`xcodec convert`: any X-Codec2 or X-Codec checkpoint -> a checkpoint folder."""

from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from xcodec.cli.console import errors, output
from xcodec.cli.groups import with_groups
from xcodec.cli.values import not_empty, to_file

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Convert a checkpoint of any codec to the layout that xcodec and transformers read.

SOURCE is a folder, hub id or file in the authors' layout (a model.safetensors, a
pytorch_model.bin, a Lightning .ckpt; of X-Codec a .pth with its YAML file beside
it; of the Higgs tokenizer config.json and model.pth; of Inworld's codec a file
for each half), or one that has the layout already. No pickle is executed.
DESTINATION becomes a folder with config.json, preprocessor_config.json and
model.safetensors, whole or not at all.

Every tensor is accounted for: kept under its new name, folded (weight norms
become the weights they stand for), or dropped for a reason that is printed. A
tensor that is missing or unknown is an error that names it.

[bold]Examples[/bold]

  xcodec convert HKUSTAudio/xcodec2 xcodec2/
  xcodec convert epoch=5.ckpt my-model/ --semantic-encoder facebook/w2v-bert-2.0
  xcodec convert xcodec_hubert_general_audio.pth general/ \\
    --config config_hubert_general.yaml
  xcodec convert huseinzol05/X-Codec-2.0-50TPS-44k 44k/ --decodes HKUSTAudio/xcodec2
  xcodec convert m-a-p/xcodec_mini_infer vocals/ --decoder vocal
  xcodec info my-model/"""

EPILOG = "[bold]Exit codes[/bold]  0: converted. 1: not, and nothing was written. 2: wrong usage. 130: interrupted."


@dataclass(frozen=True)
class OriginalOptions:
    """What a checkpoint does not tell itself, most of all one in the authors' layout."""

    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="YAML",
            help="Of an original X-Codec checkpoint, if it is not the only YAML file beside it.",
        ),
    ] = None
    num_semantic_layers: Annotated[
        int | None,
        typer.Option(
            "--num-semantic-layers",
            min=1,
            metavar="N",
            help="Layers of an original X-Codec2's semantic encoder to keep, the last of which it reads. Default: 16.",
        ),
    ] = None
    semantic_encoder: Annotated[
        str | None,
        typer.Option(
            "--semantic-encoder",
            metavar="MODEL",
            help="Folder or hub id of w2v-BERT 2.0 or HuBERT, for an original checkpoint that lacks it.",
            callback=not_empty,
        ),
    ] = None
    model_type: Annotated[
        str | None,
        typer.Option(
            "--model-type",
            metavar="NAME",
            help="xcodec2 or neucodec: whose codes an original decoder at another rate reads.",
            callback=not_empty,
        ),
    ] = None
    decoder: Annotated[
        str | None,
        typer.Option(
            "--decoder",
            metavar="NAME",
            help="Of X-Codec: a Vocos decoder in place of its own; vocal or instrumental of YuE's, or a file.",
            callback=not_empty,
        ),
    ] = None
    decodes: Annotated[
        str | None,
        typer.Option(
            "--decodes",
            metavar="MODEL",
            help="The model whose codes the decoder was trained for: folder, hub id, or a .codes file that it made.",
            callback=not_empty,
        ),
    ] = None
    codes_per_second: Annotated[
        float | None,
        typer.Option(
            "--codes-per-second",
            min=1,
            metavar="N",
            help="Of an original X-Codec2 whose decoder's rate leaves it in doubt: 25 or 50.",
        ),
    ] = None
    num_attention_heads: Annotated[
        int | None,
        typer.Option(
            "--num-attention-heads",
            min=1,
            metavar="N",
            help="Of an original X-Codec2's decoder, if they are not 64 wide.",
        ),
    ] = None


@with_groups
def command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A checkpoint: file, folder or hub id.", callback=not_empty)
    ],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="The folder to write.", callback=to_file)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that is there.")] = False,
    *,
    original: OriginalOptions,
) -> None:
    """Convert a checkpoint."""
    with errors().status(f"converting {source}"):
        from xcodec.conversion import convert_checkpoint

        report = convert_checkpoint(source, destination, overwrite=overwrite, **asdict(original))
    output().print(f"{report}\n  written to {destination}", soft_wrap=True, markup=False)
