"""Peak memory of encode and decode against a clip's length: ours and transformers, each in a process of its own.

    python benchmarks/memory.py [--model xcodec2|xcodec|mini] [--minutes 0.1667 1 3 10] [--batch 1 8] [--json FILE]
        [--plot FILE]

"xcodec2" and "xcodec" are the codecs at their released sizes, random parameters in float32 (629M and, with HuBERT, 161M
at 4 kbit/s); "mini" is the built-in model. The peak is the process's resident memory while it works, weights and
libraries included, and so comparable with what a machine has. A process may take --limit GiB; where it asks for more,
it ends there, and that is what is reported. The allocator is glibc's as it comes, whatever the environment says.
transformers' own feature extractor of X-Codec2 needs torchaudio, so both read our features. Linux only: the system
keeps the peaks.
"""

import argparse
import itertools
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RATE = 16000  # Hz
RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
GIB = 1 << 30
TASKS = ("encode", "decode")
REFUSED = 3  # exit code of a child that ran out of what it may take


def peak_bytes() -> int:
    """The most resident memory since `forget_peak`."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def available_bytes() -> int:
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(memory["MemAvailable"].split()[0]) * 1024


def build(implementation: str, model: str) -> Any:
    import transformers

    import xcodec

    if model == "mini":
        return xcodec.Codec.from_pretrained().model
    library = xcodec if implementation == "ours" else transformers
    built = getattr(library, f"{model.capitalize()}Model")(getattr(library, f"{model.capitalize()}Config")()).eval()
    if implementation == "ours":
        built.pack_weights()  # as Codec.from_pretrained does
    return built


def prepare(implementation: str, model: str, num_samples: int, batch: int) -> Any:
    """So much read speech, the recordings repeated as needed, as the model takes it."""
    import numpy as np

    import xcodec

    extractor = xcodec.XcodecFeatureExtractor() if model == "xcodec" else xcodec.Xcodec2FeatureExtractor()
    speech = np.concatenate([xcodec.Audio.read(path).samples[0] for path in RECORDINGS])
    inputs = extractor([np.resize(speech, num_samples)] * batch, sampling_rate=RATE, return_tensors="pt")
    if model == "xcodec" and implementation == "transformers":
        del inputs["padding_mask"]  # which it does not know
    return inputs


def child(implementation: str, model_name: str, task: str, minutes: float, batch: int, limit: float) -> None:
    """Measure one case and print it as JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit * GIB), int(limit * GIB)))
    try:
        import torch

        torch.manual_seed(0)
        model = build(implementation, model_name)
        num_samples = int(minutes * 60 * RATE)
        codebooks = getattr(model.config, "num_quantizers", 1)
        num_codes = -(-num_samples // 320) if model_name == "xcodec" else num_samples // 320 + 1
        with torch.inference_mode():
            if task == "encode":
                inputs = prepare(implementation, model_name, num_samples, batch)
            else:
                size = 1024 if model_name == "xcodec" else 65536
                codes = torch.randint(size, (batch, codebooks, num_codes))
            forget_peak()
            before, started = peak_bytes(), time.perf_counter()
            if task == "encode":
                assert model.encode(**inputs).audio_codes.shape == (batch, codebooks, num_codes)
            else:
                assert model.decode(codes).audio_values.shape[-1] == num_codes * 320
        print(json.dumps({"peak": peak_bytes(), "before": before, "seconds": time.perf_counter() - started}))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        wanted = re.search(r"tried to allocate (\d+) bytes", str(error))
        reason = f"asked for {int(wanted[1]) / GIB:.1f} GiB at once" if wanted else str(error).splitlines()[0][:200]
        print(json.dumps({"refused": reason}))
        sys.exit(REFUSED)


def measure(
    implementation: str, model: str, task: str, minutes: float, batch: int, limit: float, **variables: str
) -> dict[str, Any]:
    """Run one case in a process of its own, with environment variables for its allocator."""
    case = {"implementation": implementation, "task": task, "minutes": minutes, "batch": batch, "limit_gib": limit}
    arguments = [sys.executable, __file__, "--child", json.dumps(case | {"model": model})]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment | variables)
    if done.returncode not in (0, REFUSED):
        killed = f"killed by signal {-done.returncode}" if done.returncode < 0 else done.stderr[-2000:]
        return case | {"refused": killed}
    return case | json.loads(done.stdout.splitlines()[-1])


