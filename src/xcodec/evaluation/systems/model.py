"""A codec of this package as a system."""

import math

import numpy as np

from xcodec.audio import Audio
from xcodec.bandwidth import choose_bandwidth
from xcodec.codec import Codec
from xcodec.device import Precision
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.operations import SECONDS, macs_of
from xcodec.evaluation.systems.system import Reconstruction, System
from xcodec.progress import share

__all__ = ["Model"]

ENCODING_SHARE = 0.6  # of the work of a codec


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
        choose_bandwidth(bandwidth, codec.bandwidths, name)
        self.codec, self.bandwidth = codec, bandwidth
        self.name = name if bandwidth is None or named_whole else f"{name} at {bandwidth:g} kbit/s"
        self.about = f"{codec!r}, {codec.identity}"
        self.levels = codec.model.quantization_levels
        self.parameters = sum(parameter.numel() for parameter in codec.model.parameters())

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Encode and decode."""
        with share(ENCODING_SHARE):
            codes = self.codec.encode(recording, bandwidth=self.bandwidth)
        with share(1 - ENCODING_SHARE):
            audio = self.codec.decode(codes, check_identity=False)
        bits = len(codes) * sum(math.log2(size) for size in codes.codebook_sizes)
        return Reconstruction(audio, bits, codes)

    def count_macs(self) -> float | None:
        """Count the multiplications and additions for one second of audio; None in int8, whose kernels are not seen."""
        if self.codec.precision is Precision.INT8:
            return None
        silence = Audio(np.zeros(SECONDS * self.codec.sampling_rate, np.float32), self.codec.sampling_rate)

        def reconstruct() -> None:
            self.codec.decode(self.codec.encode(silence, bandwidth=self.bandwidth))

        return macs_of(reconstruct, self.codec.model) / SECONDS
