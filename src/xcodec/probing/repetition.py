"""What becomes of a recording that is encoded and decoded again and again."""

from xcodec.evaluation.metric import Scale, Score
from xcodec.probing.coder import Coder
from xcodec.probing.edit_distance import agreement
from xcodec.probing.probe import ClipProbe, CodedClip, Curve, by_codebook, of_codebooks
from xcodec.probing.quality import Quality

__all__ = ["RepeatEncoding"]

LAST = 10
SHOWN = (1, 2, 3, 5, 10)


class RepeatEncoding(ClipProbe):
    """Code agreement with the first generation, and STOI to the recording, over ten generations.

    The first generation is the recording's codes, and each next one the codes of what the one before it is decoded to.
    A codec that is idempotent has 100% at every generation; it matters where speech passes through a codec several
    times, as in editing (O'Reilly et al. 2024, "Code Drift", arXiv 2410.11025).

    Args:
        depth: how many codebooks the codec with the most has.
        quality: what STOI is taken by.
        generations: how often it is encoded.
    """

    name = "repetition"
    title = "repeated encoding"

    def __init__(self, depth: int, quality: Quality, generations: int = LAST) -> None:
        self._quality, self._last = quality, generations
        self._shown = [each for each in SHOWN if each <= generations]
        equal = "codes equal to those of generation 1, at generation"
        self.scales = (
            *(
                scale
                for number in self._shown[1:]
                for scale in of_codebooks(
                    Scale(
                        f"repetition.agreement.{number}", f"agreement, generation {number}", f"{equal} {number}", 1, "%"
                    ),
                    depth,
                )
            ),
            *(
                scale
                for number in self._shown
                for scale in quality.scales(
                    f"repetition.{number}", f"generation {number}", f"of generation {number}", ("stoi",)
                )
            ),
        )
        self.curves = (
            Curve(
                "code agreement with generation 1",
                "generation",
                tuple((str(number), f"repetition.agreement.{number}") for number in self._shown[1:]),
            ),
            Curve(
                "STOI of repeated encoding",
                "generation",
                tuple((str(number), f"repetition.{number}.stoi") for number in self._shown),
            ),
        )

    def measure_clip(self, coder: Coder, clip: CodedClip) -> dict[str, Score]:
        """Encode and decode a clip again and again."""
        scores: dict[str, Score] = {}
        coding = clip.coding
        for number in range(1, self._last + 1):
            if number in self._shown[1:]:
                equal = agreement(clip.coding.ids, coding.ids)
                scores |= by_codebook(f"repetition.agreement.{number}", equal, clip.frames)
            decoded = coder.decode(coding.ids, coding)
            if number in self._shown:
                scores |= self._quality.measure(f"repetition.{number}", clip, coder.sampling_rate, decoded, ("stoi",))
            if number < self._last:
                [coding] = coder.encode([decoded])
        return scores
