"""What a decoder is: one audio file, decoded from any of its samples on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence

import numpy as np

from xcodec.errors import AudioError

__all__ = ["BLOCK", "Blocks", "Decoder", "FindDamage", "JoinedDecoder", "damaged"]

BLOCK = 1 << 16  # samples per channel to decode or encode at once; libvorbis overflows its stack on long blocks

Blocks = Generator[np.ndarray, None, int]
"""Blocks of float32 samples, shape (samples, channels); the generator's value is the number of samples in the file."""

FindDamage = Callable[[], str | None]
"""Looks for damage that decoders pass over, and says what is wrong with the file."""


class Decoder(ABC):
    """One open audio file.

    Args:
        name: of the file, for messages.
        sampling_rate: in Hz.
        num_channels: number of channels.
        num_samples: per channel, where the file promises it or it was counted; None where it is not known.
        format: name of the container, such as "WAV".
        subtype: name of the encoding, such as "PCM_16".
        seeks: whether `decode` takes about equally long from every sample on; otherwise it decodes from the beginning.
    """

    def __init__(
        self,
        name: str,
        *,
        sampling_rate: int,
        num_channels: int,
        num_samples: int | None,
        format: str,
        subtype: str,
        seeks: bool,
    ) -> None:
        self.name, self.format, self.subtype, self._seeks = name, format, subtype, seeks
        self.sampling_rate, self.num_channels, self.num_samples = sampling_rate, num_channels, num_samples

    @property
    def seeks(self) -> bool:
        """Whether spans are sought; to find out may take a while."""
        return self._seeks

    @abstractmethod
    def decode(self, start: int = 0) -> Blocks:
        """Decode from sample `start` to the end.

        Each call stands for itself: its samples do not depend on what was decoded before. Where the end comes before
        `start`, there are no samples.

        Yields:
            float32 of shape (samples, channels), full scale at 1.0.

        Returns:
            The generator's value: the number of samples in the file, now that its end is reached.

        Raises:
            AudioError: where the file is damaged, or ends before it should.
        """

    def close(self) -> None:  # noqa: B027  (most hold nothing open)
        """Release what is open. What `decode` has given cannot be used after it."""


class JoinedDecoder(Decoder):
    """Decode recordings that follow one another in one file, each as it would be decoded alone.

    Args:
        name: of the file.
        parts: at least one; all of one rate and number of channels.

    Raises:
        AudioError: where the parts differ in rate or channels.
    """

    def __init__(self, name: str, parts: Sequence[Decoder]) -> None:
        first = parts[0]
        for part in parts[1:]:
            if (part.sampling_rate, part.num_channels) != (first.sampling_rate, first.num_channels):
                raise AudioError(
                    f"changes from {first.sampling_rate} Hz and {first.num_channels} channel(s) to "
                    f"{part.sampling_rate} Hz and {part.num_channels}",
                    subject=name,
                    remedy="convert it to one first, for instance with: ffmpeg -i FILE whole.wav",
                )
        lengths = [part.num_samples for part in parts]
        super().__init__(
            name,
            sampling_rate=first.sampling_rate,
            num_channels=first.num_channels,
            num_samples=None if None in lengths else sum(length or 0 for length in lengths),
            format=first.format,
            subtype=first.subtype,
            seeks=all(part.seeks for part in parts),
        )
        self._parts = list(parts)

    def decode(self, start: int = 0) -> Blocks:
        """Decode from sample `start` to the end; parts that end before it are passed over."""
        begin = 0
        for part in self._parts:
            last = part is self._parts[-1]
            if part.num_samples is not None and begin + part.num_samples <= start and not last:
                begin += part.num_samples
                continue
            begin += yield from part.decode(max(0, start - begin))
        return begin

    def close(self) -> None:
        """Close every part."""
        for part in self._parts:
            part.close()


def damaged(name: str, promised: int, there: int) -> AudioError:
    """Return the error of a file that holds fewer samples than it promises."""
    return AudioError(
        f"is damaged or cut short: its header promises {promised} samples, {there} can be read", subject=name
    )
