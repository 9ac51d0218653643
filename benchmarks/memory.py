"""Peak memory of encode and decode against a clip's length: ours and transformers, each in a process of its own.

    python benchmarks/memory.py [--model xcodec2|neucodec|xcodec|higgs_audio_v2_tokenizer|mini]
        [--minutes 0.1667 1 3 10] [--batch 1 8] [--json FILE] [--plot FILE]

Each codec is at its released size, with random parameters in float32 ("xcodec": 161M, with HuBERT, at 4 kbit/s); "mini"
is `mini`. The peak is the process's resident memory while it works, weights and
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

GIB = 1 << 30
NAMES = {
    "xcodec2": "X-Codec2, 629M",
    "neucodec": "NeuCodec, 629M",
    "xcodec": "X-Codec, 161M",
    "higgs_audio_v2_tokenizer": "Higgs v2 tokenizer, 201M",
    "mini": "mini, 19.3M",
}
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


def build(implementation: str, model_type: str) -> Any:
    import xcodec

    if model_type == "mini":
        return xcodec.Codec.from_pretrained().model
    from released import new_model

    model = new_model(model_type, implementation)
    if implementation == "ours":
        model.pack_weights()  # as Codec.from_pretrained does
    return model


def child(implementation: str, model_type: str, task: str, minutes: float, batch: int, limit: float) -> None:
    """Measure one case and print it as JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit * GIB), int(limit * GIB)))
    try:
        import torch
        from released import prepared

        from xcodec.models.registry import FAMILIES

        model = build(implementation, model_type)
        config = FAMILIES[model.config.model_type].config.from_fields(model.config.to_dict(), implementation)
        codebooks = getattr(config, "num_quantizers", 1)
        with torch.inference_mode():
            if task == "encode":
                inputs = prepared(model, implementation, minutes * 60, batch)
            else:
                num_codes = int(minutes * 60 * config.frame_rate)
                codes = torch.randint(config.codebook_size, (batch, codebooks, num_codes))
            forget_peak()
            before, started = peak_bytes(), time.perf_counter()
            if task == "encode":
                assert model.encode(**inputs).audio_codes.shape[:2] == (batch, codebooks)
            else:
                assert len(model.decode(codes).audio_values) == batch
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
    parser.add_argument("--model", choices=list(NAMES), default="xcodec2")
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
        alone = [row for row in record["rows"] if row["batch"] == 1]
        plot(alone, f"{NAMES[arguments.model]} parameters, float32", arguments.plot)


if __name__ == "__main__":
    main()