def plot(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "xcodec"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4))
    for implementation, line in (("ours", "-"), ("transformers", "--")):
        for task, color in (("encode", "C0"), ("decode", "C1")):
            own = [row for row in rows if (row["implementation"], row["task"]) == (implementation, task)]
            known = [row for row in own if "peak" in row]
            if known:
                axes.plot(
                    [row["minutes"] for row in known],
                    [row["peak"] / GIB for row in known],
                    f"{line}o",
                    color=color,
                    label=f"{implementation}, {task}",
                )
            ended = [row for row in own if "refused" in row]
            if ended:
                axes.plot(
                    [row["minutes"] for row in ended],
                    [row["limit_gib"] for row in ended],
                    "x",
                    color=color,
                    label=f"{implementation}, {task}: more than it could have",
                )
    axes.set(
        xlabel="length of the clip, minutes",
        ylabel="peak memory, GiB",
        title=title,
        ylim=(0, max(row.get("peak", row["limit_gib"] * GIB) for row in rows) / GIB * 1.1),
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["xcodec2", "xcodec", "mini"], default="xcodec2")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1 / 6, 1, 3, 10])
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--implementations", nargs="+", choices=["ours", "transformers"])
    parser.add_argument("--limit", type=float, help="GiB that a process may take; default: 80%% of what is free")
    parser.add_argument("--json", type=Path, help="written after every case; cases that it holds already are kept")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if case := arguments.child:
        child(case["implementation"], case["model"], case["task"], case["minutes"], case["batch"], case["limit_gib"])
        return
    implementations = arguments.implementations or ["ours"] + ["transformers"] * (arguments.model != "mini")
    record: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "versions": {name: version(name) for name in ("xcodec", "torch", "transformers")},
        "model": arguments.model,
        "rows": [],
    }
    if arguments.json and arguments.json.is_file():
        kept = json.loads(arguments.json.read_text())
        if kept["model"] != arguments.model:
            parser.error(f"{arguments.json} is of {kept['model']}; give another file")
        record["rows"] = kept["rows"]
    cases = itertools.product(arguments.minutes, arguments.batch, implementations, arguments.tasks)
    for minutes, batch, implementation, task in cases:
        key = {"implementation": implementation, "task": task, "minutes": minutes, "batch": batch}
        if any(key.items() <= row.items() for row in record["rows"]):
            continue
        limit = arguments.limit or round(0.8 * available_bytes() / GIB, 1)
        record["rows"].append(measure(implementation, arguments.model, task, minutes, batch, limit))
        if arguments.json:
            arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{record['machine']}, {record['versions']}, {arguments.model}\n")
    print("| minutes | batch | task | implementation | peak GiB | of it before the call |")
    print("|---|---|---|---|---|---|")
    order = ("minutes", "batch", "task", "implementation")
    for row in sorted(record["rows"], key=lambda row: [row[name] for name in order]):
        measured = f"more than {row['limit_gib']:g} | {row.get('refused')}"
        if "peak" in row:
            measured = f"{row['peak'] / GIB:.2f} | {row['before'] / GIB:.2f}"
        print(f"| {row['minutes']:.3g} | {row['batch']} | {row['task']} | {row['implementation']} | {measured} |")
    if arguments.plot:
        names = {"xcodec2": "X-Codec2, 629M", "xcodec": "X-Codec, 161M", "mini": "mini, 12.2M"}
        alone = [row for row in record["rows"] if row["batch"] == 1]
        plot(alone, f"{names[arguments.model]} parameters, float32", arguments.plot)


if __name__ == "__main__":
    main()
