"""How much of who speaks is in what a codec keeps."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from xcodec.evaluation.clips import Clip
from xcodec.evaluation.metric import Scale, Score
from xcodec.evaluation.transcripts import Transcripts
from xcodec.probing.coder import Coder
from xcodec.probing.probe import CodedClip, Findings, Probe

__all__ = ["SpeakerLeakage", "fit_linear", "speakers_of"]

FOLDS = 5
NO_SPEAKERS = (
    "there are no two speakers of at least two clips each: give --speakers FILE, or recordings in a folder for each"
)


class SpeakerLeakage(Probe):
    """The accuracy of a linear probe that tells the speaker from the mean of a clip's latents (Alain and Bengio 2016).

    Multinomial logistic regression on the dequantised latents' means, standardised, with a ridge of 1, is fitted on
    some of each speaker's clips and tells the others, in up to five folds. Lower is better for codes that should hold
    what is said alone; a codec that is to give the voice back has to keep it somewhere. A low figure says that a linear
    map does not find the speaker in a mean, and not that nothing would.

    Args:
        speakers: of each clip, by its name.
    """

    name = "speaker"
    title = "speaker leakage"

    def __init__(self, speakers: Mapping[str, str]) -> None:
        self._speakers = speakers
        self.scales = (
            Scale(
                "speaker.accuracy", "speakers told", "clips whose speaker a linear probe tells, held out", 1, "%", False
            ),
            Scale("speaker.chance", "by chance", "clips of the speaker who has most", 1, "%", False),
        )

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Tell the speakers of all clips whose speaker has another one."""
        counts = Counter(self._speakers[clip.clip.name] for clip in clips if clip.clip.name in self._speakers)
        known = [clip for clip in clips if counts[self._speakers.get(clip.clip.name, "")] > 1]
        names = sorted({self._speakers[clip.clip.name] for clip in known})
        if len(names) < 2:
            return self.unmeasured(NO_SPEAKERS)
        means = []
        for clip in known:
            if clip.coding.latents is None:
                return self.unmeasured(f"the latents of {coder.name} are not known")
            means.append(clip.coding.latents.mean(0))
        labels = np.array([names.index(self._speakers[clip.clip.name]) for clip in known])
        told = tell_held_out(np.stack(means), labels)
        findings = Findings(corpus={"speaker.chance": 100 * float(np.bincount(labels).max() / len(labels))})
        for clip, right in zip(known, told == labels, strict=True):
            findings.clips[clip.clip.name] = {"speaker.accuracy": Score(100.0 * bool(right))}
        return findings


def speakers_of(clips: Sequence[Clip], table: Transcripts | None) -> dict[str, str]:
    """Tell who speaks in clips: by a table of lines "name TAB speaker", or else by the folder that a clip lies in.

    That is the first folder below the one that was given, as VCTK and LibriSpeech have one for each speaker.
    """
    found = {}
    for clip in clips:
        folder, below, _ = clip.name.partition("/")
        speaker = table.of(clip.name, clip.path) if table is not None else (folder if below else None)
        if speaker is not None:
            found[clip.name] = speaker
    return found


def tell_held_out(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell the label of each point by a linear map that was fitted on others.

    Args:
        points: (points, channels).
        labels: integers from 0, (points,), each at least twice.

    Returns:
        Labels (points,).
    """
    folds = min(FOLDS, int(np.bincount(labels).min()))
    fold = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        fold[own] = np.arange(len(own)) % folds
    told = np.empty_like(labels)
    for number in range(folds):
        held_out = fold == number
        seen = points[~held_out]
        mean, deviation = seen.mean(0), seen.std(0) + 1e-6
        weights, bias = fit_linear((seen - mean) / deviation, labels[~held_out])
        told[held_out] = ((points[held_out] - mean) / deviation @ weights + bias).argmax(1)
    return told


def fit_linear(points: np.ndarray, labels: np.ndarray, ridge: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Fit multinomial logistic regression by L-BFGS, from zero, so that it is the same each time.

    Args:
        points: (points, channels).
        labels: integers from 0, (points,).
        ridge: half of it weighs the squares of the weights against the sum over points of the cross-entropy.

    Returns:
        Weights (channels, labels) and bias (labels,).
    """
    inputs, targets = torch.tensor(points, dtype=torch.float64), torch.tensor(labels)
    weights = torch.zeros(points.shape[1], int(labels.max()) + 1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(weights.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = torch.nn.functional.cross_entropy(inputs @ weights + bias, targets, reduction="sum")
        value: Tensor = error + 0.5 * ridge * weights.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return weights.detach().numpy(), bias.detach().numpy()
