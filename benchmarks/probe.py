"""Do codes carry what is said? A linear probe that reads the phone from the latents of codes.

    python benchmarks/probe.py [MODEL ...] [--hours 0.2] [--json FILE]

espeak-ng speaks, and tells which phone is when. Each model encodes that speech; a linear layer learns to name the phone
from the quantized latents of a code and of the two before and after it, and is tested on other sentences in voices of
the same kind. Without models, the built-in one is probed. Numbers of models are to be compared with each other, and
with the share of the most frequent phone. The interval is a bootstrap over the held-out sentences. Needs xcodec[eval].
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from xcodec import Audio, Codec
from xcodec.evaluation.metric import Score
from xcodec.evaluation.summary import mean_of
from xcodec.training.phones import INVENTORY, UNKNOWN
from xcodec.training.synthesis import SAMPLING_RATE, Utterance, utterances

CONTEXT = 2  # codes before and after
SEED = 977  # of speech that no recipe makes
STEPS = 400


def spoken(hours: float) -> list[Utterance]:
    """So much labelled speech."""
    made, left = [], hours * 3600
    for each in utterances("espeak", SEED):
        made.append(each)
        left -= len(each.samples) / SAMPLING_RATE
        if left <= 0:
            return made
    raise AssertionError("utterances never end")


def labels(utterance: Utterance, count: int) -> np.ndarray:
    """The phone at the middle of each 20 ms code, int64 (count,)."""
    assert utterance.phones is not None
    starts, phones = (np.array(column) for column in zip(*utterance.phones, strict=True))
    return phones[np.maximum(np.searchsorted(starts, (np.arange(count) + 0.5) / 50, "right") - 1, 0)]


@torch.inference_mode()
def latents(codec: Codec, utterance: Utterance) -> torch.Tensor:
    """Quantized latents of each code and its neighbours, (codes, (2 * CONTEXT + 1) * dim)."""
    ids = torch.tensor(codec.encode(Audio(utterance.samples, SAMPLING_RATE)).ids.astype(np.int64))
    quantized = codec.model.quantizer.decode(ids if len(ids) == 1 else ids[None])[0].float()
    padded = F.pad(quantized, (0, 0, CONTEXT, CONTEXT))
    return torch.cat([padded[i : i + len(quantized)] for i in range(2 * CONTEXT + 1)], 1)


def probe(codec: Codec, speech: list[Utterance]) -> dict[str, float]:
    """Train on four fifths of the utterances, test on the rest."""
    inputs = [latents(codec, each) for each in speech]
    wanted = [torch.tensor(labels(each, len(x))) for each, x in zip(speech, inputs, strict=True)]
    cut = len(speech) * 4 // 5
    x, y = torch.cat(inputs[:cut]), torch.cat(wanted[:cut])
    mean, deviation = x.mean(0), x.std(0) + 1e-5

    def ready(features: list[torch.Tensor], phones: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        joined, names = torch.cat(features), torch.cat(phones)
        known = names != UNKNOWN
        return ((joined - mean) / deviation)[known].clone(), names[known].clone()

    (x, y), (held_x, held_y) = ready(inputs[:cut], wanted[:cut]), ready(inputs[cut:], wanted[cut:])
    torch.manual_seed(0)
    layer = torch.nn.Linear(x.shape[1], len(INVENTORY))
    optimizer = torch.optim.Adam(layer.parameters(), 3e-3, weight_decay=1e-4)
    for _ in range(STEPS):
        batch = torch.randint(len(x), (4096,))
        loss = F.cross_entropy(layer(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores = layer(held_x)
        entropy = float(F.cross_entropy(scores, held_y))
    counts = [int((names != UNKNOWN).sum()) for names in wanted[cut:]]
    hits = (scores.argmax(-1) == held_y).float().split(counts)
    accuracy = mean_of([Score(float(each.mean()), weight=len(each)) for each in hits if len(each)])
    if accuracy is None or accuracy.low is None or accuracy.high is None:
        raise SystemExit("fewer than two sentences are held out, which have no interval; give more --hours")
    return {
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "cross_entropy": entropy,
        "commonest": float(y.bincount().max() / len(y)),
        "codes": len(held_y),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[None])
    parser.add_argument("--hours", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    speech = spoken(arguments.hours)
    rows = {str(model or "mini"): probe(Codec.from_pretrained(model), speech) for model in arguments.models}
    print(f"{platform.machine()}, torch {version('torch')}, {arguments.hours:g} h of espeak-ng, {len(speech)} clips\n")
    print("| model | phones named rightly | cross entropy, nats | commonest phone | held-out codes |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        named = "{accuracy:.3f} ({low:.3f} to {high:.3f})".format(**row)
        print("| {} | {} | {cross_entropy:.2f} | {commonest:.3f} | {codes:,} |".format(name, named, **row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
