"""`xcodec export`: a codec -> ONNX graphs, which run without torch."""

from typing import Annotated

import typer

from xcodec.cli.console import errors, output
from xcodec.cli.options import Precision, load_codec
from xcodec.cli.values import not_empty, to_file

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Write a codec as ONNX, which runs without torch.

DESTINATION becomes a folder with encoder.onnx, decoder.onnx and codec.json,
whole or not at all. The graphs take padded batches with the clips' lengths, of
any size, and prepare clips themselves: waveforms in, codes out, and back.

Before the folder is there, speech goes through the graphs and through torch,
each clip alone and all in one batch: in float32 the codes have to be equal, but
for ties that rounding decides, and audio within 0.0001.

With --stream there is decoder_step.onnx too: the next codes and what is
remembered in, their audio and what to remember out.

With --format torch there are encoder.pt2 and decoder.pt2 in place of graphs.

`xcodec.runtime` runs it, with onnxruntime in place of torch: see docs/export.md.
What is needed here comes with pip install 'xcodec\\[onnx]'.

[bold]Examples[/bold]

  xcodec export mini mini-onnx/
  xcodec export neuphonic/neucodec neucodec-onnx/ --decoder --stream
  python -m xcodec.runtime encode mini-onnx/ speech.wav -o speech.codes
  my-language-model | python -m xcodec.runtime decode neucodec-onnx/ - --stream | aplay"""

EPILOG = "[bold]Exit codes[/bold]  0: exported. 1: not, and nothing was written. 2: wrong usage. 130: interrupted."


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A built-in model, a folder, a file or a hub id.", callback=not_empty),
    ],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="The folder to write.", callback=to_file)],
    encoder: Annotated[bool, typer.Option("--encoder", help="Only the encoder, unless --decoder is given.")] = False,
    decoder: Annotated[bool, typer.Option("--decoder", help="Only the decoder, unless --encoder is given.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="The decoder's next step too, by which streams are decoded.")
    ] = False,
    format: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="onnx, or torch: programs of torch.export, which torch runs."),
    ] = "onnx",
    dtype: Annotated[
        str,
        typer.Option("--dtype", metavar="TYPE", help="Of the weights: float32 or float16, of which half as much is."),
    ] = "float32",
    opset: Annotated[
        int, typer.Option("--opset", min=18, metavar="N", help="Version of ONNX's operators, 18 or later.")
    ] = 18,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an exported codec that is there.")] = False,
) -> None:
    """Export a codec."""
    codec = load_codec(model, "cpu", Precision.FLOAT32, pack=False)
    with errors().status(f"exporting {model}, which takes minutes"):
        from xcodec.export import export_codec

        export = export_codec(
            codec,
            destination,
            encoder=encoder,
            decoder=decoder,
            stream=stream,
            format=format,
            dtype=dtype,
            opset=opset,
            overwrite=overwrite,
        )
    lines = [str(export.agreement)]
    lines += [f"  {export.folder / name}  {size / 1e6:.1f} MB" for name, size in export.files.items()]
    output().print("\n".join(lines), soft_wrap=True, markup=False)
