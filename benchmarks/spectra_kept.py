"""How much of log mel spectra the codes of an X-Codec hold, by the number of codebooks.

    python benchmarks/spectra_kept.py MODEL RECORDING_OR_FOLDER ...

A linear map is fitted from quantized latents to the spectra of `loss.spectrum`, four frames of 40 bands for each code,
on every recording but each fifth, and tried on these: the share of the spectra's variance that it tells, and the mean
absolute difference in decibels. Beside it, how much of the latents' own variance so many codebooks keep, and, as a
measure of what could be kept, the same of spectra that are themselves quantized, by as many codebooks, which are
k-means of the recordings that maps are fitted on.
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from xcodec.audio import Audio, media_files
from xcodec.codec import Codec
from xcodec.models.codec_model import Clips
from xcodec.models.xcodec import XcodecModel
from xcodec.training.generators.spectrum import BANDS, FRAMES, QUIET
from xcodec.training.losses.mel import MelLoss

RATE, HOP = 16_000, 320
ROUNDS = 12  # of k-means
DECIBELS = 20 / math.log(10)  # in a unit of natural logarithms of magnitudes


def latents_of(model: XcodecModel, recording: Tensor) -> Tensor:
    """Compute what an X-Codec quantizes of (samples,), whole codes: (1, codes, size)."""
    clips = Clips(recording[None, None])
    semantic = model.semantic(model.semantic_states(clips)).transpose(1, 2)
    return model.fuse(semantic, model.acoustic(clips, semantic.shape[1]).transpose(1, 2))


def read(model: XcodecModel, mel: MelLoss, path: Path) -> tuple[Tensor, Tensor]:
    """Compute a recording's latents and spectra, (codes, size) each."""
    samples = torch.tensor(Audio.read(path).mono().resample(RATE).samples[0])
    samples = samples[: len(samples) // HOP * HOP]
    latents = latents_of(model, samples)[0]
    frames = mel.spectrum(samples[None], HOP)[0, : FRAMES * len(latents)]
    return latents.float(), (frames + QUIET).log().reshape(len(latents), -1)


def fitted(given: list[Tensor], wanted: list[Tensor]) -> tuple[float, float]:
    """Fit a linear map to all recordings but each fifth; give R squared and decibels of these."""
    given = [torch.cat([x, torch.ones(len(x), 1)], 1).double() for x in given]
    learned, tried = (torch.cat(each) for each in split(given))
    aims, answers = (torch.cat(each).double() for each in split(wanted))
    ridge = 1e-6 * len(learned) * learned.square().mean(0).diag()
    weight = torch.linalg.solve(learned.T @ learned + ridge, learned.T @ aims)
    missed = tried @ weight - answers
    share = 1 - float(missed.square().sum() / (answers - aims.mean(0)).square().sum())
    return share, DECIBELS * float(missed.abs().mean())


def split(clips: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """All but each fifth, and these."""
    return [x for i, x in enumerate(clips) if i % 5], clips[::5]


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Choose a centre for each point."""
    return torch.cdist(points, centres).argmin(1)


def centres_of(points: Tensor, number: int) -> Tensor:
    """Find the k-means of points."""
    centres = points[torch.randperm(len(points))[:number]].clone()
    for _ in range(ROUNDS):
        chosen = nearest(points, centres)
        counts = torch.bincount(chosen, minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, chosen, points)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an X-Codec of 16 kHz and 50 codes a second: a folder, a hub id or mini-general")
    parser.add_argument("recordings", nargs="+", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = Codec.from_pretrained(arguments.model, pack=False).model.float()
    if not isinstance(model, XcodecModel):
        parser.error(f"{arguments.model} is no X-Codec")
    mel = MelLoss([HOP], [BANDS], RATE)
    paths = [path for each in arguments.recordings for path in (sorted(media_files(each)) if each.is_dir() else [each])]
    if len(paths) < 2:
        parser.error("one recording is for learning, another for trying: give at least two")
    latents, spectra = zip(*(read(model, mel, path) for path in paths), strict=True)

    learned, tried = (torch.cat(each) for each in split(list(spectra)))
    mean, residual, residual_tried = learned.mean(0), learned - learned.mean(0), tried - learned.mean(0)
    spread = (tried - mean).square().sum()
    together = torch.cat(latents)
    variance = float((together - together.mean(0)).square().sum())
    print(f"{len(paths)} recordings, {len(together)} codes\n")
    print("| codebooks | latents kept | spectra told, R squared | dB | spectra quantized, R squared | dB |")
    print("|---|---|---|---|---|---|")
    for number in range(1, model.config.num_quantizers + 1):
        quantized = [model.quantizer.decode(model.quantizer.encode(x[None], number))[0] for x in latents]
        lost = sum(float((x - y).square().sum()) for x, y in zip(latents, quantized, strict=True))
        centres = centres_of(residual, model.config.codebook_size)
        residual = residual - centres[nearest(residual, centres)]
        residual_tried = residual_tried - centres[nearest(residual_tried, centres)]
        share, decibels = fitted(quantized, list(spectra))
        of_spectra = f"{1 - float(residual_tried.square().sum() / spread):.3f}"
        apart = f"{DECIBELS * float(residual_tried.abs().mean()):.2f}"
        kept = f"{1 - lost / variance:.3f}"
        print(f"| {number} | {kept} | {share:.3f} | {decibels:.2f} | {of_spectra} | {apart} |")
    share, decibels = fitted(list(latents), list(spectra))
    print(f"| latents not quantized | 1 | {share:.3f} | {decibels:.2f} | | |")


if __name__ == "__main__":
    main()
