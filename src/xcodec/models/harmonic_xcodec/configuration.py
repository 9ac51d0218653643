"""What describes an X-Codec whose decoder has a source of harmonics."""

from typing import Any

from xcodec.models.harmonic import HARMONIC_ARCHITECTURE, HarmonicFields
from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig

__all__ = ["HarmonicXcodecConfig"]


class HarmonicXcodecConfig(HarmonicFields, XcodecVocosConfig):
    """Configuration of `HarmonicXcodecModel`; the fields are those of `HarmonicFields` and of `XcodecVocosConfig`.

    Args:
        decoder_hop_length: samples that a code becomes; 320 is the rate that is encoded.
        **kwargs: the other fields.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec"
    decoder_fields = (*XcodecVocosConfig.decoder_fields, *HARMONIC_ARCHITECTURE)

    def __init__(self, decoder_hop_length: int = 320, **kwargs: Any) -> None:
        super().__init__(decoder_hop_length=decoder_hop_length, **kwargs)
