"""Whether speed that was won is still there: ratios over what does the same otherwise, against those kept before.

    python benchmarks/check.py [--rounds 15] [--keep] [--measured FILE] [--kept FOLDER]

Each ratio is the peer's time over ours, both run in turn within a round, so that a round's ratio shares whatever else
the machine does; the time is the processor's, which a busy machine changes least. They are compared with the file that
was kept for this processor and number of threads in benchmarks/kept/: by the interval that holds 95 of 100 resampled
medians of now over then. What lies below 1 by more than MARGIN is lost, and the exit code is then 1. --keep writes what
was measured as the file to compare with from then on; --measured takes ratios from such a file in place of measuring.
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

KEPT = Path(__file__).parent / "kept"
MARGIN = 0.05  # between runs more differs than within one: where memory lies, what else the processor is used for
RESAMPLED = 2000
Run = Callable[[], object]


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def kept_file(folder: Path, processor: str, threads: int) -> Path:
    """Where the ratios of a processor and a number of threads are."""
    words = re.findall(r"[a-z0-9]+", processor.lower())
    return folder / f"{'-'.join(words)}-{threads}.json"


def interval(kept: list[float], found: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median of `found` over that of `kept`, by resampling both."""
    generator = np.random.default_rng(0)
    medians = [np.median(generator.choice(each, (RESAMPLED, len(each))), axis=1) for each in (found, kept)]
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    return float(low), float(high)


def verdict(low: float, high: float) -> str:
    """What an interval of now over then says: "lost", "gained" or "as before"."""
    if high < 1 - MARGIN:
        return "lost"
    return "gained" if low > 1 + MARGIN else "as before"


def compared(kept: dict[str, list[float]], found: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each ratio of either; one that is no longer measured counts as lost."""
    rows = []
    for name in {**kept, **found}:
        if name not in found:
            rows.append({"name": name, "then": np.median(kept[name]), "verdict": "lost"})
        elif name not in kept:
            rows.append({"name": name, "now": np.median(found[name]), "verdict": "new"})
        else:
            low, high = interval(kept[name], found[name])
            medians = {"then": np.median(kept[name]), "now": np.median(found[name])}
            rows.append({"name": name, **medians, "over": f"{low:.2f} to {high:.2f}", "verdict": verdict(low, high)})
    return rows


def seconds(run: Run) -> float:
    """What a call takes of the processor."""
    start = time.process_time()
    run()
    return time.process_time() - start


def processor_seconds(*arguments: str) -> float:
    """What a new process of Python takes of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pairs() -> dict[str, tuple[Run, Run]]:
    """By name: ours, and the peer."""
    import torch
    import torch.nn.functional as F
    from released import THEIRS, prepared, save_small_xcodec2, their_class
    from transformers.utils import logging

    import xcodec
    from xcodec import kernels
    from xcodec.modules.linear import Linear
    from xcodec.modules.packing import pack_weights

    logging.disable_progress_bar()
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 1000, 16, 64)
    heads = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    rows, plain, packed = torch.randn(500, 1024), Linear(1024, 4096), Linear(1024, 4096)
    pack_weights(packed)
    with TemporaryDirectory() as folder:
        save_small_xcodec2(Path(folder))
        ours: Any = xcodec.Xcodec2Model.from_pretrained(folder).eval()
        theirs: Any = their_class("xcodec2").from_pretrained(folder).eval()
    ours.pack_weights()
    clip, their_clip = prepared(ours, "ours", 5, 1), prepared(theirs, THEIRS, 5, 1)
    codes = ours.encode(**clip).audio_codes
    stage: Any = ours.acoustic_encoder
    wave = clip["input_values"]

    def without_kernels() -> object:
        with kernels.use(kernels.TORCH):
            return stage(wave)

    return {
        "attention of 1,000 steps, over torch's": (
            lambda: kernels.attention(q, k, v, None, None, 0),
            lambda: F.scaled_dot_product_attention(*heads),
        ),
        "a packed linear map of 500 rows, over torch's": (
            lambda: packed(rows),
            lambda: F.linear(rows, plain.weight, plain.bias),
        ),
        "a small acoustic encoder, over the same without kernels": (lambda: stage(wave), without_kernels),
        "a small X-Codec2 encodes 5 s, over transformers": (
            lambda: ours.encode(**clip),
            lambda: theirs.encode(**their_clip),
        ),
        "a small X-Codec2 decodes 5 s, over transformers": (lambda: ours.decode(codes), lambda: theirs.decode(codes)),
    }


def measured(rounds: int) -> dict[str, list[float]]:
    """The ratios, one a round; a first round is not counted."""
    import torch

    found: dict[str, list[float]] = {}
    with torch.inference_mode():
        for name, (ours, peer) in pairs().items():
            ratios = []
            for _ in range(rounds + 1):
                own = seconds(ours)
                ratios.append(seconds(peer) / own)
            found[name] = ratios[1:]
            print(".", end="", flush=True, file=sys.stderr)
    help_shown = "import sys; sys.argv = ['xcodec', '--help']; from xcodec.cli import main; main()"
    programs = (help_shown, "import torch")
    starts = [[processor_seconds("-c", each) for each in programs] for _ in range(rounds // 3 + 1)]
    found["xcodec --help, over import torch"] = [peer / own for own, peer in starts]
    return found


def show(rows: list[dict[str, Any]]) -> None:
    print("| | then | now | now over then | |\n|---|---|---|---|---|")
    for row in rows:
        numbers = [f"{row[key]:.2f}" if key in row else "" for key in ("then", "now")]
        print(f"| {row['name']} | {numbers[0]} | {numbers[1]} | {row.get('over', '')} | {row['verdict']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--kept", type=Path, default=KEPT)
    arguments = parser.parse_args()
    if arguments.measured:
        record = json.loads(arguments.measured.read_text())
    else:
        import torch

        record = {
            "processor": processor_name(),
            "threads": torch.get_num_threads(),
            "system": f"{platform.system()}, {os.cpu_count()} cores",
            "versions": {name: version(name) for name in ("xcodec", "torch", "transformers")},
            "ratios": {name: [round(x, 4) for x in each] for name, each in measured(arguments.rounds).items()},
        }
    file = kept_file(arguments.kept, record["processor"], record["threads"])
    kept = json.loads(file.read_text()) if file.is_file() else {"ratios": {}, "versions": record["versions"]}
    print(f"{record['processor']}, {record['threads']} threads, {record['versions']}\n")
    if kept["versions"] != record["versions"]:
        print(f"kept with other versions: {kept['versions']}\n")
    rows = compared(kept["ratios"], record["ratios"])
    show(rows)
    if arguments.keep:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(record, indent=1) + "\n")
        print(f"\nkept in {file}")
    elif not kept["ratios"]:
        print("\nnothing is kept for this processor: --keep keeps this run")
    elif lost := [row["name"] for row in rows if row["verdict"] == "lost"]:
        sys.exit(f"\nlost: {'; '.join(lost)}")


if __name__ == "__main__":
    main()
