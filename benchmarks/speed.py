"""Speed at the released size against transformers, on the same random weights, in turn in one run.

    python benchmarks/speed.py encode decode [--model xcodec2] [--seconds 5 10 30] [--batch 1 4] [--dtype float32]
        [--compiled] [--rounds 3] [--threads 1 2] [--allocators default tuned] [--memory] [--json FILE]

transformers runs in float32; --dtype, which may be int8, is ours (of `acoustic` both, and not int8). --compiled adds
ours with its layers compiled.

The contenders run in turn within each round, so that a round's ratios share whatever else the machine does; medians and
the range over the rounds are shown. `acoustic` in place of `encode` runs X-Codec2's acoustic encoder alone.

"tuned" is an allocator that keeps its pages (MALLOC_MMAP_THRESHOLD_=4294967296, MALLOC_TRIM_THRESHOLD_=17179869184),
the better of the two baselines: by default glibc gives big blocks back at once, and transformers then spends much of
its time on page faults. Every allocator is a process of its own. --memory adds what a contender's process takes at its
peak, weights and libraries included: memory.py's measure, one process a case, apart from the times; float32 only.

transformers' own feature extractor of X-Codec2 needs torchaudio, so every contender reads our features.
"""

import argparse
import copy
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import memory
import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers.models.xcodec2.modeling_xcodec2 import Xcodec2Encoder as TheirEncoder

import xcodec
from xcodec import Audio, kernels
from xcodec.device import Precision
from xcodec.models.acoustic import AcousticEncoder
from xcodec.modules.int8 import quantize_linear_maps

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
RATE = 16000  # Hz
ALLOCATORS = {
    "default": {},
    "tuned": {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184"},
}
Contenders = dict[str, Callable[[], Tensor]]


def speech(seconds: float) -> np.ndarray:
    """So many seconds of read speech, the recordings repeated as needed."""
    spoken = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS])
    return np.resize(spoken, int(seconds * RATE))


def build(name: str, precision: Precision, compiled: bool) -> tuple[dict[str, Any], Any]:
    """Models of the released size by name, transformers' among them, on the same weights; and the feature extractor."""
    family = {"xcodec2": "Xcodec2", "xcodec": "Xcodec"}[name]
    model = getattr(xcodec, f"{family}Model")(getattr(xcodec, f"{family}Config")()).eval()
    extractor = getattr(xcodec, f"{family}FeatureExtractor")()
    if name == "xcodec2":
        vary_codes(model, extractor)
    twin = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")()).eval()
    twin.load_state_dict(model.state_dict(), assign=True)  # no second copy
    if precision is not Precision.FLOAT32:
        model = copy.deepcopy(model).to(precision.floating_point)
    if precision is Precision.INT8:
        quantize_linear_maps(model)
    models = {"ours": model, "transformers": twin}
    if compiled:
        memo = {id(parameter): parameter for parameter in model.parameters()}  # no second copy here either
        models["ours, compiled"] = copy.deepcopy(model, memo)
        models["ours, compiled"].pack_weights()
        models["ours, compiled"].compile_layers()
    model.pack_weights()  # as Codec.from_pretrained does
    return models, extractor


def vary_codes(model: nn.Module, extractor: Any) -> None:
    """Give the quantizer's input a deviation of 1: fresh weights put every latent into a few cells."""
    taken: list[Tensor] = []
    project_in = model.quantizer.project_in
    hook = project_in.register_forward_hook(lambda *call: taken.append(call[2]))
    model.encode(**extractor([speech(5)], sampling_rate=RATE, return_tensors="pt"))
    hook.remove()
    project_in.weight.div_(taken[0].std((0, 1))[:, None])
    project_in.bias.sub_(taken[0].mean((0, 1))).div_(taken[0].std((0, 1)))


