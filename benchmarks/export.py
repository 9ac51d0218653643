"""What an exported codec costs beside torch: encoding, decoding, the first codes of a new process, the installation.

    xcodec export mini mini-onnx/
    python benchmarks/export.py mini-onnx/ [--model mini] [--rounds 5] [--threads 1 2] [--tables speed] [--json FILE]

Both are timed in turn, and what is told is the median of their ratios: of time, and of processor time, which other work
on the machine changes less. The installation is what lies on this machine of
each one's distribution and of all that it requires.

`--tables start` tells instead what loading costs, and what ONNX Runtime's optimisations gain beside graphs as they were
exported. It needs no model.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from xcodec import Audio, Codec
from xcodec.runtime import Codec as RuntimeCodec

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
LITE = ("numpy", "onnxruntime", "soundfile", "soxr", "safetensors", "fsspec", "typing-extensions")
STAGES = ("Python", "numpy", "onnxruntime", "xcodec.runtime", "loading", "encoding")
START = """
import json, time
after = [time.process_time()]
import numpy
after.append(time.process_time())
import onnxruntime
after.append(time.process_time())
from xcodec.runtime import Codec
after.append(time.process_time())
codec = Codec({folder!r})
if {optimised}:
    codec.encoder = onnxruntime.InferenceSession(codec.folder / "encoder.onnx")
codec.encoder
after.append(time.process_time())
codec.encode({recording!r})
after.append(time.process_time())
print(json.dumps(after))
"""


def processor_seconds() -> float:
    """Of this process and of those that it ran, all threads."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Time a function: seconds that pass, and of processor."""
    start, used = time.perf_counter(), processor_seconds()
    function()
    return time.perf_counter() - start, processor_seconds() - used


def compared(
    first: Callable[[], object],
    second: Callable[[], object],
    rounds: int,
    names: tuple[str, str] = ("torch", "onnxruntime"),
) -> dict[str, float]:
    first(), second()  # what is done once
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    found = {}
    for kind, i in (("", 0), ("processor, ", 1)):
        found[f"{kind}{names[0]}"] = statistics.median(a[i] for a, _ in pairs)
        found[f"{kind}{names[1]}"] = statistics.median(b[i] for _, b in pairs)
        found[f"{kind}ratio"] = statistics.median(b[i] / a[i] for a, b in pairs)
    return found


def row(what: str, took: dict[str, float]) -> str:
    return f"| {what} | {' | '.join(f'{each:.2f}' for each in took.values())} |"


def head(first: str, second: str) -> str:
    return (
        f"| | {first} | {second} | ratio | {first}, processor | {second}, processor | ratio |\n"
        "|---|---|---|---|---|---|---|"
    )


def first_codes(program: str) -> str:
    words = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def required(name: str, found: set[str]) -> set[str]:
    """Add the names of a distribution and of all that it requires, without extras."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:
        return found
    if name not in found:
        found.add(name)
        for requirement in requirements:
            if "extra ==" not in requirement:
                required(re.split(r"[\s\[<>=!~;(]", requirement)[0], found)
    return found


def megabytes(names: set[str]) -> float:
    files = [path.locate() for name in names for path in distribution(name).files or []]
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file()) / 1e6


def speed(arguments: argparse.Namespace) -> dict[str, object]:
    """Beside torch."""
    results: dict[str, object] = {}
    codec = Codec.from_pretrained(arguments.model)
    audio = Audio.read(RECORDINGS[0])
    codes = codec.encode(audio)
    print(f"{audio.duration:.1f} s of speech; seconds")
    print(head("torch", "ONNX Runtime"))
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        runtime = RuntimeCodec(arguments.exported, threads=threads)
        for task, given in (("encode", audio), ("decode", codes)):
            took = compared(
                lambda task=task, given=given: getattr(codec, task)(given),
                lambda task=task, given=given, runtime=runtime: getattr(runtime, task)(given),
                arguments.rounds,
            )
            results[f"{task}, {threads}"] = took
            print(row(f"{task}, {threads} thread{'s' * (threads > 1)}", took), flush=True)
    recording = str(RECORDINGS[1])
    programs = (
        f"from xcodec import Codec; Codec.from_pretrained({arguments.model!r}).encode({recording!r})",
        f"from xcodec.runtime import Codec; Codec({arguments.exported!r}).encode({recording!r})",
    )
    took = compared(*(lambda program=program: first_codes(program) for program in programs), min(3, arguments.rounds))
    results["first codes"] = took
    print(row("first codes of a new process", took))
    sizes = {
        "torch": megabytes(required("xcodec", set()) | required("torch", set())),
        "onnxruntime": megabytes(set().union(*(required(name, set()) for name in LITE))),
    }
    results["installation"] = sizes
    print(f"installed: {sizes['torch']:.0f} MB with torch, {sizes['onnxruntime']:.0f} MB without")
    return results


def session(path: Path, optimised: bool, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """Give a graph one clip, whose last dimension is time."""
    return {name: value[None], "lengths": np.array([value.shape[-1]])}


def start(arguments: argparse.Namespace) -> dict[str, object]:
    """Graphs as they were exported, and with all that ONNX Runtime makes of them."""
    results: dict[str, object] = {}
    names, rounds, folder = ("as exported", "optimised"), arguments.rounds, Path(arguments.exported)
    audio = Audio.read(RECORDINGS[1])
    codes = RuntimeCodec(folder).encode(audio)
    given = {"encoder": inputs("audio", audio.samples[0]), "decoder": inputs("codes", codes.ids)}
    print(f"{audio.duration:.1f} s of speech; seconds")
    print(head(*names))

    def timed(task: str, first: Callable[[], object], second: Callable[[], object]) -> None:
        results[task] = took = compared(first, second, rounds, names)
        print(row(task, took), flush=True)

    for threads in arguments.threads:
        for half, fed in given.items():
            path = folder / f"{half}.onnx"
            loads = [partial(session, path, optimised, threads) for optimised in (False, True)]
            timed(f"load the {half}, threads: {threads}", *loads)
            timed(f"run the {half}, threads: {threads}", *(partial(load().run, None, fed) for load in loads))
    recording = str(RECORDINGS[1])
    programs = [START.format(folder=str(folder), recording=recording, optimised=each) for each in (False, True)]
    timed("first codes of a new process", *(partial(first_codes, program) for program in programs))
    stages = [np.diff(json.loads(first_codes(programs[0])), prepend=0) for _ in range(rounds)]
    results["stages"] = dict(zip(STAGES, np.median(stages, axis=0).tolist(), strict=True))
    print("of a new process as exported, processor: " + ", ".join(f"{k} {v:.2f}" for k, v in results["stages"].items()))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", help="the folder that `xcodec export` wrote")
    parser.add_argument("--model", help="what was exported; mini by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tables", nargs="+", choices=("speed", "start"), default=["speed"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tables = {"speed": speed, "start": start}
    results = {name: tables[name](arguments) for name in arguments.tables}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
