"""How many codes change where a recording is disturbed in ways that do not change what is said."""

from collections.abc import Sequence

from xcodec.evaluation.metric import Scale, Score
from xcodec.probing.coder import Coder
from xcodec.probing.disturbances import DISTURBANCES, GAINS_DB, NOISE_RATIOS_DB, Disturbance
from xcodec.probing.edit_distance import unit_edit_distances
from xcodec.probing.probe import ClipProbe, CodedClip, Curve, by_codebook, generator, of_codebooks

__all__ = ["Robustness"]


class Robustness(ClipProbe):
    """The unit edit distance between the codes of a recording and of the same disturbed (StableToken's measure).

    arXiv 2509.22220. 0% where no code changes; it exceeds 100% only where there are more codes than before. Lower is
    better for a language model, which should read the same of the same speech. A codec that keeps noise on purpose has
    to change its codes, so it is to be read beside the quality of what is decoded.

    Args:
        depth: how many codebooks the codec with the most has.
        disturbances: what is done.
    """

    name = "robustness"
    title = "unit edit distance of disturbed recordings"

    def __init__(self, depth: int, disturbances: Sequence[Disturbance] = DISTURBANCES) -> None:
        self.disturbances = disturbances
        self.scales = tuple(
            scale
            for each in disturbances
            for scale in of_codebooks(
                Scale(
                    _key(each.key),
                    f"UED, {each.label}",
                    f"unit edit distance (Levenshtein's, by the number of codes; StableToken 2025), {each.about}",
                    1,
                    "%",
                    higher_is_better=False,
                ),
                depth,
            )
        )
        keys = {each.key for each in disturbances}
        self.curves = tuple(
            curve
            for curve in (
                Curve(
                    "unit edit distance under noise",
                    "signal to noise, dB",
                    tuple(
                        (f"{ratio}", _key(f"noise_{ratio}")) for ratio in NOISE_RATIOS_DB if f"noise_{ratio}" in keys
                    ),
                ),
                Curve(
                    "unit edit distance at another level",
                    "gain, dB",
                    tuple((f"{gain:+d}", _key(f"gain_{gain}")) for gain in GAINS_DB if f"gain_{gain}" in keys),
                ),
            )
            if curve.points
        )

    def measure_clip(self, coder: Coder, clip: CodedClip) -> dict[str, Score]:
        """Encode a clip in every disturbed version."""
        versions = [
            each.apply(clip.samples, coder.sampling_rate, generator(clip.clip.name, each.key))
            for each in self.disturbances
        ]
        scores: dict[str, Score] = {}
        for each, coding in zip(self.disturbances, coder.encode(versions), strict=True):
            scores |= by_codebook(_key(each.key), unit_edit_distances(clip.coding, coding), clip.frames)
        return scores


def _key(disturbance: str) -> str:
    return f"unit_edit_distance.{disturbance}"
