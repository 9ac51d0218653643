"""Whether the same phone is nearer to itself than to another: ABX discrimination."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xcodec.evaluation.metric import Scale
from xcodec.probing.alignment import PhoneAligner, frames_of, is_spoken
from xcodec.probing.coder import Coder
from xcodec.probing.edit_distance import edit_distance
from xcodec.probing.phones import NO_TRANSCRIPTS
from xcodec.probing.probe import CodedClip, Findings, Probe

__all__ = ["PhoneDiscrimination", "Segment", "abx_error", "warped_angle"]

TRIPLES = 3  # of each pair of phones, and of each place of X
SEED = 0


@dataclass(frozen=True)
class Segment:
    """A phone as a codec has it.

    Args:
        clip: which clip it is of.
        directions: its latents, each of length 1, (frames, channels); None where they are not known.
        codes: of the first codebook, (frames,).
    """

    clip: int
    directions: np.ndarray | None
    codes: np.ndarray


class PhoneDiscrimination(Probe):
    """The ABX error rate (Schatz et al. 2013) of phones.

    X and A are the same phone, B another; it is an error where X is nearer to B, and half of one where it is as near.
    Phones are taken in any context, A and B of one clip, X of the same clip (within) or of another one (across, which
    as a rule is another speaker). Three triples of every pair of phones are drawn with a fixed seed; the mean is over
    pairs. 50% is chance. Distances are angles between latents along a warping path, or edit distances of codes. fastabx
    and the Zero Resource challenges take phones between the same neighbours, of true alignments: their figures are
    lower.

    Args:
        aligner: tells the phones.
    """

    name = "abx"
    title = "ABX of phones"

    def __init__(self, aligner: PhoneAligner) -> None:
        self._aligner = aligner
        self.scales = tuple(
            Scale(f"abx.{kind}.{place}", f"ABX error, {kind}, {place} clips", f"{about}, X of {which}", 1, "%", False)
            for kind, about in (
                ("latents", "ABX error rate of phones by angles of dequantised latents"),
                ("codes", "ABX error rate of phones by edit distances of the first codebook's codes"),
            )
            for place, which in (("within", "the same clip"), ("across", "another clip"))
        )

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Draw triples of all clips that have transcripts."""
        segments: dict[int, list[Segment]] = defaultdict(list)
        for number, clip in enumerate(clips):
            for phone in self._aligner.phones(clip, coder.sampling_rate):
                first, last = frames_of(phone, clip.frames, coder.frame_rate)
                if is_spoken(phone.label) and last > first:
                    segments[phone.label].append(segment_of(number, clip, first, last))
        if not segments:
            return self.unmeasured(NO_TRANSCRIPTS)
        findings = Findings()
        kinds: list[tuple[str, Callable[[Segment, Segment], float]]] = [("codes", code_distance)]
        if all(each.directions is not None for several in segments.values() for each in several):
            kinds.append(("latents", latent_distance))
        for kind, distance in kinds:
            for place in ("within", "across"):
                error = abx_error(segments, distance, across=place == "across")
                if error is None:
                    findings.reasons[f"abx.{kind}.{place}"] = "there are too few phones for a triple"
                else:
                    findings.corpus[f"abx.{kind}.{place}"] = 100 * error
        return findings


def segment_of(number: int, clip: CodedClip, first: int, last: int) -> Segment:
    """Cut a phone out of a clip's codes."""
    latents = clip.coding.latents
    directions = None
    if latents is not None:
        cut = latents[first:last]
        directions = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-9)
    return Segment(number, directions, clip.coding.ids[0, first:last])


def code_distance(first: Segment, second: Segment) -> float:
    """Give the edit distance of two phones' codes, by the longer's number."""
    return edit_distance(first.codes, second.codes) / max(len(first.codes), len(second.codes))


def latent_distance(first: Segment, second: Segment) -> float:
    """Give the warped angle between two phones' latents."""
    assert first.directions is not None
    assert second.directions is not None
    return warped_angle(first.directions, second.directions)


def warped_angle(first: np.ndarray, second: np.ndarray) -> float:
    """Give the mean angle, as a share of a half turn, between two sequences along the best warping path.

    A step along both counts twice, so that every path has the same weight (Sakoe and Chiba 1978, symmetric).

    Args:
        first: of length 1 each, (n, channels).
        second: likewise, (m, channels).
    """
    angles = (np.arccos((first @ second.T).clip(-1.0, 1.0)) / np.pi).tolist()
    above = [float("inf")] * len(second)
    for i, row in enumerate(angles):
        totals: list[float] = []
        for j, angle in enumerate(row):
            if i == j == 0:
                totals.append(2 * angle)
                continue
            best = above[j] + angle
            if j:
                best = min(best, totals[j - 1] + angle, above[j - 1] + 2 * angle)
            totals.append(best)
        above = totals
    return above[-1] / (len(first) + len(second))


def abx_error(
    segments: dict[int, list[Segment]], distance: Callable[[Segment, Segment], float], *, across: bool
) -> float | None:
    """Give the share of triples in which X is nearer to B than to A, the mean over pairs of phones.

    Args:
        segments: of each phone.
        distance: of two segments.
        across: whether X is of another clip than A and B.

    Returns:
        From 0 to 1; None where there is no triple.
    """
    rng = np.random.default_rng(SEED)
    by_clip: dict[int, dict[int, list[Segment]]] = {}
    for phone, several in segments.items():
        by_clip[phone] = defaultdict(list)
        for segment in several:
            by_clip[phone][segment.clip].append(segment)
    errors = []
    for phone in sorted(segments):
        for other in sorted(segments):
            if phone == other:
                continue
            wrong = []
            for _ in range(TRIPLES):
                triple = draw(segments[phone], by_clip[phone], by_clip[other], across, rng)
                if triple is not None:
                    a, b, x = triple
                    same, different = distance(a, x), distance(b, x)
                    wrong.append(0.5 if same == different else float(different < same))
            if wrong:
                errors.append(float(np.mean(wrong)))
    return float(np.mean(errors)) if errors else None


def draw(
    phone: Sequence[Segment],
    same: dict[int, list[Segment]],
    other: dict[int, list[Segment]],
    across: bool,
    rng: np.random.Generator,
) -> tuple[Segment, Segment, Segment] | None:
    """Draw A, B and X; None where there are none for the X that was drawn."""
    x = phone[int(rng.integers(len(phone)))]
    clips = [clip for clip in same if clip in other and (clip != x.clip) == across]
    if not clips:
        return None
    clip = clips[rng.integers(len(clips))]
    candidates = [each for each in same[clip] if each is not x]
    if not candidates:
        return None
    return candidates[rng.integers(len(candidates))], other[clip][rng.integers(len(other[clip]))], x
