"""What is lost where codes are damaged on their way: bits that flip, frames that get lost."""

from collections.abc import Sequence

import numpy as np

from xcodec.evaluation.metric import Score
from xcodec.probing.coder import Coder
from xcodec.probing.probe import ClipProbe, CodedClip, Curve, generator
from xcodec.probing.quality import Quality

__all__ = ["CodeDamage", "flip_bits", "repeat_lost_frames"]

FLIPPED = (0.1, 1.0, 5.0)  # percent of the bits
LOST = (5.0, 10.0, 20.0)  # percent of the frames


class CodeDamage(ClipProbe):
    """STOI and mel distance of what decodes of damaged codes, beside those of intact ones.

    A share of the bits of all codes is flipped at random, as on a channel without protection; or a share of the frames
    is lost, each alone and at random, and the last frame that arrived is put in its place. A code of n bits is damaged
    with the probability 1 - (1 - p) ** n, so that one of 16 bits is hit more often than one of 10.

    Args:
        quality: what is measured of the decoded.
        flipped: shares of bits, in percent.
        lost: shares of frames, in percent.
    """

    name = "damage"
    title = "damaged codes"

    def __init__(self, quality: Quality, flipped: Sequence[float] = FLIPPED, lost: Sequence[float] = LOST) -> None:
        self._quality, self._flipped, self._lost = quality, flipped, lost
        self.scales = tuple(
            scale
            for key, label, about in (
                ("damage.none", "intact codes", "of intact codes"),
                *(
                    (_flip(share), f"{share:g}% of bits flipped", f"with {share:g}% of the bits flipped")
                    for share in flipped
                ),
                *(
                    (_loss(share), f"{share:g}% of frames lost", f"with {share:g}% of the frames lost")
                    for share in lost
                ),
            )
            for scale in quality.scales(key, label, about)
        )
        self.curves = tuple(
            Curve(
                f"{metric} after {what}",
                axis,
                (("0", f"damage.none.{name}"), *((f"{share:g}", f"{key(share)}.{name}") for share in shares)),
            )
            for name, metric in (("stoi", "STOI"), ("mel", "mel distance"))
            for what, axis, shares, key in (
                ("bit flips", "bits flipped, %", flipped, _flip),
                ("losses", "frames lost, %", lost, _loss),
            )
        )

    def measure_clip(self, coder: Coder, clip: CodedClip) -> dict[str, Score]:
        """Decode a clip's codes, intact and damaged."""
        ids, name = clip.coding.ids, clip.clip.name
        damaged = {"damage.none": ids}
        for share in self._flipped:
            damaged[_flip(share)] = flip_bits(ids, coder.codebook_sizes, share / 100, generator(name, "flip", share))
        for share in self._lost:
            damaged[_loss(share)] = repeat_lost_frames(ids, share / 100, generator(name, "loss", share))
        scores: dict[str, Score] = {}
        for key, each in damaged.items():
            decoded = coder.decode(each, clip.coding)
            scores |= self._quality.measure(key, clip, coder.sampling_rate, decoded)
        return scores


def _flip(share: float) -> str:
    return f"damage.flipped_{share:g}"


def _loss(share: float) -> str:
    return f"damage.lost_{share:g}"


def flip_bits(ids: np.ndarray, sizes: Sequence[int], share: float, rng: np.random.Generator) -> np.ndarray:
    """Flip each bit of each code with a probability.

    Args:
        ids: integers (codebooks, frames).
        sizes: of the codebooks. A code is written in as many bits as the largest takes; what is then no code of the
            codebook is brought back into it by the remainder.
        share: the probability.
        rng: draws which bits.
    """
    flipped = []
    for row, size in zip(ids, sizes, strict=True):
        bits = max(1, (size - 1).bit_length())
        mask = (rng.random((len(row), bits)) < share) @ (1 << np.arange(bits, dtype=np.int64))
        flipped.append((row ^ mask) % size)
    return np.stack(flipped)


def repeat_lost_frames(ids: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Replace frames, each with a probability, by the last one before them that is kept; the first always is.

    Args:
        ids: integers (codebooks, frames).
        share: the probability.
        rng: draws which.
    """
    kept = np.asarray(rng.random(ids.shape[1]) >= share)
    kept[0] = True
    return ids[:, np.maximum.accumulate(np.where(kept, np.arange(ids.shape[1]), 0))]
