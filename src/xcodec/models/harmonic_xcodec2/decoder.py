"""The harmonic decoder: X-Codec2's up to its states, and of these pulses and noise behind filters."""

from xcodec.models.harmonic_xcodec2.configuration import HarmonicXcodec2Config
from xcodec.models.xcodec2.decoder import AcousticDecoder
from xcodec.modules.harmonic_head import HarmonicHead

__all__ = ["HarmonicDecoder"]


class HarmonicDecoder(AcousticDecoder):
    """`AcousticDecoder` with a `HarmonicHead`."""

    head: HarmonicHead  # type: ignore[assignment]  # which makes its samples otherwise

    @staticmethod
    def build_head(config: HarmonicXcodec2Config) -> HarmonicHead:  # type: ignore[override]
        """Make the head."""
        return config.harmonic_head(config.hidden_size)
