"""Which codec a data set is tokenized with: how to load it, and what of it decides the codes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import xcodec
from xcodec.audio import Audio
from xcodec.device import Precision
from xcodec.errors import InputError

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["ModelChoice", "describe", "probe"]

_UINT16_CODES = 1 << 16


@dataclass(frozen=True)
class ModelChoice:
    """What is needed to load the same codec here and on other machines.

    Args:
        name: a folder or a hub id, or None for `mini`.
        device: as in `Codec.from_pretrained`.
        dtype: likewise.
        bandwidth: in kbit/s, or None for the highest.
        compile: as in `Codec.from_pretrained`. Like the device and the batches, it is how codes are computed and not
            which: what is planned does not know of it, and a run goes on with it or without.
    """

    name: str | None = None
    device: str = "auto"
    dtype: Precision = Precision.FLOAT32
    bandwidth: float | None = None
    compile: bool = False

    def load(self) -> "Codec":
        """Load the codec."""
        from xcodec.codec import Codec

        return Codec.from_pretrained(
            self.name, device=self.device, dtype=self.dtype.value, compile=self.compile, encoder_only=True
        )


def probe(codec: "Codec", bandwidth: float | None) -> tuple[int, ...]:
    """Encode a second of a tone, which a working model can do; return the sizes of the codebooks in use."""
    times = np.arange(codec.sampling_rate) / codec.sampling_rate
    tone = Audio(0.1 * np.sin(2 * np.pi * 220 * times), codec.sampling_rate)
    return codec.encode(tone, bandwidth=bandwidth).codebook_sizes


def describe(codec: "Codec", bandwidth: float | None) -> dict[str, Any]:
    """What of a codec decides the codes, and what is needed to read them, in JSON's types.

    Raises:
        InputError: for codebooks of more than 65,536 codes, or a bandwidth that the model has not.
    """
    sizes = probe(codec, bandwidth)
    if max(sizes) > _UINT16_CODES:
        raise InputError(f"codebooks of {max(sizes)} codes: at most {_UINT16_CODES} fit into the uint16 of the output")
    return {
        **vars(codec.codes_identity),
        "dtype": codec.precision.value,
        "sampling_rate": codec.sampling_rate,
        "frame_rate": codec.frame_rate,
        "codebook_sizes": list(sizes),
        "xcodec": xcodec.__version__,
    }
