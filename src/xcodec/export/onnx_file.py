"""A graph becomes an ONNX file: traced by torch, then simplified by ONNX Runtime."""

import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xcodec.errors import InputError, first_line, require
from xcodec.export.graphs import EncoderGraph, Graph
from xcodec.export.program import names_of_sizes, traced, translated_in_place

__all__ = ["OLDEST_OPSET", "quiet", "refused", "write_onnx"]

OLDEST_OPSET = 18  # that torch's exporter writes as it is, so the one that most runtimes know

LARGEST_FILE = 1 << 30  # bytes of weights; beyond it they get a file of their own, since a protobuf ends at 2 GiB
FEWEST_WEIGHTS = 256  # that are worth a node of their own
TALKATIVE = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def write_onnx(graph: Graph, path: Path, opset: int, *, half: bool = False, largest: int = LARGEST_FILE) -> None:
    """Trace a graph, write it, and have it checked.

    Args:
        graph: what to write.
        path: of the file; weights that are more than `largest` go to a file beside it, with `.data` after its name.
        opset: version of ONNX's operators.
        half: whether weights that float16 has exactly are kept in it; what is computed stays float32.
        largest: bytes of weights that the file itself may hold.

    Raises:
        InputError: for another opset, or where torch's exporter or ONNX's checker finds what it does not know.
        MissingExtraError: without `onnx` or `onnxscript`.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        require(library, "onnx")
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise InputError(f"expected {OLDEST_OPSET} to {newest}", argument="opset", value=opset)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        unsimplified = Path(scratch, path.name)
        with refused(graph, "ONNX"):
            with quiet(), torch.no_grad():
                program = traced(graph)
                names = names_of_sizes(program, graph)
                translated = torch.onnx.export(
                    translated_in_place(program),
                    input_names=graph.inputs,
                    output_names=graph.outputs,
                    opset_version=opset,
                    dynamo=True,
                    optimize=False,
                    verbose=False,
                )
            assert translated is not None
            if isinstance(graph, EncoderGraph):
                pad_to_whole_hops(translated.model, graph)
            for node in translated.model.graph.all_nodes():  # where in whose files it was made
                node.metadata_props.clear()
            weights = [value.const_value for value in translated.model.graph.initializers.values()]
            is_large = sum(weight.nbytes for weight in weights if weight is not None) > largest
            translated.save(unsimplified, external_data=is_large)
            simplify(unsimplified, path, is_large)
            if half:
                keep_as_half(path, is_large)
            name_sizes(path, names)
            onnx.checker.check_model(path)


@contextmanager
def refused(graph: Graph, form: str) -> Iterator[None]:
    """Turn whatever the exporter or a checker raises of a graph into an error that says what they do not know.

    Raises:
        InputError: in place of all others.
    """
    try:
        yield
    except Exception as error:  # the exporter has many
        family = graph.model.config.model_type
        raise InputError(f"{family} cannot be exported as {form}: {first_line(root_of(error))}") from error


def root_of(error: BaseException) -> BaseException:
    """Return what an exception was first caused by, which says more than that a stage has failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def simplify(source: Path, target: Path, is_large: bool) -> None:
    """Fold constants and drop what changes nothing: a sixth of the nodes is left, and graphs load in half the time.

    Args:
        source: an ONNX file.
        target: the one to write.
        is_large: whether weights get a file of their own.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # ONNX's own operators
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    if is_large:
        weights = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{weights}_file_name", f"{target.name}.data")
        options.add_session_config_entry(f"{weights}_min_size_in_bytes", "1024")
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    simplified = onnx.load(target, load_external_data=False)
    for opset in [each for each in simplified.opset_import if each.domain]:  # ONNX Runtime's own, which none uses
        simplified.opset_import.remove(opset)
    target.write_bytes(simplified.SerializeToString())


def keep_as_half(path: Path, is_large: bool) -> None:
    """Rewrite an ONNX file: what float16 has exactly is kept in it, and cast to float32 once, when a runtime loads it.

    Args:
        path: of the file.
        is_large: whether weights have a file of their own.
    """
    import onnx

    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < FEWEST_WEIGHTS:
            continue
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if np.array_equal(halved, values):
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(halved, f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    weights = f"{path.name}.data"
    path.with_name(weights).unlink(missing_ok=True)
    onnx.save_model(model, path, save_as_external_data=is_large, location=weights)
    if is_large:
        path.with_name(weights).chmod(path.stat().st_mode)  # onnx keeps the file from everybody else


def pad_to_whole_hops(model: Any, graph: EncoderGraph) -> None:
    """Let an encoder take waveforms of any length: what it asks for past their ends is put there first.

    It is done here rather than traced, since the sizes of all else are simple only as multiples of a hop.

    Args:
        model: of onnx_ir, in which audio (batch, samples) is the first input.
        graph: what it was made of.
    """
    import onnx_ir as ir

    padded = model.graph.inputs[0]
    audio = ir.Value(name=padded.name, type=padded.type, shape=ir.Shape([padded.shape[0], "samples"]))
    padded.name = "whole_hops"
    nodes: list[Any] = []

    def made(operator: str, *inputs: Any, **attributes: int) -> Any:
        nodes.append(ir.node(operator, inputs, attributes))
        return nodes[-1].outputs[0]

    def constant(*numbers: int) -> Any:
        nodes.append(ir.node("Constant", [], {"value": ir.tensor(numbers, dtype=ir.DataType.INT64)}))
        return nodes[-1].outputs[0]

    hop_length = constant(graph.hop_length)
    samples = made("Shape", audio, start=1, end=2)
    hops = made("Div", made("Add", samples, constant(graph.least_padding + graph.hop_length - 1)), hop_length)
    missing = made("Sub", made("Mul", hops, hop_length), samples)
    whole = made("Pad", audio, made("Concat", constant(0, 0, 0), missing, axis=0))
    whole.type, whole.shape = padded.type, padded.shape
    ir.convenience.replace_all_uses_with(padded, whole)
    model.graph.inputs[0] = audio
    model.graph.insert_before(model.graph[0], nodes)


def name_sizes(path: Path, names: dict[str, str]) -> None:
    """Write names of sizes into an ONNX file, in place of torch's symbols for them."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda found: names.get(found[0], found[0]), dim.dim_param)
    path.write_bytes(model.SerializeToString())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the exporter says of its own inside to itself."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
