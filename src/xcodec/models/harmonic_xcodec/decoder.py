"""The harmonic decoder of X-Codec's codes: Vocos up to its states, and of these pulses and noise behind filters."""

from xcodec.models.harmonic_xcodec.configuration import HarmonicXcodecConfig
from xcodec.models.xcodec_vocos.decoder import VocosDecoder
from xcodec.modules.harmonic_head import HarmonicHead

__all__ = ["HarmonicVocosDecoder"]


class HarmonicVocosDecoder(VocosDecoder):
    """`VocosDecoder` with a `HarmonicHead`."""

    head: HarmonicHead  # type: ignore[assignment]  # which makes its samples otherwise

    @staticmethod
    def build_head(config: HarmonicXcodecConfig) -> HarmonicHead:  # type: ignore[override]
        """Make the head."""
        return config.harmonic_head(config.decoder_hidden_size)
