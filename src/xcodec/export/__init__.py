"""Codecs as ONNX graphs, which run without torch: on ONNX Runtime (`xcodec.runtime`), and wherever else ONNX does.

Or as programs of torch.export, which torch runs without this package.
"""

import os
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path

import torch

from xcodec.codec import Codec
from xcodec.conversion.checkpoint import check_destination
from xcodec.device import Precision
from xcodec.errors import InputError
from xcodec.export.blocks import portable
from xcodec.export.comparison import Agreement, compare
from xcodec.export.graphs import DecoderGraph, EncoderGraph, Graph
from xcodec.export.onnx_file import OLDEST_OPSET, write_onnx
from xcodec.export.step import DecoderStepGraph
from xcodec.export.torch_file import ProgramCodec, write_program
from xcodec.files import folder_written_whole
from xcodec.runtime import Codec as RuntimeCodec
from xcodec.runtime.manifest import (
    DECODER,
    DECODER_PROGRAM,
    DECODER_STEP,
    ENCODER,
    ENCODER_PROGRAM,
    MANIFEST,
    Manifest,
)

__all__ = ["DTYPES", "FORMATS", "Export", "export_codec"]

GRAPHS = (ENCODER, DECODER, DECODER_STEP)
PROGRAMS = {ENCODER: ENCODER_PROGRAM, DECODER: DECODER_PROGRAM}
FORMATS = ("onnx", "torch")
WRITTEN = (MANIFEST, *PROGRAMS.values(), *(name + suffix for name in GRAPHS for suffix in ("", ".data")))
DTYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: where it is.
        files: of what size in bytes each file in it is, by name.
        agreement: with torch.
    """

    folder: Path
    files: dict[str, int]
    agreement: Agreement


@torch.inference_mode(mode=False)  # whose tensors cannot be traced
def export_codec(
    codec: Codec,
    folder: str | os.PathLike[str],
    *,
    encoder: bool = False,
    decoder: bool = False,
    stream: bool = False,
    format: str = "onnx",
    dtype: str = "float32",
    opset: int = OLDEST_OPSET,
    overwrite: bool = False,
) -> Export:
    """Write a codec as ONNX, or for torch alone, and compare what it does with the codec on real speech.

    The folder appears whole or not at all.

    Args:
        codec: a codec in float32 on the CPU, not packed.
        folder: where to.
        encoder: whether to write the encoder alone, unless `decoder` is true as well.
        decoder: likewise. Where neither is true, what the model has is written.
        stream: whether to write the decoder's next step as well, with which streams are decoded.
        format: "onnx", or "torch" for programs of torch.export, without the step.
        dtype: in which weights are kept, "float32" or "float16". ONNX is computed in float32 all the same, so that of
            weights which float16 has exactly it gives the same codes; a program of torch is computed in it.
        opset: version of ONNX's operators, 18 or later.
        overwrite: whether to replace an exported codec that is there.

    Raises:
        CheckpointError: where the folder exists.
        InputError: for another format or dtype, the step as a program of torch, a half that the codec was loaded
            without, or a codec that torch's exporter does not take.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
        XcodecError: where the graphs do not do what torch does.
    """
    if dtype not in DTYPES:
        raise InputError(f"expected one of {', '.join(DTYPES)}", argument="dtype", value=dtype)
    if format not in FORMATS:
        raise InputError(f"expected one of {', '.join(FORMATS)}", argument="format", value=format)
    if stream and format != "onnx":
        raise InputError("the step of a stream is exported as ONNX", argument="format", value=format)
    if codec.precision is not Precision.FLOAT32:
        raise InputError("a codec is exported from float32", argument="codec", value=codec.precision.value)
    if not encoder and not decoder:
        encoder, decoder = codec.model.has_encoder, codec.model.has_decoder
    if (encoder and not codec.model.has_encoder) or ((decoder or stream) and not codec.model.has_decoder):
        raise InputError("the codec is without the half that is to be exported", remedy="load it whole")
    folder = Path(folder).expanduser().absolute()
    check_destination(folder, overwrite, WRITTEN, "an exported codec")
    model = portable(codec.model)
    torch.nn.Module.to(model, DTYPES[dtype])
    if format == "onnx":
        torch.nn.Module.to(model, torch.float32)
    graphs: dict[str, Graph] = {}
    if encoder:
        graphs[ENCODER] = EncoderGraph(model)
    if decoder:
        graphs[DECODER] = DecoderGraph(model)
    if stream:
        graphs[DECODER_STEP] = DecoderStepGraph(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(folder) as part:
        manifest = manifest_of(codec, dtype, opset if format == "onnx" else None)
        (part / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        for name, graph in graphs.items():
            if format == "onnx":
                write_onnx(graph, part / name, opset, half=dtype == "float16")
            else:
                write_program(graph, part / PROGRAMS[name])
        exported = RuntimeCodec(part) if format == "onnx" else ProgramCodec(part, manifest)
        agreement = compare(codec, exported, encoder, decoder, stream)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Export(folder, files, agreement)


def manifest_of(codec: Codec, dtype: str, opset: int | None) -> Manifest:
    """Say what a codec is, and, of ONNX, in which version of its operators."""
    model = codec.model
    libraries = ("xcodec", "torch", *(() if opset is None else ("onnx", "onnxscript")))
    return Manifest(
        name=codec.name,
        identity=codec.identity,
        decodes=model.decodes,
        config=model.config.to_diff_dict(),
        sampling_rate=model.sampling_rate,
        output_sampling_rate=model.output_sampling_rate,
        hop_length=model.hop_length,
        frame_rate=model.frame_rate,
        codebook_sizes=model.codebook_sizes,
        bandwidths=model.bandwidths,
        codebooks=tuple(model.num_quantizers_at(bandwidth) for bandwidth in model.bandwidths),
        shortest_clip=next(samples for samples in count(1) if model.num_codes_of(samples)),
        spare_samples=model.hop_length - model.samples_of(1),
        dtype=dtype,
        opset=opset,
        lookahead=model.lookahead,
        looks_ahead_once=model.looks_ahead_once,
        versions={name: version(name) for name in libraries},
    )