def without_kernel(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def chosen() -> Tensor:
        with kernels.use(kernels.TORCH):
            return run()

    return chosen


def acoustic_encoders(dtype: torch.dtype, seconds: float, batch: int) -> Contenders:
    config = transformers.Xcodec2Config()
    encoder = AcousticEncoder(config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size)
    twin = TheirEncoder(config)
    twin.load_state_dict(encoder.state_dict())
    samples = speech(seconds)
    wave = torch.from_numpy(samples[: len(samples) // 320 * 320]).expand(batch, 1, -1).to(dtype).contiguous()
    encoder, twin = encoder.to(dtype).eval(), twin.to(dtype).eval()
    return {
        "ours": lambda: encoder(wave),
        "ours without the kernel": without_kernel(lambda: encoder(wave)),
        "transformers": lambda: twin(wave),
    }


def contenders(models: dict[str, Any], extractor: Any, what: str, seconds: float, batch: int) -> Contenders:
    inputs = extractor([speech(seconds)] * batch, sampling_rate=RATE, return_tensors="pt")
    if isinstance(extractor, xcodec.XcodecFeatureExtractor):
        del inputs["padding_mask"]  # transformers' X-Codec takes none, and equal clips need none

    def encode(name: str) -> Tensor:
        own = {**inputs, "input_values": inputs["input_values"].to(models[name].dtype)}
        return models[name].encode(**own).audio_codes

    if what == "encode":
        return {name: partial(encode, name) for name in sorted(models)}
    codes = encode("ours")
    return {name: lambda model=model: model.decode(codes).audio_values for name, model in sorted(models.items())}


def agreement(found: Tensor, expected: Tensor) -> str:
    if not expected.is_floating_point():
        return f"{float((found == expected).float().mean()):.4%} of {expected.numel()} codes"
    difference = (found.float() - expected.float()).abs().max() / expected.float().abs().max()
    return f"within {float(difference):.1e} of the largest"


def measured(run: Callable[[], Tensor]) -> dict[str, float]:
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    processor, wall = time.process_time(), time.perf_counter()
    run()
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults,
    }


def compare(runs: Contenders, audio_seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Run the contenders in turn; one row each."""
    outputs = {name: run() for name, run in runs.items()}  # also the warm-up
    equal = {name: agreement(output, outputs["transformers"]) for name, output in outputs.items()}
    outputs.clear()
    times = [{name: measured(run) for name, run in runs.items()} for _ in range(rounds)]
    return [
        {
            "contender": name,
            "times_real_time": audio_seconds / statistics.median(each[name]["wall"] for each in times),
            "over_transformers": sorted(each["transformers"]["wall"] / each[name]["wall"] for each in times),
            "processor_over_transformers": sorted(
                each["transformers"]["processor"] / each[name]["processor"] for each in times
            ),
            "faults_per_audio_second": statistics.median(each[name]["faults"] for each in times) / audio_seconds,
            "agreement": equal[name],
        }
        for name in runs
    ]


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of one allocator."""
    torch.manual_seed(0)
    precision = Precision(arguments.dtype)
    models = None if arguments.what == ["acoustic"] else build(arguments.model, precision, arguments.compiled)
    rows = []
    settings = itertools.product(arguments.what, arguments.threads, arguments.seconds, arguments.batch)
    for what, threads, seconds, batch in settings:
        torch.set_num_threads(threads)
        if what == "acoustic":
            runs = acoustic_encoders(precision.floating_point, seconds, batch)
        else:
            assert models is not None
            runs = contenders(*models, what, seconds, batch)
        found = compare(runs, seconds * batch, arguments.rounds)
        rows += [{"what": what, "threads": threads, "seconds": seconds, "batch": batch, **row} for row in found]
        print(".", end="", flush=True, file=sys.stderr)
    return rows


def add_memory(rows: list[dict[str, Any]], model: str) -> None:
    """Put the peak memory, or why there is none, beside the times of encode and decode."""
    for row in rows:
        if row["what"] == "acoustic" or row["contender"] not in ("ours", "transformers"):
            continue
        limit = 0.8 * memory.available_bytes() / memory.GIB
        case = row["contender"], model, row["what"], row["seconds"] / 60, row["batch"], limit
        found = memory.measure(*case, **ALLOCATORS[row["allocator"]])
        row["peak_memory"] = f"{found['peak'] / memory.GIB:.2f} GiB" if "peak" in found else found["refused"]


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


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
    parser.add_argument("--model", choices=["xcodec2", "xcodec"], default="xcodec2")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0, 30.0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "int8"], default="float32")
    parser.add_argument("--compiled", action="store_true", help="also ours with compiled layers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--allocators", nargs="+", choices=list(ALLOCATORS), default=list(ALLOCATORS))
    parser.add_argument("--memory", action="store_true", help="also peak memory, in float32")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        arguments.child.write_text(json.dumps(measure(arguments)))
        return
    if "acoustic" in arguments.what and arguments.dtype == "int8":
        parser.error("the acoustic encoder has no linear maps for int8")
    if arguments.memory and arguments.dtype != "float32":
        parser.error("--memory measures float32 only")

    load = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for allocator in arguments.allocators:
            answer = Path(folder) / allocator
            command = [sys.executable, *sys.argv, "--child", str(answer)]
            subprocess.run(command, env={**os.environ, **ALLOCATORS[allocator]}, check=True)
            rows += [{"allocator": allocator, **row} for row in json.loads(answer.read_text())]
    if arguments.memory:
        add_memory(rows, arguments.model)
    settings = {key: value for key, value in vars(arguments).items() if key not in ("json", "child")}
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
