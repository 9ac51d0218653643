"""Graphs as programs of torch.export: files that torch loads without xcodec, and compiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from xcodec.errors import InputError, first_line
from xcodec.export.graphs import EncoderGraph, Graph
from xcodec.export.program import traced
from xcodec.runtime import Codec as RuntimeCodec

__all__ = ["TORCH", "ProgramCodec", "program_name", "write_program"]

TORCH = "torch"
INPUTS, OUTPUTS, HOP, PADDING = "inputs", "outputs", "hop_length", "least_padding"  # files within that of a program


def program_name(name: str) -> str:
    """Name the file of the program that is this ONNX graph."""
    return f"{name.removesuffix('.onnx')}.pt2"


def write_program(graph: Graph, path: Path) -> None:
    """Trace a graph, and write it.

    Raises:
        InputError: where torch.export finds what it does not know.
    """
    told = {INPUTS: " ".join(graph.inputs), OUTPUTS: " ".join(graph.outputs)}
    if isinstance(graph, EncoderGraph):
        told |= {HOP: str(graph.hop_length), PADDING: str(graph.least_padding)}
    try:
        torch.export.save(traced(graph), path, extra_files=told)
    except Exception as error:  # of torch's many
        family = graph.model.config.model_type
        raise InputError(f"{family} cannot be exported by torch.export: {first_line(error)}") from error


class ProgramCodec(RuntimeCodec):
    """An exported codec whose graphs are torch's programs, to be compared with what it was exported from."""

    def _session(self, name: str) -> "ProgramSession":
        return ProgramSession(self.folder / program_name(name))


class ProgramSession:
    """A program that is run as ONNX Runtime runs a graph.

    Args:
        path: of its file.
    """

    def __init__(self, path: Path) -> None:
        self.told: dict[str, Any] = dict.fromkeys((INPUTS, OUTPUTS, HOP, PADDING), "")
        self.module = torch.export.load(path, extra_files=self.told).module()

    @torch.inference_mode()
    def run(self, names: Sequence[str] | None, given: dict[str, np.ndarray]) -> list[np.ndarray]:  # noqa: ARG002
        """Give all outputs, in their order."""
        inputs = [torch.tensor(given[name]) for name in self.told[INPUTS].split()]
        if self.told[HOP]:
            inputs[0] = F.pad(inputs[0], (0, self._missing(inputs[0].shape[1])))
        return [output.numpy() for output in self.module(*inputs)]

    def _missing(self, num_samples: int) -> int:
        """Count what an encoder asks for past the ends of waveforms."""
        padding = int(self.told[PADDING])
        return padding + -(num_samples + padding) % int(self.told[HOP])
