"""XcodecVocosConfig: X-Codec's fields, and those of a Vocos decoder in place of its own."""

from typing import Any, ClassVar

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.models.xcodec.configuration import XcodecConfig

__all__ = ["XcodecVocosConfig"]

VOCOS_FIELDS = (
    "decoder_hidden_size",
    "decoder_intermediate_size",
    "decoder_num_layers",
    "decoder_hop_length",
)


class XcodecVocosConfig(XcodecConfig):
    """The configuration of `XcodecVocosModel`; the defaults are the decoders of YuE.

    Args:
        decoder_hidden_size: width of the decoder.
        decoder_intermediate_size: width inside its blocks.
        decoder_num_layers: its blocks.
        decoder_hop_length: samples that a code becomes; 882 is 44.1 kHz.
        **kwargs: the fields of `XcodecConfig`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "xcodec_vocos"
    codes_of = XcodecConfig.model_type
    renewed_parts: ClassVar[tuple[str, ...]] = ("acoustic_decoder.head.",)
    decoder_fields: ClassVar[tuple[str, ...]] = VOCOS_FIELDS

    def __init__(
        self,
        decoder_hidden_size: int = 512,
        decoder_intermediate_size: int = 1536,
        decoder_num_layers: int = 8,
        decoder_hop_length: int = 882,
        **kwargs: Any,
    ) -> None:
        self.decoder_hidden_size = decoder_hidden_size
        self.decoder_intermediate_size = decoder_intermediate_size
        self.decoder_num_layers = decoder_num_layers
        self.decoder_hop_length = decoder_hop_length
        check_sizes(self, *VOCOS_FIELDS)
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
        return super().architecture() | {name: getattr(self, name) for name in VOCOS_FIELDS}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return super().num_repeated() | {"decoder_num_layers": self.decoder_num_layers}
