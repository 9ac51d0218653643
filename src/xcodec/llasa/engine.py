"""What a language model has to do to speak: go on with a prompt of ids. Any engine that can will do."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from xcodec.errors import InputError
from xcodec.llasa.answer import Piece

__all__ = ["Engine", "Sampling"]


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

    Raises:
        InputError: for a number out of its range.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 50
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_codes: int = 1500

    def __post_init__(self) -> None:
        for name, right, expected in (
            ("temperature", self.temperature >= 0, "0 or above"),
            ("top_p", 0 < self.top_p <= 1, "above 0, and 1 at most"),
            ("top_k", self.top_k >= 0, "0 (all) or above"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0, such as 1.1"),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "0 to 2^63 - 1, or None"),
            ("max_codes", self.max_codes > 0, "above 0"),
        ):
            if not right:
                raise InputError(f"expected a number {expected}", argument=name, value=getattr(self, name))


class Engine(ABC):
    """A language model behind an interface of one method, `stream`.

    Attributes:
        skip_others: whether what is no speech token is left out of its answers, rather than an error: for an engine
            that cannot be kept from sampling it.
    """

    skip_others: bool = False

    @abstractmethod
    def stream(self, prompt: Sequence[int], sampling: Sampling) -> Generator[Piece, None, None]:
        """Yield what follows a prompt, as it comes: ids, or text cut anywhere.

        The end marker comes last, unless the answer was cut before its end.
        Who has had enough closes the generator, which ends the work.
        """

    def batch(
        self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]
    ) -> Generator[tuple[int, Piece], None, None]:
        """Yield what follows each of several prompts, as `stream` gives it for each alone; here, one after the other.

        Args:
            prompts: of ids.
            samplings: one for each.

        Yields:
            The number of a prompt, and a piece of its answer.
        """
        for i, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
            with closing(self.stream(prompt, sampling)) as pieces:
                for piece in pieces:
                    yield i, piece
