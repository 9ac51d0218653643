"""What an exported encoder gains by ONNX Runtime's int8, and how many of its codes it keeps.

    xcodec export mini mini-onnx/
    python benchmarks/export_int8.py mini-onnx/ [--rounds 5]

Each is timed in turn with the encoder in float32, one thread, both with all of ONNX Runtime's optimisations; ratios
are medians.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization

from export import RECORDINGS, compared, inputs, row, session
from xcodec import Audio

SEVEN_BITS = {"per_channel": True, "reduce_range": True, "weight_type": quantization.QuantType.QInt8}
U8U8 = {"weight_type": quantization.QuantType.QUInt8}
WIDE = 64  # channels on both sides
COLUMNS = "| in int8 | float32 | int8 | ratio | float32, processor | int8, processor | ratio | codes kept |"


def clip(path: Path) -> dict[str, np.ndarray]:
    return inputs("audio", Audio.read(path).samples[0])


class Calibration(quantization.CalibrationDataReader):
    """One recording."""

    def __init__(self) -> None:
        self.left = [clip(RECORDINGS[1])]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Give what is left."""
        return self.left.pop() if self.left else None


def quantized(encoder: Path, folder: Path) -> dict[str, Path]:
    """Encoders in int8, by what is rounded in them and how."""
    graph = onnx.load(encoder).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    weights = {node.name: (node.op_type, shapes.get(node.input[1], ())) for node in graph.node if len(node.input) > 1}
    # The filter bank's matrices and the tables of distances have odd sizes: they are no maps of the model.
    maps = [
        name for name, (kind, size) in weights.items() if kind == "MatMul" and size and not any(n % 8 for n in size)
    ]
    wide = [name for name, (kind, size) in weights.items() if kind == "Conv" and size and min(size[:2]) >= WIDE]
    found = {}
    for what, nodes, how in (
        ("maps, dynamic, weights of 7 bits by channel", maps, SEVEN_BITS),
        ("maps, dynamic, U8U8", maps, U8U8),
        ("maps and wide convolutions, static, weights of 7 bits by channel", maps + wide, SEVEN_BITS),
        ("wide convolutions, static, weights of 7 bits by channel", wide, SEVEN_BITS),
    ):
        found[what] = path = folder / f"{len(found)}.onnx"
        if "dynamic" in what:
            quantization.quantize_dynamic(encoder, path, nodes_to_quantize=nodes, **how)
        else:
            quantization.quantize_static(encoder, path, Calibration(), nodes_to_quantize=nodes, **how)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path, help="the folder that `xcodec export` wrote")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    encoder = arguments.exported / "encoder.onnx"
    clips = [clip(path) for path in RECORDINGS]
    exact = session(encoder, True, 1)
    expected = [exact.run(None, each)[0] for each in clips]
    print(f"{clips[0]['lengths'][0]} samples of speech; seconds; codes kept of {sum(each.size for each in expected)}")
    print(f"{COLUMNS}\n{'|---' * COLUMNS.count(' | ')}|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for what, path in quantized(encoder, Path(temporary)).items():
            rounded = session(path, True, 1)
            runs = [partial(each.run, None, clips[0]) for each in (exact, rounded)]
            took = compared(*runs, arguments.rounds, ("float32", "int8"))
            equal = [rounded.run(None, each)[0] == codes for each, codes in zip(clips, expected, strict=True)]
            print(f"{row(what, took)} {100 * np.concatenate(equal, axis=-1).mean():.1f} % |", flush=True)


if __name__ == "__main__":
    main()
