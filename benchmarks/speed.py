"""Speed at the released size against transformers, on the same random weights, in turn in one run.

    python benchmarks/speed.py encode decode [--model xcodec2|neucodec|distill_neucodec|xcodec|...]
        [--seconds 5 10 30] [--batch 1 4] [--dtype float32] [--compiled] [--rounds 3] [--threads 1 2]
        [--allocators default tuned] [--memory] [--json FILE]

A family that transformers does not have runs without it, against itself.

transformers runs in float32; --dtype, which may be int8, is ours (of `acoustic` both, and not int8). --compiled adds
ours with its layers compiled.

The contenders run in turn within each round, so that a round's ratios share whatever else the machine does; medians and
the range over the rounds are shown. Each has a process of its own, since what one asks of the allocator would change
what it does for the others. `acoustic` in place of `encode` runs X-Codec2's acoustic encoder alone.

"tuned" is an allocator that keeps its pages (MALLOC_MMAP_THRESHOLD_=4294967296, MALLOC_TRIM_THRESHOLD_=17179869184),
the better of the two baselines: by default glibc gives big blocks back at once, and transformers then spends much of
its time on page faults. --memory adds what a contender's process takes at its peak, weights and libraries included:
memory.py's measure, one process a case, apart from the times; float32 only.

transformers' own feature extractor of X-Codec2 needs torchaudio, so every contender reads our features.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import memory
import numpy as np
import torch
import transformers
from check import processor_name
from released import THEIRS, has_theirs, prepared, random_model, speech, their_class
from torch import Tensor, nn
from transformers.models.xcodec2.modeling_xcodec2 import Xcodec2Encoder as TheirEncoder

from xcodec import kernels
from xcodec.device import Precision
from xcodec.models.acoustic import AcousticEncoder
from xcodec.models.registry import FAMILIES
from xcodec.modules.int8 import quantize_weights
from xcodec.modules.packing import pack_weights

RATE = 16000  # Hz
ALLOCATORS = {
    "default": {},
    "tuned": {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"},
}
OURS, COMPILED, WITHOUT_KERNEL = "ours", "ours, compiled", "ours without the kernel"
Run = Callable[[], Tensor]


class Setting(NamedTuple):
    """What is run: `what` of `batch` clips of so many seconds, on so many threads."""

    what: str
    threads: int
    seconds: float
    batch: int


def load_model(contender: str, name: str, precision: Precision, folder: str) -> Any:
    ours = FAMILIES[name].model
    model_class: Any = their_class(name) if contender == THEIRS else ours
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    if contender == THEIRS:
        return model
    model = model.to(precision.floating_point)
    if precision is Precision.INT8:
        quantize_weights(model)
    model.pack_weights()  # as Codec.from_pretrained does
    if contender == COMPILED:
        model.compile_layers()
    return model


def codec_run(contender: str, model: Any, setting: Setting, codes: np.ndarray | None) -> Run:
    if setting.what == "decode":
        given = torch.from_numpy(codes)
        return lambda: model.decode(given).audio_values
    inputs = prepared(model, contender, setting.seconds, setting.batch)
    inputs["input_values"] = inputs["input_values"].to(model.dtype)
    return lambda: model.encode(**inputs).audio_codes


def acoustic_run(contender: str, dtype: torch.dtype, setting: Setting) -> Run:
    torch.manual_seed(0)
    config = transformers.Xcodec2Config()
    encoder: nn.Module = AcousticEncoder(config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size)
    if contender == THEIRS:
        weights, encoder = encoder.state_dict(), TheirEncoder(config)
        encoder.load_state_dict(weights)
    encoder = encoder.to(dtype).eval()
    if contender != THEIRS:
        pack_weights(encoder)
    samples = speech(setting.seconds, RATE)
    wave = torch.from_numpy(samples[: len(samples) // 320 * 320]).expand(setting.batch, 1, -1).to(dtype).contiguous()
    return lambda: encoder(wave)


def measured(run: Run) -> dict[str, float]:
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    processor, wall = time.process_time(), time.perf_counter()
    run()
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults,
    }


@torch.inference_mode()
def serve(orders: Connection, contender: str, name: str, dtype: str, folder: str) -> None:
    """A contender's process: told a setting and codes, it runs once and sends the output; told None, it sends times."""
    precision, model, run = Precision(dtype), None, None
    with kernels.use(kernels.TORCH) if contender == WITHOUT_KERNEL else contextlib.nullcontext():
        while True:
            try:
                order = orders.recv()
            except EOFError:
                return
            if order is None:
                orders.send(measured(run))
                continue
            setting, codes = order
            torch.set_num_threads(setting.threads)
            if setting.what == "acoustic":
                run = acoustic_run(contender, precision.floating_point, setting)
            else:
                model = model or load_model(contender, name, precision, folder)
                run = codec_run(contender, model, setting, codes)
            output = run()  # also the warm-up
            orders.send((output.float() if output.is_floating_point() else output).numpy())


