"""Where a model of X-Codec2 loses quality: in the bits, in the magnitudes or in the phases.

    python benchmarks/quality_lost.py RECORDING_OR_FOLDER ... [--model mini]

STOI and wide-band PESQ, means over the recordings, of what the model decodes; of what it decodes of latents that were
not rounded; and of spectra whose magnitudes are of one and whose phases are of the other, by frames of four
codes, as X-Codec2's own head has them. What `Griffin-Lim` has is the decoded magnitudes and no phases at all. Needs
xcodec[eval].
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pesq import pesq
from pystoi import stoi
from torch import Tensor

from xcodec.audio import Audio, media_files
from xcodec.codec import Codec
from xcodec.training.generators.xcodec2 import encode

RATE = 16_000
ROUNDS = 32  # of Griffin-Lim


def variants(codec: Codec, recording: Tensor) -> dict[str, Tensor]:
    """Make what is to be measured of (samples,), whole codes: (samples,) each."""
    model = codec.model
    latents = encode(model, recording[None]).fused
    projected = model.quantizer.project(latents)
    rounded, _ = model.quantizer.round(projected, latents.dtype)
    bounded = model.quantizer.bound(model.quantizer.bound(projected.float()))
    half = torch.tensor(model.quantizer.levels) // 2
    decoded = model.acoustic_decoder(rounded)[0, 0]
    n_fft, hop = model.config.n_fft, model.config.output_hop_length
    window = torch.hann_window(n_fft)
    ours, theirs = (torch.stft(x, n_fft, hop, window=window, return_complex=True) for x in (decoded, recording))

    def joined(magnitudes: Tensor, phases: Tensor) -> Tensor:
        return torch.istft(
            torch.polar(magnitudes.abs(), phases.angle()), n_fft, hop, window=window, length=len(recording)
        )

    phases = torch.polar(torch.ones(ours.shape), 2 * torch.pi * torch.rand(ours.shape))
    for _ in range(ROUNDS):
        phases = torch.stft(joined(ours, phases), n_fft, hop, window=window, return_complex=True)
    return {
        "decoded": decoded,
        "decoded, latents not rounded": model.acoustic_decoder(model.quantizer.project_out(bounded / half))[0, 0],
        "decoded magnitudes, recorded phases": joined(ours, theirs),
        "recorded magnitudes, decoded phases": joined(theirs, ours),
        "decoded magnitudes, Griffin-Lim": joined(ours, phases),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--model", default=None, help="an X-Codec2, by default the one in the package")
    arguments = parser.parse_args()
    codec = Codec.from_pretrained(arguments.model, pack=False)
    codec.model.float()
    torch.manual_seed(0)
    scores: dict[str, list[tuple[float, float]]] = {}
    measures: list[Callable[[np.ndarray, np.ndarray], float]] = [
        lambda x, y: float(stoi(x, y, RATE)),
        lambda x, y: float(pesq(RATE, x, y, "wb")),
    ]
    paths = [path for each in arguments.recordings for path in (sorted(media_files(each)) if each.is_dir() else [each])]
    for path in paths:
        samples = Audio.read(path).mono().resample(RATE).samples[0]
        recording = torch.from_numpy(samples[: len(samples) // codec.model.hop_length * codec.model.hop_length].copy())
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, made in variants(codec, recording).items():
                stoi_score, pesq_score = (measure(recording.numpy(), made.numpy()) for measure in measures)
                scores.setdefault(name, []).append((stoi_score, pesq_score))
    print(f"{len(paths)} recordings\n\n| | STOI | PESQ-WB |\n|---|---|---|")
    for name, found in scores.items():
        print("| {} | {:.3f} | {:.2f} |".format(name, *np.mean(found, axis=0)))


if __name__ == "__main__":
    main()
