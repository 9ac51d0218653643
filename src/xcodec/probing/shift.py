"""Whether codes move with the sound: a recording that begins a little later gives the same codes, or others."""

from xcodec.evaluation.metric import Scale, Score, UndefinedError
from xcodec.probing.coder import Coder, Coding
from xcodec.probing.edit_distance import agreement, unit_edit_distances
from xcodec.probing.probe import ClipProbe, CodedClip, Curve, by_codebook, of_codebooks

__all__ = ["FrameShift"]

PARTS = {"1": 0.0, "quarter": 0.25, "half": 0.5, "three_quarters": 0.75, "hop": 1.0}  # of a hop; "1" is one sample
LABELS = {"1": "1 sample", "quarter": "¼ hop", "half": "½ hop", "three_quarters": "¾ hop", "hop": "1 hop"}
MARGIN = 5  # frames at either end whose codes may know where the recording begins and ends


class FrameShift(ClipProbe):
    """Code agreement, and unit edit distance, of a recording without its first few samples.

    Codes are held against those of the nearest frame: the same up to half a hop, and from there on the next. Shifted by
    a whole hop, an encoder that treats all times alike gives the same codes one frame earlier, 100%, but near the ends,
    of which five frames are left out of the agreement. Shifted by a part of a hop frames hold other samples, and codes
    that agree all the same are those of what is said and not of where the grid of frames lies.

    Args:
        depth: how many codebooks the codec with the most has.
    """

    name = "shift"
    title = "codes of a shifted recording"

    def __init__(self, depth: int) -> None:
        equal = "codes equal to those of the nearest frame, the recording being cut at its start by"
        edits = "unit edit distance, the recording being cut at its start by"
        self.scales = tuple(
            scale
            for part, label in LABELS.items()
            for made in (
                Scale(f"shift.agreement.{part}", f"agreement, {label}", f"{equal} {label}", 1, "%"),
                Scale(f"shift.distance.{part}", f"UED, {label}", f"{edits} {label}", 1, "%", higher_is_better=False),
            )
            for scale in of_codebooks(made, depth)
        )
        self.curves = (
            Curve(
                "code agreement after a shift",
                "cut at the start",
                tuple((label, f"shift.agreement.{part}") for part, label in LABELS.items()),
            ),
        )

    def measure_clip(self, coder: Coder, clip: CodedClip) -> dict[str, Score]:
        """Encode a clip from later samples on.

        Raises:
            UndefinedError: where it is too short for that.
        """
        if clip.frames < 3 * MARGIN:
            raise UndefinedError(f"it has {clip.frames} frames; expected {3 * MARGIN} at least")
        shifts = {part: max(1, round(share * coder.hop_length)) for part, share in PARTS.items()}
        shifted = coder.encode([clip.samples[shift:] for shift in shifts.values()])
        scores: dict[str, Score] = {}
        for (part, share), coding in zip(PARTS.items(), shifted, strict=True):
            late = int(share > 0.5)
            clean = clip.coding.ids[:, late:]
            inner = slice(MARGIN, min(clean.shape[1], coding.ids.shape[1]) - MARGIN)
            equal = agreement(clean[:, inner], coding.ids[:, inner])
            scores |= by_codebook(f"shift.agreement.{part}", equal, clip.frames)
            distances = unit_edit_distances(Coding(clean, clip.coding.num_samples), coding)
            scores |= by_codebook(f"shift.distance.{part}", distances, clip.frames)
        return scores
