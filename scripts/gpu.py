"""Ten minutes on a machine with a GPU, well spent: tests, tables, and training with what is left.

    python scripts/gpu.py [--minutes 10] [--output gpu-output] [--wheels FOLDER] [--data FILE.tar] [--state FOLDER]

Everything is brought along, since such a machine may reach nothing: torch is there, `--wheels` is a folder of wheels of
the rest, `--data` a tar of recordings to train on (opus or mp3, 40 MB at most), `--state` the pieces of the state of a
run of `mini`, as this script leaves them, to go on from. What comes of it is in `--output`: report.md, report.json,
what each part printed, and state/, the new state in pieces of less than 16 MB.

Each part is a process of its own, has a share of the time, and leaves what it has when that is up; nothing that fails
keeps the next from running. With `--small` the parts take seconds on a CPU, which is how they are tested.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIECE = 15_000_000  # bytes
LARGEST_DATA = 40_000_000  # bytes
# Each part with the share of the time that it may take at most; training has what is left.
SHARES = {"tests": 0.3, "speed": 0.25, "streams": 0.08, "training": 0.1}
RESERVE = 20.0  # seconds for saving the state and writing the report


def split(file: Path, folder: Path, size: int = PIECE) -> list[Path]:
    """Write a file as pieces NAME.000, NAME.001, ... of at most so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    with file.open("rb") as opened:
        while block := opened.read(size):
            pieces.append(folder / f"{file.name}.{len(pieces):03}")
            pieces[-1].write_bytes(block)
    return pieces


def join(folder: Path, into: Path) -> Path:
    """Put the pieces of one file together again.

    Raises:
        SystemExit: where there are none, of several files, or one between them is missing.
    """
    pieces = sorted(path for path in folder.iterdir() if path.suffix[1:].isdecimal())
    names = {path.stem for path in pieces}
    if len(names) != 1 or [int(path.suffix[1:]) for path in pieces] != list(range(len(pieces))):
        sys.exit(f"{folder}: expected the pieces NAME.000, NAME.001, ... of one file, found {[p.name for p in pieces]}")
    into.mkdir(parents=True, exist_ok=True)
    whole = into / names.pop()
    with whole.open("wb") as opened:
        for piece in pieces:
            opened.write(piece.read_bytes())
    return whole


def run(name: str, command: Sequence[object], output: Path, seconds: float) -> dict[str, Any]:
    """Run a part; how it ended, and after how long. What it prints is in output/NAME.log."""
    start = time.monotonic()
    with (output / f"{name}.log").open("w") as log:
        try:
            process = subprocess.run(
                list(map(str, command)),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, seconds),
                env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"},
            )
            ended: int | str = process.returncode
        except subprocess.TimeoutExpired:
            ended = "its time was up"
    return {"ended": ended, "seconds": round(time.monotonic() - start, 1)}


def train(arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Train by the recipe `xcodec2-small`, from the state that was brought along, or from nothing."""
    output: Path = arguments.output
    data, folder = ROOT / "tests" / "audio", output / "run"
    settings = ["synthesis=null", "data.shares={}", "loss.phones=0"]
    if arguments.data:
        data = output / "data"
        with tarfile.open(arguments.data) as archive:
            archive.extractall(data, filter="data")
    if arguments.state:
        join(arguments.state, folder)
    else:
        settings += ["adversarial.first_step=0"]
    if arguments.small:
        settings += [
            f"steps={2 + 2 * bool(arguments.state)}",
            "data.batch_seconds=2",
            "data.crop_seconds=[1.0, 1.0]",
            "adversarial=null",
        ]
    command = [sys.executable, "-m", "xcodec", "train", "xcodec2-small", "--data", data, "-o", folder]
    command += ["--minutes", max(seconds, 1) / 60, *(part for each in settings for part in ("--set", each))]
    found = run("train", command, output, seconds + RESERVE)
    if states := sorted(folder.glob("step-*.pt")):
        found["state"] = states[-1].name
        found["pieces"] = [piece.name for piece in split(states[-1], output / "state")]
    return found


def described() -> dict[str, Any]:
    """The machine, and what runs on it."""
    asked = "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    return {"machine": platform.platform(), "processors": os.cpu_count(), "python": platform.python_version()} | {
        "torch and GPU": found.stdout.strip() or found.stderr.strip()[-200:]
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown; their keys in the order in which they first come."""
    keys = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value).replace("|", "/")

    lines = [keys, ["---"] * len(keys), *([cell(row.get(key)) for key in keys] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(output: Path, record: dict[str, Any]) -> None:
    """Write report.json and report.md, with what there is so far."""
    (output / "report.json").write_text(json.dumps(record, indent=1) + "\n")
    parts = ["# On a GPU", table([record["machine"]])]
    for name, part in record["parts"].items():
        parts += [f"## {name}", f"Ended: {part['ended']}, after {part['seconds']:g} s."]
        if rows := part.get("rows"):
            parts.append(table(rows))
        elif "summary" in part:
            parts.append(f"```\n{part['summary']}\n```")
    (output / "report.md").write_text("\n\n".join(parts) + "\n")


def main() -> None:
    """Do all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=ROOT / "gpu-output")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels of what is not there")
    parser.add_argument("--data", type=Path, help="a tar of recordings to train on")
    parser.add_argument("--state", type=Path, help="a folder with the pieces of a state to go on from")
    parser.add_argument("--parts", nargs="+", choices=[*SHARES, "train"], default=[*SHARES, "train"])
    parser.add_argument("--small", action="store_true", help="seconds on a CPU: to see that the parts run")
    arguments = parser.parse_args()
    if arguments.data and arguments.data.stat().st_size > LARGEST_DATA:
        parser.error(
            f"{arguments.data} takes {arguments.data.stat().st_size:,} bytes; at most {LARGEST_DATA:,} come along"
        )
    start, whole = time.monotonic(), 60 * arguments.minutes
    output: Path = arguments.output.resolve()
    arguments.output = output
    output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"machine": {}, "parts": {}}
    if arguments.wheels:
        wheels = sorted(arguments.wheels.glob("*.whl"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels]
        record["parts"]["install"] = run("install", command, output, 0.2 * whole)
    record["machine"] = described()
    device = ["--device", "cpu", "--small"] if arguments.small else []
    for name in arguments.parts:
        left = whole - (time.monotonic() - start) - RESERVE
        if name == "train":
            record["parts"][name] = train(arguments, left)
        elif name == "tests":
            command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests", "-p", "no:cacheprovider"]
            part = run(name, [*command, "--continue-on-collection-errors"], output, min(left, SHARES[name] * whole))
            part["summary"] = "\n".join((output / "tests.log").read_text(errors="replace").splitlines()[-15:])
            record["parts"][name] = part
        else:
            rows = output / f"{name}.json"
            rows.unlink(missing_ok=True)
            command = [sys.executable, ROOT / "benchmarks" / "on_gpu.py", name, "--json", rows, *device]
            part = run(name, command, output, min(left, SHARES[name] * whole))
            part["rows"] = json.loads(rows.read_text()) if rows.exists() else []
            record["parts"][name] = part
        report(output, record)
        print(f"{name}: {record['parts'][name]['ended']}, {record['parts'][name]['seconds']:g} s", flush=True)
    print(f"see {output / 'report.md'}")


if __name__ == "__main__":
    main()
