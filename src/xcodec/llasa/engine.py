"""What a language model has to do to speak: go on with a prompt of ids. Any engine that can will do."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing

from xcodec.llasa.answer import Piece
from xcodec.llasa.sampling import Sampling

__all__ = ["Engine"]


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
