"""XcodecVocosConfig: X-Codec's fields, and those of a Vocos decoder in place of its own."""

from typing import Any, ClassVar

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.models.vocos import VOCOS_FIELDS, VocosFields
from xcodec.models.xcodec.configuration import XcodecConfig

__all__ = ["XcodecVocosConfig"]


class XcodecVocosConfig(VocosFields, XcodecConfig):
    """The configuration of `XcodecVocosModel`; the defaults are the decoders of YuE.

    The fields are those of `VocosFields` and of `XcodecConfig`.

    Args:
        decoder_hop_length: samples that a code becomes; 882 is 44.1 kHz.
        **kwargs: the other fields, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "xcodec_vocos"
    codes_of = XcodecConfig.model_type
    renewed_parts: ClassVar[tuple[str, ...]] = ("acoustic_decoder.head.",)
    decoder_fields: ClassVar[tuple[str, ...]] = (*VOCOS_FIELDS, "decoder_hop_length")

    def __init__(self, decoder_hop_length: int = 882, **kwargs: Any) -> None:
        self.decoder_hop_length = decoder_hop_length
        check_sizes(self, "decoder_hop_length")
        if decoder_hop_length % 2:  # half of what frames overlap by is cut off at both ends
            raise InputError("expected an even number", argument="decoder_hop_length", value=decoder_hop_length)
        super().__init__(**kwargs)

    @property
    def output_hop_length(self) -> int:
        """Samples that a code becomes."""
        return self.decoder_hop_length

    @property
    def output_sampling_rate(self) -> int:
        """In Hz, of what the decoder writes."""
        return self.frame_rate * self.decoder_hop_length

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {"decoder_hop_length": self.decoder_hop_length}