class Contender:
    """A contender in a process of its own.

    Args:
        name: which it is.
        arguments: of the command.
        folder: where the model is.
        environment: what its process finds beside this one's.
    """

    def __init__(self, name: str, arguments: argparse.Namespace, folder: str, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.orders, theirs = context.Pipe()
        given = (theirs, name, arguments.model, arguments.dtype, folder)
        self.process = context.Process(target=serve, args=given, daemon=True)
        os.environ.update(environment)
        self.process.start()
        for key in environment:
            del os.environ[key]
        theirs.close()

    def ask(self, order: Any) -> Any:
        """Give an order and wait for the answer."""
        self.orders.send(order)
        return self.orders.recv()

    def end(self) -> None:
        """End the process."""
        self.orders.close()
        self.process.join()


@contextlib.contextmanager
def contenders(
    names: list[str], arguments: argparse.Namespace, folder: str, allocator: str
) -> Iterator[dict[str, Contender]]:
    started = {name: Contender(name, arguments, folder, ALLOCATORS[allocator]) for name in names}
    try:
        yield started
    finally:
        for each in started.values():
            each.end()


def agreement(found: np.ndarray, expected: np.ndarray) -> str:
    if not np.issubdtype(expected.dtype, np.floating):
        return f"{float((found == expected).mean()):.4%} of {expected.size} codes"
    return f"within {float(np.abs(found - expected).max() / np.abs(expected).max()):.1e} of the largest"


def compare(running: dict[str, Contender], setting: Setting, rounds: int) -> list[dict[str, Any]]:
    """Run the contenders in turn; one row each."""
    codes = running[OURS].ask((setting._replace(what="encode"), None)) if setting.what == "decode" else None
    outputs = {name: each.ask((setting, codes)) for name, each in running.items()}
    reference = THEIRS if THEIRS in running else OURS
    equal = {name: agreement(output, outputs[reference]) for name, output in outputs.items()}
    times = [{name: each.ask(None) for name, each in running.items()} for _ in range(rounds)]
    audio_seconds = setting.seconds * setting.batch

    def over_transformers(name: str, measure: str) -> list[float]:
        return sorted(each[reference][measure] / each[name][measure] for each in times)

    return [
        {
            "contender": name,
            "times_real_time": audio_seconds / statistics.median(each[name]["wall"] for each in times),
            "over_transformers": over_transformers(name, "wall"),
            "processor_over_transformers": over_transformers(name, "processor"),
            "faults_per_audio_second": statistics.median(each[name]["faults"] for each in times) / audio_seconds,
            "agreement": equal[name],
        }
        for name in running
    ]


def measure(arguments: argparse.Namespace, allocator: str, folder: str) -> list[dict[str, Any]]:
    """All rows of one allocator."""
    rows = []
    for what in arguments.what:
        names = [OURS] + [THEIRS] * has_theirs(arguments.model)
        names += [WITHOUT_KERNEL] if what == "acoustic" else [COMPILED] * arguments.compiled
        with contenders(sorted(names), arguments, folder, allocator) as running:
            for setting in itertools.product([what], arguments.threads, arguments.seconds, arguments.batch):
                found = compare(running, Setting(*setting), arguments.rounds)
                rows += [{"allocator": allocator, **Setting(*setting)._asdict(), **row} for row in found]
                print(".", end="", flush=True, file=sys.stderr)
    return rows


def add_memory(rows: list[dict[str, Any]], model: str) -> None:
    """Put the peak memory, or why there is none, beside the times of encode and decode."""
    for row in rows:
        if row["what"] == "acoustic" or row["contender"] not in (OURS, THEIRS):
            continue
        limit = 0.8 * memory.available_bytes() / memory.GIB
        case = row["contender"], model, row["what"], row["seconds"] / 60, row["batch"], limit
        found = memory.measure(*case, **ALLOCATORS[row["allocator"]])
        row["peak_memory"] = f"{found['peak'] / memory.GIB:.2f} GiB" if "peak" in found else found["refused"]


def show(rows: list[dict[str, Any]]) -> None:
    print(
        "| | threads | clip | batch | allocator | | x real time | over transformers | faults/audio-s | memory | equal |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ratios = row["over_transformers"]
        over = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        cells = [
            row["what"],
            row["threads"],
            f"{row['seconds']:g} s",
            row["batch"],
            row["allocator"],
            row["contender"],
            f"{row['times_real_time']:.2f}",
            over,
            f"{row['faults_per_audio_second']:,.0f}",
            row.get("peak_memory", ""),
            row["agreement"],
        ]
        print(f"| {' | '.join(map(str, cells))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["encode", "decode", "acoustic"])
    parser.add_argument("--model", choices=list(FAMILIES), default="xcodec2")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0, 30.0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "int8"], default="float32")
    parser.add_argument("--compiled", action="store_true", help="also ours with compiled layers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--allocators", nargs="+", choices=list(ALLOCATORS), default=list(ALLOCATORS))
    parser.add_argument("--memory", action="store_true", help="also peak memory, in float32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if "acoustic" in arguments.what and arguments.dtype == "int8":
        parser.error("the acoustic encoder alone is not run in int8")
    if arguments.memory and arguments.dtype != "float32":
        parser.error("--memory measures float32 only")

    load = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what != ["acoustic"]:
            random_model(arguments.model).save_pretrained(folder)
        for allocator in arguments.allocators:
            rows += measure(arguments, allocator, folder)
    if arguments.memory:
        add_memory(rows, arguments.model)
    settings = {key: value for key, value in vars(arguments).items() if key != "json"}
    record = {
        "machine": f"{processor_name()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "load_before": load,
        "versions": {name: version(name) for name in ("xcodec", "torch", "transformers")},
        "kernel": kernels.variant(),
        "settings": settings,
        "rows": rows,
    }
    print(
        f"\n{record['machine']}, load {load:.1f} before; {record['versions']}; kernel {record['kernel']}; {settings}\n"
    )
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
