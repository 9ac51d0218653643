"""A codec on ExecuTorch: programs of torch are lowered for clips of one length, run, and compared with torch.

    xcodec export mini mini-torch/ --format torch
    python to_executorch.py mini-torch/ speech.wav mini-executorch/

The recording has one channel at codec.json's sampling_rate, and its length is the one. Neither xcodec nor transformers
is needed; docs/export.md says what is.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import soundfile
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.exir.passes.constant_prop_pass import constant_prop_pass
from executorch.runtime import Runtime
from torch import Tensor


def lowered(half: torch.nn.Module, inputs: tuple[Tensor, Tensor]) -> bytes:
    """Make a half of a codec a program of ExecuTorch, for inputs of these shapes."""
    program = torch.export.export(half, inputs).run_decompositions({})
    program = constant_prop_pass(program)  # XNNPACK takes weights that are reshaped only once they have been
    config = EdgeCompileConfig(_check_ir_validity=False)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], compile_config=config)
    return edge.to_executorch().buffer


def timed(compute: Callable[..., tuple[Tensor, Tensor]], *inputs: Tensor) -> tuple[Tensor, Tensor, float]:
    """Compute outputs, and tell how many seconds of processor time that takes the second time."""
    compute(*inputs)
    start = time.process_time()
    return *compute(*inputs), time.process_time() - start


@torch.no_grad()
def main(source: Path, recording: str, target: Path) -> None:
    """Lower both halves and compare them."""
    target.mkdir(parents=True, exist_ok=True)
    audio = torch.from_numpy(soundfile.read(recording, dtype="float32")[0])[None]
    inputs = (audio, torch.tensor([audio.shape[1]]))
    for name in ("encoder", "decoder"):
        half, path = torch.export.load(source / f"{name}.pt2").module(), target / f"{name}.pte"
        path.write_bytes(lowered(half, inputs))
        method = Runtime.get().load_program(path).load_method("forward")
        expected, lengths, theirs = timed(half, *inputs)
        found, _, ours = timed(lambda *given, method=method: method.execute(given), *inputs)
        difference = (found - expected).abs()
        told = f"{(difference == 0).sum()} of {found.numel()} equal torch's, the rest within {difference.max():.1e}"
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {told}; {ours / theirs:.2f} of its processor time")
        inputs = (expected, lengths)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
