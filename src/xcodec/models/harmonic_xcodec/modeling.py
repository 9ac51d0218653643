"""HarmonicXcodecModel: X-Codec's codes at all its bandwidths, and a decoder of them that has a source of harmonics."""

from xcodec.models.harmonic_xcodec.configuration import HarmonicXcodecConfig
from xcodec.models.harmonic_xcodec.decoder import HarmonicVocosDecoder
from xcodec.models.xcodec_vocos.modeling import XcodecVocosModel

__all__ = ["HarmonicXcodecModel"]


class HarmonicXcodecModel(XcodecVocosModel):
    """An X-Codec whose decoder is Vocos up to its states, and then as that of `HarmonicXcodec2Model`.

    It is small, and has learned to speak where one that has to learn phases still buzzes. Its methods are those of
    `XcodecModel`. It has nothing that only training uses.

    Args:
        config: its configuration.
        encoder_only: build no decoder.
        decoder_only: build no encoder.
    """

    config_class = HarmonicXcodecConfig
    config: HarmonicXcodecConfig
    decoder_class = HarmonicVocosDecoder

    @property
    def lookahead(self) -> None:
        """A code's audio depends on all codes: on what is near by its filters, on those before it by its phase."""
