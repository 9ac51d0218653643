"""`xcodec tokenize` against a loop of `codec.encode` and transformers in two ways, on the same weights.

    python benchmarks/tokenization.py [--model small|mini|released] [--clips 1000] [--threads 2] [--json FILE]
    python benchmarks/tokenization.py --plan 10000000 [--repeated]

Clips are cut from the recordings in tests/audio, joined end to end, each at a level of its own, at lengths distributed
like LibriSpeech's: 2 to 35 seconds, most at 14 to 16. "transformers" pads batches of 8 as the clips come, which changes
codes; "buckets" are its batches of at most 8 clips of equally many codes, which is what its users do where codes have
to be right, and most are smaller unless the corpus is big. "small" is an X-Codec2 of 12M random parameters, "released"
one of the released size; `mini` is of a kind that transformers has not. Each way runs in a process of its own; its time
starts when the model is loaded and has encoded a second of sound, and ends when the last codes are there; the peak is
that of this time. With --plan, a manifest of so many rows, which name 10,000 files in turn, is planned and nothing else
is done. transformers' own feature extractor needs torchaudio, so all read our features. Linux only: the system keeps
the peaks.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RATE = 16000  # Hz
RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
MIB = 1 << 20
NUM_FILES = 10_000  # that the rows of a manifest name in turn
WAYS = ("tokenize", "loop", "transformers", "buckets")
BATCH = 8  # clips of a batch of transformers


def peak_bytes(process: str = "self") -> int:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def readers_peak() -> int:
    """Of all children together."""
    children = [
        int(child) for listed in Path("/proc/self/task").glob("*/children") for child in listed.read_text().split()
    ]
    return sum(peak_bytes(str(child)) for child in children)


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def lengths(count: int) -> list[float]:
    """Seconds of so many clips."""
    import numpy as np

    chooser = np.random.default_rng(0)
    kinds = chooser.choice(3, count, p=[0.35, 0.6, 0.05])
    drawn = [chooser.uniform(2, 13, count), chooser.normal(14.8, 1, count), chooser.uniform(16, 35, count)]
    return [float(np.clip(drawn[kind][i], 2, 35)) for i, kind in enumerate(kinds)]


def write_clips(folder: Path, count: int) -> None:
    import numpy as np

    from xcodec import Audio

    speech = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS])
    levels = np.random.default_rng(1).uniform(0.2, 1.0, count)
    for i, seconds in enumerate(lengths(count)):
        samples = np.resize(np.roll(speech, -4801 * i), int(seconds * RATE))
        Audio(levels[i] * samples, RATE).save(folder / f"{i:05}.flac")


def save_released(folder: Path) -> None:
    import torch

    from xcodec import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model

    torch.manual_seed(0)
    Xcodec2Model(Xcodec2Config()).save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)


def child(way: str, model: str, clips: str, threads: int, output: str, batch_seconds: float) -> None:
    """Do all clips in one way; write their codes, and print what it took as JSON."""
    import numpy as np
    import torch

    from xcodec import Audio, Codec, Xcodec2FeatureExtractor
    from xcodec.tokenization.engines.local import run_locally
    from xcodec.tokenization.inputs import Inputs
    from xcodec.tokenization.job import Job
    from xcodec.tokenization.model import ModelChoice
    from xcodec.tokenization.run import prepare, tokenize
    from xcodec.tokenization.tokens import Tokens

    torch.set_num_threads(threads)
    paths = sorted(Path(clips).iterdir())
    codes: dict[str, np.ndarray] = {}
    told: dict[str, float] = {}
    second = Audio.read(RECORDINGS[0], duration=1.0)
    if way in ("transformers", "buckets"):
        import transformers

        reference = transformers.Xcodec2Model.from_pretrained(model, dtype=torch.float32).eval()
        extractor = Xcodec2FeatureExtractor()
        with torch.inference_mode():
            reference.encode(**extractor(second.samples[0], sampling_rate=RATE, return_tensors="pt"))
    else:
        codec = ModelChoice(model, "cpu").load() if way == "tokenize" else Codec.from_pretrained(model, device="cpu")
        codec.encode(second)
    forget_peak()
    if way == "tokenize":
        job = Job(Path(output) / "out", ModelChoice(model, "cpu"), batch_seconds=batch_seconds, workers=1)
        plan = prepare(job, codec, Inputs([clips]))
        started = time.perf_counter()
        readers = [0]
        status = tokenize(job, plan, codec, run_locally, on_status=lambda _: readers.append(readers_peak()))
        elapsed = time.perf_counter() - started
        codes = {row.id: row.codes[0] for row in Tokens(job.folder).rows()}
        size = sum(path.stat().st_size for path in (job.folder / "codes").iterdir())
        told = {"padding": status.padding_share, "model_share": status.model_share, "bytes": size}
        told["reader"] = max(readers)
    elif way == "loop":
        started = time.perf_counter()
        for path in paths:
            codes[path.name] = codec.encode(path).ids[0]
        elapsed = time.perf_counter() - started
        told = {"padding": 0.0}
    else:
        own, padded = 0, 0
        started = time.perf_counter()
        groups = together(paths) if way == "buckets" else [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
        with torch.inference_mode():
            for group in groups:
                audio = [Audio.read(path).samples[0] for path in group]
                inputs = extractor(audio, sampling_rate=RATE, return_tensors="pt")
                made = reference.encode(**inputs).audio_codes[:, 0].numpy()
                for path, clip, row in zip(group, audio, made, strict=True):
                    codes[path.name] = row[: len(clip) // 320 + 1]
                own += sum(map(len, audio))
                padded += len(audio) * max(map(len, audio))
        elapsed = time.perf_counter() - started
        told = {"padding": 1 - own / padded, "clips_a_batch": len(paths) / len(groups)}
    np.savez(Path(output) / f"{way}.npz", **codes)
    print(json.dumps({"way": way, "seconds": elapsed, "peak": peak_bytes(), **told}))


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Batches of clips that make equally many codes."""
    from xcodec import Audio

    buckets: dict[int, list[Path]] = {}
    for path in paths:
        buckets.setdefault(Audio.read(path).samples.shape[-1] // 320, []).append(path)
    return [clips[i : i + BATCH] for clips in buckets.values() for i in range(0, len(clips), BATCH)]


def run_child(arguments: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-W", "ignore", __file__, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def compare(model: str, count: int, threads: int, batch_seconds: float, ways: Sequence[str]) -> list[dict[str, Any]]:
    import numpy as np
    from released import save_small_xcodec2

    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "clips").mkdir()
        write_clips(folder / "clips", count)
        checkpoint: Path | str = model
        if model != "mini":
            checkpoint = folder / "model"
            (save_released if model == "released" else save_small_xcodec2)(checkpoint)
        audio = sum(lengths(count))
        print(f"{count} clips, {audio:.0f} s of audio, {model}, {threads} threads")
        print("| way | times real time | padding | peak, MiB | codes equal to the loop's |\n|---|---|---|---|---|")
        for way in sorted(ways, key=("loop", "tokenize", "transformers", "buckets").index):
            case = ["--child", way, str(checkpoint), str(folder / "clips"), str(threads), temporary, str(batch_seconds)]
            row = run_child(case)
            with np.load(folder / f"{way}.npz") as made, np.load(folder / "loop.npz") as alone:
                equal = [made[name] == alone[name] for name in alone.files]
            row |= {"speed": audio / row["seconds"], "equal": float(np.concatenate(equal).mean())}
            rows.append(row)
            print(
                f"| {way} | {row['speed']:.2f} | {row['padding']:.1%} | {row['peak'] / MIB:.0f} | {row['equal']:.2%} |",
                flush=True,
            )
        for row in rows:
            if row["way"] == "buckets":
                print(f"buckets: {row['clips_a_batch']:.2f} clips a batch on average")
            if "bytes" in row:
                frames = sum(int(seconds * RATE) // 320 + 1 for seconds in lengths(count))
                print(
                    f"tokenize: the model worked {row['model_share']:.1%} of the time; its reader process took at most "
                    f"{row['reader'] / MIB:.0f} MiB; {row['bytes'] / frames:.2f} bytes a code, everything in the files "
                    f"counted, so {row['bytes'] / audio * 3.6e6 / 1e9:.2f} GB for 1,000 hours; at this speed "
                    f"{24 * row['speed'] / threads:.1f} hours of audio in a day of one core"
                )
    return rows


def write_manifest(path: Path, count: int, repeated: bool = False) -> None:
    """Write a manifest of so many rows beside the files that they name; neighbours name different ones.

    With `repeated`, each id is that of two rows.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    kinds = pa.schema([("path", pa.string()), ("id", pa.string()), ("duration", pa.float64()), ("text", pa.string())])
    files = [path.with_name("data") / f"speaker-{i % 100:02}" / f"{i:04}.flac" for i in range(min(count, NUM_FILES))]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    chooser = np.random.default_rng(0)
    names = pa.array(map(str, files))
    with pq.ParquetWriter(path, kinds) as writer:
        for first in range(0, count, 100_000):
            numbers = np.arange(first, min(first + 100_000, count))
            figures = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 9, "0")
            columns = [
                names.take(pa.array(numbers % len(files))),
                pc.binary_join_element_wise("utterance", figures, "-"),
                pa.array(chooser.uniform(2, 35, len(numbers)).round(2)),
                pc.binary_join_element_wise("the words of utterance", figures, " "),
            ]
            if repeated:
                columns[1] = columns[1].take(pa.array(numbers // 2 - numbers[0] // 2))
            writer.write_table(pa.table(columns, schema=kinds))


def plan_child(manifest: str, output: str) -> None:
    from xcodec.tokenization.inputs import Inputs
    from xcodec.tokenization.plan import Plan
    from xcodec.tokenization.stores import FolderStore

    store = FolderStore(Path(output) / "out")
    store.make()
    forget_peak()
    before, started, worked = peak_bytes(), time.perf_counter(), time.process_time()
    plan = Plan.write(store, Inputs([manifest]), None, {"name": "mini", "dtype": "float32"})
    assert plan is not None
    planned, worked = time.perf_counter() - started, time.process_time() - worked
    started = time.perf_counter()
    plan.shard(plan.fingerprint.shards // 2)
    print(
        json.dumps(
            {
                "seconds": planned,
                "processor_seconds": worked,
                "before": before,
                "peak": peak_bytes(),
                "shards": plan.fingerprint.shards,
                "faults": plan.fingerprint.faults,
                "bytes": plan.table_path.stat().st_size,
                "open_shard_seconds": time.perf_counter() - started,
            }
        )
    )


def measure_plan(count: int, repeated: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as temporary:
        manifest = Path(temporary, "manifest.parquet")
        write_manifest(manifest, count, repeated)
        row = run_child(["--plan-child", str(manifest), temporary])
    print(
        f"{count:,} rows, {row['faults']:,} of them with ids of others, {row['shards']:,} shards: planned in "
        f"{row['seconds']:.0f} s, {row['processor_seconds']:.1f} of a processor, with at most {row['peak'] / MIB:.0f} "
        f"MiB, of which {row['before'] / MIB:.0f} before it began; plan.parquet takes {row['bytes'] / 1e6:.0f} MB; "
        f"opening a shard takes {row['open_shard_seconds']:.2f} s"
    )
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("small", "mini", "released"), default="small")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-seconds", type=float, default=60.0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="the loop is always among them")
    parser.add_argument("--plan", type=int, metavar="ROWS")
    parser.add_argument("--repeated", action="store_true", help="with --plan: each id is that of two rows")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    parser.add_argument("--plan-child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, model, clips, threads, output, batch_seconds = arguments.child
        child(way, model, clips, int(threads), output, float(batch_seconds))
    elif arguments.plan_child:
        plan_child(*arguments.plan_child)
    else:
        if arguments.plan:
            rows = measure_plan(arguments.plan, arguments.repeated)
        else:
            ways = {"loop", *arguments.ways} - ({"transformers", "buckets"} if arguments.model == "mini" else set())
            rows = compare(arguments.model, arguments.clips, arguments.threads, arguments.batch_seconds, list(ways))
        versions = f"torch {version('torch')}, transformers {version('transformers')}"
        print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {versions}")
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
