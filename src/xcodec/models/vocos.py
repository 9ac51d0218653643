"""What codecs with Vocos' blocks in their decoder have in common: fields of a configuration, and that decoder."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.vocos import AROUND
from xcodec.modules.vocos_decoder import VocosDecoder

__all__ = ["VOCOS_FIELDS", "VocosFields"]

VOCOS_SIZES = ("decoder_hidden_size", "decoder_intermediate_size", "decoder_num_layers")
VOCOS_FIELDS = (*VOCOS_SIZES, "decoder_lookahead")


class VocosFields:
    """The part of a configuration that describes Vocos' blocks; it comes before the codec's own.

    Args:
        decoder_hidden_size: width of the decoder.
        decoder_intermediate_size: width inside its blocks.
        decoder_num_layers: its blocks.
        decoder_lookahead: how many codes after its own a code's audio depends on: as many as the head needs, up to 3
            more. With None its convolutions see as far ahead as back.
        **kwargs: the fields of the codec's configuration.

    Raises:
        InputError: where one of them is no size.
    """

    def __init__(
        self,
        decoder_hidden_size: int = 512,
        decoder_intermediate_size: int = 1536,
        decoder_num_layers: int = 8,
        decoder_lookahead: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.decoder_hidden_size = decoder_hidden_size
        self.decoder_intermediate_size = decoder_intermediate_size
        self.decoder_num_layers = decoder_num_layers
        self.decoder_lookahead = decoder_lookahead
        check_sizes(self, *VOCOS_SIZES)
        if decoder_lookahead is not None:
            check_sizes(self, "decoder_lookahead")
        super().__init__(**kwargs)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        fields: dict[str, Any] = super().architecture()  # type: ignore[misc]
        names = VOCOS_SIZES if self.decoder_lookahead is None else VOCOS_FIELDS  # those of before there was another
        return fields | {name: getattr(self, name) for name in names}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        repeated: dict[str, int] = super().num_repeated()  # type: ignore[misc]
        return repeated | {"decoder_num_layers": self.decoder_num_layers}

    def vocos_decoder(self, input_size: int, head: ISTFTHead | HarmonicHead) -> VocosDecoder:
        """Make the decoder, of latents of this width and with this head.

        Raises:
            InputError: where it cannot look ahead as far as the configuration says.
        """
        ahead, least = self.decoder_lookahead, head.reach[1]
        if ahead is not None and not least <= ahead <= least + AROUND:
            raise InputError(
                f"expected {least} to {least + AROUND}, or None", argument="decoder_lookahead", value=ahead
            )
        sizes = self.decoder_hidden_size, self.decoder_intermediate_size, self.decoder_num_layers
        return VocosDecoder(input_size, *sizes, head, ahead)
