"""What is evaluated: anything that gives a recording back."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xcodec.audio import MEDIA_SUFFIXES, Audio, media_files
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.progress import share

__all__ = ["Folder", "Model", "Reconstruction", "Reference", "System"]

ENCODING_SHARE = 0.6  # of the work of a codec


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
    codes: Codes | None = None


class System(ABC):
    """Something that gives a recording back."""

    name: str
    about: str
    """One line for reports: what exactly was run."""

    @abstractmethod
    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:
        """Give a clip back, whose recording was read already.

        Raises:
            XcodecError: where it cannot be.
        """


class Reference(System):
    """The recordings themselves: what metrics that need no reference say of them."""

    name = "recordings"
    about = "the recordings themselves"

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Give the recording back as it is."""
        return Reconstruction(recording)


class Model(System):
    """A codec.

    Args:
        codec: the codec.
        name: as reports call it.
        bandwidth: in kbit/s, one of the codec's; None for its highest.
        named_whole: whether the name says the bandwidth already.

    Raises:
        InputError: where the codec does not have this bandwidth.
    """

    def __init__(self, codec: Codec, name: str, bandwidth: float | None = None, *, named_whole: bool = False) -> None:
        if bandwidth is not None and not any(math.isclose(bandwidth, offered) for offered in codec.bandwidths):
            offers = ", ".join(f"{offered:g}" for offered in codec.bandwidths)
            raise InputError(f"{name} has {offers} kbit/s", argument="bandwidth", value=bandwidth)
        self.codec, self.bandwidth = codec, bandwidth
        self.name = name if bandwidth is None or named_whole else f"{name} at {bandwidth:g} kbit/s"
        self.about = f"{codec!r}, {codec.identity}"

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels of each dimension of its finite scalar quantizer; empty where it has another."""
        return self.codec.model.quantization_levels

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Encode and decode."""
        with share(ENCODING_SHARE):
            codes = self.codec.encode(recording, bandwidth=self.bandwidth)
        with share(1 - ENCODING_SHARE):
            audio = self.codec.decode(codes, check_identity=False)
        bits = len(codes) * sum(math.log2(size) for size in codes.codebook_sizes)
        return Reconstruction(audio, bits, codes)


class Folder(System):
    """Reconstructions that are there already, in a folder laid out as the recordings are.

    For the recording x/a.flac it takes x/a.flac, else x/a.flac.wav as `xcodec reconstruct` writes it, else x/a.wav; in
    each case with any suffix of audio.

    Args:
        path: the folder.
        name: as reports call it.

    Raises:
        InputError: where there is no such folder.
    """

    def __init__(self, path: Path, name: str) -> None:
        if not path.is_dir():
            raise InputError("is no folder", subject=path, remedy="give the folder of the reconstructions")
        self.path, self.name = path, name
        self.about = f"the files in {path}"
        self._taken: set[Path] = set()

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Read the counterpart of a recording."""
        counterpart = self._counterpart(clip)
        self._taken.add(counterpart)
        return Reconstruction(Audio.read(counterpart))

    def left_over(self) -> list[Path]:
        """Find recordings in the folder that were no recording's counterpart so far."""
        return sorted(set(media_files(self.path)) - self._taken)

    def _counterpart(self, clip: Clip) -> Path:
        same = self.path / clip.name
        for candidates in ([same], _with_suffixes(same.name, same), _with_suffixes(same.stem, same)):
            there = [path for path in candidates if path.is_file()]
            if len(there) > 1:
                names = ", ".join(path.name for path in there)
                raise InputError(f"{same.parent} holds {names}; expected one counterpart of {clip.name}")
            if there:
                return there[0]
        raise InputError(
            f"there is no counterpart in {self.path}; expected {clip.name}, {clip.name}.wav or "
            f"{Path(clip.name).with_suffix('.wav')}, or these with another suffix of audio"
        )


def _with_suffixes(name: str, beside: Path) -> Iterable[Path]:
    return [beside.with_name(name + suffix) for suffix in MEDIA_SUFFIXES]
