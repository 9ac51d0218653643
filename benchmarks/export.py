"""What an exported codec costs beside torch: encoding, decoding, the first codes of a new process, the installation.

    xcodec export mini mini-onnx/
    python benchmarks/export.py mini-onnx/ [--model mini] [--rounds 5] [--threads 1 2] [--json FILE]

Both are timed in turn, and what is told is the median of their ratios: of time, and of processor time, which other work
on the machine changes less. The installation is what lies on this machine of
each one's distribution and of all that it requires.
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
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch

from xcodec import Audio, Codec
from xcodec.runtime import Codec as RuntimeCodec

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
LITE = ("numpy", "onnxruntime", "soundfile", "soxr", "safetensors", "fsspec", "typing-extensions")


def processor_seconds() -> float:
    """Of this process and of those that it ran, all threads."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """Time a function: seconds that pass, and of processor."""
    start, used = time.perf_counter(), processor_seconds()
    function()
    return time.perf_counter() - start, processor_seconds() - used


def compared(first: Callable[[], object], second: Callable[[], object], rounds: int) -> dict[str, float]:
    first(), second()  # what is done once
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    found = {}
    for kind, i in (("", 0), ("processor, ", 1)):
        found[f"{kind}torch"] = statistics.median(a[i] for a, _ in pairs)
        found[f"{kind}onnxruntime"] = statistics.median(b[i] for _, b in pairs)
        found[f"{kind}ratio"] = statistics.median(b[i] / a[i] for a, b in pairs)
    return found


def row(what: str, took: dict[str, float]) -> str:
    return f"| {what} | {' | '.join(f'{each:.2f}' for each in took.values())} |"


def first_codes(program: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", help="the folder that `xcodec export` wrote")
    parser.add_argument("--model", help="what was exported; mini by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    codec = Codec.from_pretrained(arguments.model)
    audio = Audio.read(RECORDINGS[0])
    codes = codec.encode(audio)
    print(f"{audio.duration:.1f} s of speech; seconds")
    print(
        "| | torch | ONNX Runtime | ratio | torch, processor | ONNX Runtime, processor | ratio |\n"
        "|---|---|---|---|---|---|---|"
    )
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
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
