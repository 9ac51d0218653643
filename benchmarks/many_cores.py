"""What limits `xcodec tokenize` on a machine of many cores, by simulation: cores, memory bandwidth or memory.

    python benchmarks/many_cores.py [--model released|mini] [--cores 16 32 64 96] [--bandwidth 100 200 300 460]
                                    [--rounds 3]

Measured here: what encoding a batch of a minute (four clips of 15 seconds) takes of one core; how many bytes its
operators read and write, counting each tensor that is larger than a core's own cache as often as an operator takes or
makes it, which is the most that can pass through memory; and how much memory of each of two workers is its own, and how
much both map. Told of other machines, with one worker of one thread on each core: the speed that so many cores have if
nothing else limits them, and the speed at which so many bytes pass through so much bandwidth (GB/s), of which the lower
one is to be expected. "released" is X-Codec2 at its released size with random parameters. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from check import processor_name
from released import random_model, speech
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xcodec import Audio, Codec
from xcodec.models.auto import feature_extractor_of

CLIPS, SECONDS = 4, 15.0
OWN_CACHE = 1 << 20  # bytes: a tensor of no more stays with the core that made it
WORKERS = 2


class Traffic(TorchDispatchMode):
    """Counts the bytes of tensors that operators take and make, but for views and what is small."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operator(*args, **(kwargs or {}))
        given = {id(x): x for x in tensors((args, kwargs))}
        places = {place(x) for x in given.values()} - {None}
        fresh = [x for x in tensors(made) if place(x) is None or place(x) not in places]
        writes_into = operator._schema.is_mutable
        if fresh or writes_into:  # what gives the same memory in another form moves nothing
            self.bytes += sum(
                size for x in (*given.values(), *fresh) if (size := x.numel() * x.element_size()) > OWN_CACHE
            )
        return made


def tensors(values: Any) -> Iterator[Tensor]:
    return (x for x in tree_leaves(values) if isinstance(x, Tensor))


def place(x: Tensor) -> int | None:
    """Where a tensor's memory begins; None of one whose order oneDNN keeps to itself."""
    return None if x.is_mkldnn else x.untyped_storage().data_ptr()


def load(model: str) -> Codec:
    codec = Codec.from_pretrained(model, device="cpu", encoder_only=True)
    torch.set_num_threads(1)
    return codec


def batch(codec: Codec) -> list[Audio]:
    samples = speech(CLIPS * SECONDS, codec.sampling_rate).reshape(CLIPS, -1)
    return [Audio(clip[None], codec.sampling_rate) for clip in samples]


def measure(model: str, rounds: int) -> dict[str, float]:
    """Time a batch and count its bytes, both for a second of audio, in this process."""
    codec = load(model)
    clips = batch(codec)
    codec.encode(clips)
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        codec.encode(clips)
        times.append((time.process_time() - begin) / (CLIPS * SECONDS))
    with Traffic() as traffic:
        codec.encode(clips)
    return {"seconds": statistics.median(times), "bytes": traffic.bytes / (CLIPS * SECONDS)}


def work(model: str) -> None:
    """Encode, say so, and wait to be read and ended."""
    codec = load(model)
    codec.encode(batch(codec))
    print("ready", flush=True)
    sys.stdin.read()


def memory(model: str) -> dict[str, int]:
    """Mean bytes of workers that work side by side: their own, and what they map together."""
    command = [sys.executable, "-W", "ignore", __file__, "--model", model, "--worker"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline().strip() != "ready":
                sys.exit("a worker ended before it was ready")
        found = [rollup(worker.pid) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return {kind: sum(each[kind] for each in found) // WORKERS for kind in found[0]}


def rollup(process: int) -> dict[str, int]:
    lines = (line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    sizes = {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines}
    own = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return {"own": own, "shared": sizes["Rss"] - own}


def told(seconds: float, traffic: float, cores: int, bandwidth: float) -> str:
    """Times real time, and by what."""
    by_cores, by_memory = cores / seconds, 1e9 * bandwidth / traffic
    return f"{by_cores:,.0f}" if by_cores <= by_memory else f"{by_memory:,.0f}, by memory"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="released", help="released, mini, a folder or a hub id")
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 32, 64, 96])
    parser.add_argument("--bandwidth", type=float, nargs="+", default=[100, 200, 300, 460], help="GB/s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.model)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model == "released":
            model = folder
            random = random_model("xcodec2")
            random.save_pretrained(model)
            feature_extractor_of(random).save_pretrained(model)
            del random
        found = measure(model, arguments.rounds) | memory(model)
    seconds, traffic = found["seconds"], found["bytes"]
    print(
        f"{processor_name()}, {os.cpu_count()} cores, torch {version('torch')}, {arguments.model}: a second of audio "
        f"takes {1e3 * seconds:.0f} ms of a core and at most {traffic / 1e9:.2f} GB, so "
        f"{traffic / seconds / 1e9:.1f} GB/s; a worker has {found['own'] / 1e9:.1f} GB of its own and maps "
        f"{found['shared'] / 1e9:.1f} GB that others map too\n"
    )
    bandwidths = " | ".join(f"{each:g} GB/s" for each in arguments.bandwidth)
    print(f"| cores | {bandwidths} | memory of the workers, GB |")
    print("|---|" + "---|" * (len(arguments.bandwidth) + 1))
    for cores in arguments.cores:
        row = " | ".join(told(seconds, traffic, cores, each) for each in arguments.bandwidth)
        print(f"| {cores} | {row} | {(cores * found['own'] + found['shared']) / 1e9:,.0f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
