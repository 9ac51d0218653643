"""What codes say of phones."""

import math
from collections.abc import Sequence

import numpy as np

from xcodec.evaluation.codebook import entropy
from xcodec.evaluation.metric import Scale, Score
from xcodec.probing.alignment import PhoneAligner, frame_labels, is_spoken
from xcodec.probing.clusters import cluster
from xcodec.probing.coder import Coder
from xcodec.probing.probe import CodedClip, Findings, Probe

__all__ = ["PhoneInformation", "adjusted_information", "held_out_purity", "mutual_information", "purity"]

CLUSTERS = 100
SHUFFLES = 5
SEED = 0
NO_TRANSCRIPTS = "no clip has a transcript: give --transcripts FILE, or put transcripts.tsv beside the recordings"


class PhoneInformation(Probe):
    """Phone purity, cluster purity, mutual information (Hsu et al. 2021, HuBERT), and bits a phone.

    Frames are labelled by `PhoneAligner`; pauses are left out. The codes are those of the first codebook. With few
    frames and many codes each code is seen once, and purity and mutual information are high of themselves; so beside
    them stand the information adjusted for chance (labels shuffled: what is left is 0 of random labels; Vinh et al.
    2010), the purity of a map from codes to phones that was made on other clips, and the same of 100 clusters of the
    latents, which compare across codebooks of any size.

    Args:
        aligner: tells the phones.
    """

    name = "phones"
    title = "codes and phones"

    def __init__(self, aligner: PhoneAligner) -> None:
        self._aligner = aligner
        about = "frames labelled by warping onto espeak-ng's speech, codes of the first codebook"
        clusters = f"{CLUSTERS} clusters of the latents"
        self.scales = (
            Scale("phones.purity", "phone purity", f"frames of their code's most frequent phone; {about}", 1, "%"),
            Scale("phones.held_out", "phone purity, held out", "the same, the phone being that of other clips", 1, "%"),
            Scale("phones.cluster_purity", "cluster purity", "frames of their phone's most frequent code", 1, "%"),
            Scale("phones.information", "phone information", "mutual information by the phones' entropy", 1, "%"),
            Scale("phones.adjusted", "phone information, adjusted", "the same, less that of shuffled labels", 1, "%"),
            Scale("phones.clusters.purity", "phone purity, clusters", f"of {clusters}", 1, "%"),
            Scale("phones.clusters.adjusted", "phone information, clusters, adjusted", f"of {clusters}", 1, "%"),
            Scale(
                "phones.bits",
                "bits a phone",
                "bits paid, all codebooks, by the phones of the transcript",
                0,
                "bit",
                False,
            ),
        )

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Hold the codes of all clips that have transcripts against their phones."""
        labelled, spoken, seconds = [], 0, 0.0
        for clip in clips:
            phones = self._aligner.phones(clip, coder.sampling_rate)
            if phones:
                labelled.append((clip, frame_labels(phones, clip.frames, coder.frame_rate)))
                spoken += sum(is_spoken(phone.label) for phone in phones)
                seconds += clip.frames / coder.frame_rate
        kept = [np.array([is_spoken(label) for label in labels], bool) for _, labels in labelled]
        if not any(keep.any() for keep in kept):
            return self.unmeasured(NO_TRANSCRIPTS)
        labels = [labels[keep] for (_, labels), keep in zip(labelled, kept, strict=True)]
        codes = [clip.coding.ids[0][keep] for (clip, _), keep in zip(labelled, kept, strict=True)]
        table = contingency(np.concatenate(codes), np.concatenate(labels))
        paid = sum(map(math.log2, coder.codebook_sizes)) * coder.frame_rate
        findings = Findings(
            corpus={
                "phones.purity": 100 * purity(table),
                "phones.cluster_purity": 100 * purity(table.T),
                "phones.information": 100 * share(mutual_information(table), entropy(table.sum(0))),
                "phones.adjusted": 100 * adjusted_information(np.concatenate(codes), np.concatenate(labels)),
                "phones.bits": paid * seconds / spoken,
            }
        )
        for (clip, _), score in zip(labelled, held_out_purity(codes, labels), strict=True):
            findings.clips[clip.clip.name] = {} if score is None else {"phones.held_out": score}
        latents = [
            clip.coding.latents[keep]
            for (clip, _), keep in zip(labelled, kept, strict=True)
            if clip.coding.latents is not None
        ]
        if len(latents) == len(labelled):
            clusters = cluster(np.concatenate(latents), CLUSTERS)
            grouped = contingency(clusters, np.concatenate(labels))
            findings.corpus["phones.clusters.purity"] = 100 * purity(grouped)
            findings.corpus["phones.clusters.adjusted"] = 100 * adjusted_information(clusters, np.concatenate(labels))
        return findings


def contingency(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count how often each code that occurs meets each label that does: integers (codes, labels)."""
    distinct, rows = np.unique(codes, return_inverse=True)
    phones, columns = np.unique(labels, return_inverse=True)
    table = np.zeros((len(distinct), len(phones)), np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def purity(table: np.ndarray) -> float:
    """Give the share of what is in the largest cell of its row."""
    return float(table.max(1).sum() / table.sum())


def mutual_information(table: np.ndarray) -> float:
    """Give the information, in bits, that rows and columns have of each other."""
    return entropy(table.sum(0)) + entropy(table.sum(1)) - entropy(table.reshape(-1))


def adjusted_information(codes: np.ndarray, labels: np.ndarray) -> float:
    """Give the mutual information as a share of the labels' entropy, less what shuffled labels have of it in both."""
    rng = np.random.default_rng(SEED)
    chance = float(np.mean([mutual_information(contingency(codes, rng.permutation(labels))) for _ in range(SHUFFLES)]))
    table = contingency(codes, labels)
    return share(mutual_information(table) - chance, entropy(table.sum(0)) - chance)


def share(part: float, whole: float) -> float:
    """Divide, where there is anything; what has no entropy has no information either."""
    return part / whole if whole > 1e-9 else 0.0


def held_out_purity(codes: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> list[Score | None]:
    """Tell of each clip how many frames have the phone that their codes had most often in other clips, in percent.

    Every second clip is held against the others. A code that was not seen there stands for the most frequent phone.

    Args:
        codes: of each clip, integers (frames,).
        labels: likewise.

    Returns:
        A score for each clip; None for one without frames, and for a clip that is alone.
    """
    scores: list[Score | None] = []
    for i, (own, spoken) in enumerate(zip(codes, labels, strict=True)):
        others = range(1 - i % 2, len(codes), 2)
        known = np.concatenate([labels[j] for j in others]) if len(codes) > 1 else np.empty(0, np.int64)
        if not len(own) or not len(known):
            scores.append(None)
            continue
        seen, rows = np.unique(np.concatenate([codes[j] for j in others]), return_inverse=True)
        counts = np.zeros((len(seen), int(known.max()) + 1), np.int64)
        np.add.at(counts, (rows, known), 1)
        place = np.searchsorted(seen, own).clip(max=len(seen) - 1)
        guessed = np.where(seen[place] == own, counts.argmax(1)[place], np.bincount(known).argmax())
        scores.append(Score(100 * float((guessed == spoken).mean()), len(own)))
    return scores
