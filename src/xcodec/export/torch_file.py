"""A graph becomes a file of torch.export: a program that torch runs without the code of its model."""

import operator
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._dynamo.source import ConstantSource
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import DimDynamic
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from xcodec.export.graphs import EncoderGraph, Graph
from xcodec.export.onnx_file import quiet, refused
from xcodec.export.program import replace, traced
from xcodec.runtime import Codec as RuntimeCodec
from xcodec.runtime.manifest import DECODER_PROGRAM, ENCODER_PROGRAM, Manifest

__all__ = ["ProgramCodec", "write_program"]

aten = torch.ops.aten
EXAMPLE = 8001  # samples, no whole hops: a size that stands for every other


def write_program(graph: Graph, path: Path) -> None:
    """Trace a graph and write it for `torch.export.load`.

    Raises:
        InputError: where torch's exporter finds what it does not know.
    """
    with refused(graph, "a program of torch"), quiet(), torch.no_grad():
        program = traced(graph)
        drop_assertions(program)
        if isinstance(graph, EncoderGraph):
            pad_to_whole_hops(program, graph)
        for node in program.graph.nodes:  # where in whose files it was made
            node.meta.pop("stack_trace", None)
        program.graph_module.recompile()
        torch.export.save(program, path)


def drop_assertions(program: ExportedProgram) -> None:
    """Let a program take every size, and be traced again.

    The trace asserts what it took for granted while it simplified sizes, among it that there is more than one clip and
    more than one step. What it computes does not depend on that: the same trace as ONNX, which has no assertions, is
    right for one. And it detaches its constants in place, which a trace of the program refuses.
    """
    for node in list(program.graph.nodes):
        if node.target is aten._assert_scalar.default:
            program.graph.erase_node(node)
        elif node.target is aten.detach_.default:
            replace(node)
    program.graph.eliminate_dead_code()


def pad_to_whole_hops(program: ExportedProgram, graph: EncoderGraph) -> None:
    """Let an encoder take waveforms of any length, as `onnx_file.pad_to_whole_hops` does.

    Args:
        program: in which audio (batch, samples) is the first input.
        graph: what it was made of.
    """
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    audio = next(node for node in placeholders if node.name == program.graph_signature.user_inputs[0])
    last = placeholders[-1]
    whole_hops = audio.meta["val"]
    sizes = whole_hops.fake_mode.shape_env
    source = ConstantSource("samples")
    symbol = sizes.create_symbol(EXAMPLE, source=source, dynamic_dim=DimDynamic.DYNAMIC)
    size = sizes.create_symintnode(symbol, hint=EXAMPLE, source=source)
    program.range_constraints[symbol] = ValueRanges(0, int_oo)

    def made(target: Callable[..., Any], *arguments: Any, value: Any = None) -> Node:
        nonlocal last
        with program.graph.inserting_after(last):
            last = program.graph.call_function(target, arguments)
        values = [each.meta["val"] if isinstance(each, Node) else each for each in arguments]
        last.meta["val"] = target(*values) if value is None else value
        return last

    samples = made(aten.sym_size.int, audio, 1, value=size)
    rounded_up = made(operator.add, samples, graph.least_padding + graph.hop_length - 1)
    hops = made(operator.floordiv, rounded_up, graph.hop_length)
    missing = made(operator.sub, made(operator.mul, hops, graph.hop_length), samples)
    padded = made(aten.constant_pad_nd.default, audio, [0, missing], 0.0, value=whole_hops)
    audio.replace_all_uses_with(padded, delete_user_cb=lambda user: user not in (padded, samples))
    with whole_hops.fake_mode:
        audio.meta["val"] = torch.empty(whole_hops.shape[0], size)


class Program:
    """A program, run as a session of ONNX Runtime is.

    Args:
        path: of its file.
    """

    def __init__(self, path: Path) -> None:
        self.module = torch.export.load(path).module()

    @torch.no_grad()
    def run(self, _: None, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute all outputs of inputs in their order."""
        return [output.numpy() for output in self.module(*(torch.tensor(each) for each in given.values()))]


class ProgramCodec(RuntimeCodec):
    """An exported codec whose halves are programs of torch.

    Args:
        folder: where they are.
        manifest: what it is.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest, self.name = folder, manifest, manifest.name

    @cached_property
    def encoder(self) -> Program:
        """The encoder's program."""
        return Program(self.folder / ENCODER_PROGRAM)

    @cached_property
    def decoder(self) -> Program:
        """The decoder's program."""
        return Program(self.folder / DECODER_PROGRAM)
