"""How the tokens of an answer are chosen."""

from dataclasses import dataclass

from xcodec.errors import InputError

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. The defaults are what the authors' own example comes to.

    Args:
        temperature: 0 takes the likeliest token always; below 1 likely ones are preferred.
        top_p: only the likeliest tokens, whose probabilities together reach this, are drawn from.
        top_k: only so many of the likeliest tokens are drawn from; 0 is all.
        repetition_penalty: above 1 makes tokens that were there already less likely.
        seed: 0 or above; the same seed draws the same; None draws anew each time.
        max_codes: the speech is cut after so many.
        least_codes: the end cannot be drawn before so many; one is always drawn before it.

    Raises:
        InputError: for a number out of its range.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 50
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_codes: int = 1500
    least_codes: int = 1

    def __post_init__(self) -> None:
        for name, right, expected in (
            ("temperature", self.temperature >= 0, "0 or above"),
            ("top_p", 0 < self.top_p <= 1, "above 0, and 1 at most"),
            ("top_k", self.top_k >= 0, "0 (all) or above"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0, such as 1.1"),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "0 to 2^63 - 1, or None"),
            ("max_codes", self.max_codes > 0, "above 0"),
            ("least_codes", self.least_codes > 0, "above 0"),
        ):
            if not right:
                raise InputError(f"expected a number {expected}", argument=name, value=getattr(self, name))
