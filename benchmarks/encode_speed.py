"""Encoding speed at the released size: ours with the kernel, ours without, and transformers, on the same weights.

    python benchmarks/encode_speed.py [--whole] [--seconds 5] [--batch 1] [--dtype float32] [--json FILE]

By default the acoustic encoder alone (38M parameters), where the kernel works; --whole runs `Xcodec2Model.encode` (629M
parameters). The contenders run in turn within each round, so that a round's ratios share whatever else the machine
does; medians and the range over the rounds are shown. Weights are random. transformers' own feature extractor needs
torchaudio, so every contender reads our features.

For transformers with an allocator that keeps its pages, set MALLOC_MMAP_THRESHOLD_=4294967296 and
MALLOC_TRIM_THRESHOLD_=17179869184 before the command: the second baseline.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers.models.xcodec2 import Xcodec2Config as TheirConfig
from transformers.models.xcodec2 import Xcodec2Model as TheirModel
from transformers.models.xcodec2.modeling_xcodec2 import Xcodec2Encoder as TheirEncoder

from xcodec import Audio, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model, kernels
from xcodec.models.acoustic import AcousticEncoder

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
RATE = 16000  # Hz
Contenders = dict[str, Callable[[], Tensor]]


def clip(seconds: float) -> np.ndarray:
    """So many seconds of read speech, the recordings repeated as needed."""
    speech = np.concatenate([Audio.read(path).samples[0] for path in RECORDINGS])
    return np.resize(speech, int(seconds * RATE))


def with_variant(name: str, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def chosen() -> Tensor:
        with kernels.use(name):
            return run()

    return chosen


def contenders(ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> Contenders:
    native = {} if kernels.variant() == "torch" else {"kernel": with_variant(kernels.variant(), ours)}
    return {**native, "without": with_variant("torch", ours), "transformers": theirs}


def acoustic_encoders(seconds: float, batch: int, dtype: torch.dtype) -> Contenders:
    config = TheirConfig()
    encoder = AcousticEncoder(config.encoder_hidden_size, config.downsampling_ratios, config.hidden_size)
    twin = TheirEncoder(config)
    twin.load_state_dict(encoder.state_dict())
    samples = clip(seconds)
    wave = torch.from_numpy(samples[: len(samples) // 320 * 320]).expand(batch, 1, -1).to(dtype).contiguous()
    encoder, twin = encoder.to(dtype).eval(), twin.to(dtype).eval()
    return contenders(lambda: encoder(wave), lambda: twin(wave))


def whole_models(seconds: float, batch: int, dtype: torch.dtype) -> Contenders:
    model = Xcodec2Model(Xcodec2Config()).eval()
    twin = TheirModel(TheirConfig()).eval()
    inputs = Xcodec2FeatureExtractor()([clip(seconds)] * batch, sampling_rate=RATE, return_tensors="pt")
    # Fresh weights put every latent into a few cells: give the quantizer's input a deviation of 1, so that codes vary.
    taken: list[Tensor] = []
    project_in = model.quantizer.project_in
    hook = project_in.register_forward_hook(lambda *call: taken.append(call[2]))
    model.encode(**inputs)
    hook.remove()
    project_in.weight.div_(taken[0].std((0, 1))[:, None])
    project_in.bias.sub_(taken[0].mean((0, 1))).div_(taken[0].std((0, 1)))
    twin.load_state_dict(model.state_dict(), assign=True)  # and no second copy
    model, twin, inputs = model.to(dtype), twin.to(dtype), inputs.to(dtype=dtype)
    return contenders(lambda: model.encode(**inputs).audio_codes, lambda: twin.encode(**inputs).audio_codes)


def agreement(found: Tensor, expected: Tensor) -> str:
    if not expected.is_floating_point():
        return f"{float((found == expected).float().mean()):.4%} of {expected.numel()} codes equal"
    difference = (found.float() - expected.float()).abs().max() / expected.float().abs().max()
    return f"latents within {float(difference):.1e} of the largest"


def measured(run: Callable[[], Tensor]) -> dict[str, float]:
    faults, processor, wall = (
        resource.getrusage(resource.RUSAGE_SELF).ru_minflt,
        time.process_time(),
        time.perf_counter(),
    )
    run()
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults,
    }


def processor_name() -> str:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0] if names else platform.processor()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    load = os.getloadavg()[0]
    build = whole_models if arguments.whole else acoustic_encoders
    runs = build(arguments.seconds, arguments.batch, getattr(torch, arguments.dtype))

    outputs = {name: run() for name, run in runs.items()}  # also the warm-up
    agreements = {name: agreement(outputs[name], outputs["transformers"]) for name in runs}
    rounds = [{name: measured(run) for name, run in runs.items()} for _ in range(arguments.rounds)]

    audio = arguments.seconds * arguments.batch
    record = {
        "machine": f"{processor_name()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "load": load,
        "versions": {name: version(name) for name in ("xcodec", "torch", "transformers")},
        "kernel": kernels.variant(),
        "settings": {key: value for key, value in vars(arguments).items() if key != "json"},
        "tuned_allocator": "MALLOC_MMAP_THRESHOLD_" in os.environ,
        "rounds": rounds,
        "agreement_with_transformers": agreements,
    }
    print(f"{record['machine']}, load {load:.1f} before the run; {record['versions']}; kernel: {record['kernel']}")
    print(f"{record['settings']}, tuned allocator: {record['tuned_allocator']}\n")
    print("| | times real time | over transformers: wall | processor | faults per second | agreement |")
    print("|---|---|---|---|---|---|")
    for name in runs:
        speed = audio / statistics.median(each[name]["wall"] for each in rounds)
        ratios = {
            clock: sorted(each["transformers"][clock] / each[name][clock] for each in rounds)
            for clock in ("wall", "processor")
        }
        shown = [f"{statistics.median(r):.2f} ({r[0]:.2f} to {r[-1]:.2f})" for r in ratios.values()]
        faults = statistics.median(each[name]["faults"] for each in rounds) / audio
        print(f"| {name} | {speed:.2f} | {' | '.join(shown)} | {faults:,.0f} | {agreements[name]} |")
        record[name] = {"times_real_time": speed, "over_transformers": ratios, "faults_per_second": faults}
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
