"""What is evaluated: anything that gives a recording back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import XcodecError
from xcodec.evaluation.clips import Clip

__all__ = ["Coded", "Reconstruction", "ReconstructionError", "Reference", "System", "Tokens"]


class ReconstructionError(XcodecError, RuntimeError):
    """A program or a model of others failed on a clip; the message is what it said."""


class Coded(Protocol):
    """Codes as `xcodec.Codes` and `Tokens` have them."""

    @property
    def ids(self) -> np.ndarray:
        """Integers of shape (codebooks, frames)."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The number of different codes in each codebook."""


@dataclass(frozen=True)
class Tokens:
    """Codes of a codec that is not one of this package.

    Args:
        ids: integers of shape (codebooks, frames).
        codebook_sizes: the number of different codes in each codebook.
    """

    ids: np.ndarray
    codebook_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Reconstruction:
    """What came back of a recording.

    Args:
        audio: at whatever rate the system gives.
        bits: the size of what was kept in between, where that is known.
        codes: what was kept, for a model.
    """

    audio: Audio
    bits: float | None = None
    codes: Coded | None = None


class System(ABC):
    """Something that gives a recording back.

    Attributes:
        name: as reports call it.
        about: one line for reports: what exactly was run.
        works: whether giving a recording back is work whose time means something; if not, it was done before.
        parameters: how many weights it has; None where that is not known.
        levels: of each dimension of its finite scalar quantizer; empty where it has another.
    """

    name: str
    about: str
    works: bool = True
    parameters: int | None = None
    levels: tuple[int, ...] = ()

    @abstractmethod
    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:
        """Give a clip back, whose recording was read already.

        Raises:
            XcodecError: where it cannot be.
        """

    def count_macs(self) -> float | None:
        """Count the multiplications and additions for one second of audio; None where that cannot be known."""
        return None


class Reference(System):
    """The recordings themselves: what metrics that need no reference say of them."""

    name = "recordings"
    about = "the recordings themselves"
    works = False

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Give the recording back as it is."""
        return Reconstruction(recording)
