"""One part of what scripts/gpu.py measures: speed and memory, streams, or training steps, on one device.

    python benchmarks/on_gpu.py speed|streams|training --json FILE [--device cuda] [--small]

Speed is that of models with random weights at the released size, ours and transformers', in turn on the same inputs;
the device has finished when the clock stops. A figure that fails, such as for want of memory, is kept as its reason.
With --small the model is the built-in one, and everything takes seconds on a CPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from released import THEIRS, has_theirs, prepared, random_model, speech, their_class

from xcodec import Codec
from xcodec.device import choose_dtype
from xcodec.streaming import StreamDecoder

Row = dict[str, Any]
RUNS = 5  # of each figure, after one that is not counted


def finished(device: torch.device) -> float:
    """The time at which all that was asked of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def times_of(run: Callable[[], object], device: torch.device) -> list[float]:
    """Seconds of each run after the first."""
    run()
    times = []
    for _ in range(RUNS):
        start = finished(device)
        run()
        times.append(finished(device) - start)
    return times


def peak_of(run: Callable[[], object], device: torch.device) -> float | None:
    """GiB that a run takes beyond what was there before it; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    finished(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 2**30


def measured(run: Callable[[], object], device: torch.device, audio_seconds: float) -> Row:
    """Times real time, with the slowest and the fastest run, and memory; or why there are none."""
    try:
        times = times_of(run, device)
        return {
            "times_real_time": audio_seconds / statistics.median(times),
            "least": audio_seconds / max(times),
            "most": audio_seconds / min(times),
            "gib": peak_of(run, device),
        }
    except (RuntimeError, ValueError) as error:  # out of memory is a RuntimeError
        return {"failed": str(error).splitlines()[0][:200]}


def models(small: bool, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, str, Any]]:
    """Each model to measure: its type, whose it is, and itself on the device."""
    for name in ["xcodec2"] if small else ["xcodec2", "xcodec"]:
        ours = Codec.from_pretrained(device="cpu", pack=False).model if small else random_model(name)
        with tempfile.TemporaryDirectory() as folder:
            ours.save_pretrained(folder)
            yield name, "ours", ours.to(device, dtype)
            del ours
            if has_theirs(name):
                yield name, THEIRS, their_class(name).from_pretrained(folder, dtype=dtype).eval().to(device)


@torch.inference_mode()
def speed(device: torch.device, small: bool) -> Iterator[Row]:
    """Encoding and decoding: both models, two dtypes, two batches."""
    seconds, batches = (2.0, [1]) if small else (10.0, [1, 16])
    for dtype in ["float32", "bfloat16"]:
        for name, whose, model in models(small, device, choose_dtype(dtype)):
            for batch in batches:
                inputs = prepared(model, whose, seconds, batch).to(device)
                inputs["input_values"] = inputs["input_values"].to(model.dtype)
                here = {"model": name, "whose": whose, "dtype": dtype, "seconds": seconds, "batch": batch}
                codes: list[torch.Tensor] = []

                def encode(model: Any = model, inputs: Any = inputs, codes: list[torch.Tensor] = codes) -> None:
                    codes[:] = [model.encode(**inputs).audio_codes]

                yield here | {"what": "encode"} | measured(encode, device, seconds * batch)
                if codes:

                    def decode(model: Any = model, codes: list[torch.Tensor] = codes) -> None:
                        model.decode(codes[0])

                    yield here | {"what": "decode"} | measured(decode, device, seconds * batch)


@torch.inference_mode()
def streams(device: torch.device, small: bool) -> Iterator[Row]:
    """How many streams of live speech are decoded at once: a step of each, and how often it has to be taken."""
    codec = Codec.from_pretrained(device=device)
    ids = codec.encode(speech(4.0, codec.sampling_rate), codec.sampling_rate).ids
    for number in [1, 2] if small else [1, 16, 64, 256]:
        several = [StreamDecoder(codec) for _ in range(number)]
        waits = []
        for start in range(0, ids.shape[1], 10):
            begin = finished(device)
            StreamDecoder.push_many(several, [ids[:, start : start + 10]] * number)
            waits.append(finished(device) - begin)
        for stream in several:
            stream.flush()
        later = sorted(waits[3:])
        yield {
            "model": "mini",
            "streams": number,
            "median_ms": 1000 * statistics.median(later),
            "slowest_ms": 1000 * later[-1],
            "real_time_ms": 10 / codec.frame_rate * 1000,
        }


def training(device: torch.device, small: bool) -> Iterator[Row]:
    """Steps of the recipe `xcodec2-small` a second: forward, losses, backward and optimizer, discriminators at work."""
    del device  # a run chooses its own
    with tempfile.TemporaryDirectory() as folder:
        steps = 2 if small else 60
        settings = [f"steps={steps}", "adversarial.first_step=0", "validation.log_steps=1"]
        settings += ["synthesis=null", "data.shares={}", "loss.phones=0"]
        settings += ["data.batch_seconds=2", "data.crop_seconds=[1.0, 1.0]"] if small else ["data.batch_seconds=48"]
        command = [
            sys.executable,
            "-m",
            "xcodec",
            "train",
            "xcodec2-small",
            "--data",
            str(Path(__file__).parents[1] / "tests/audio"),
        ]
        command += ["-o", f"{folder}/run", *(part for each in settings for part in ("--set", each))]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.perf_counter() - start
    if done.returncode:
        yield {"recipe": "xcodec2-small", "failed": (done.stderr.strip().splitlines() or ["?"])[-1][:300]}
        return
    yield {"recipe": "xcodec2-small", "steps": steps, "seconds_in_all": took, "steps_a_second_in_all": steps / took}


PARTS = {"speed": speed, "streams": streams, "training": training}


def main() -> None:
    """Measure one part, and write the file anew after each row, so that what is cut short is not lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="mini, for seconds on a CPU")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    rows: list[Row] = []
    for row in PARTS[arguments.part](device, arguments.small):
        rows.append(row)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, flush=True)


if __name__ == "__main__":
    main()
