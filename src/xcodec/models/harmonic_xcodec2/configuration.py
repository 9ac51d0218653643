"""What describes an X-Codec2 that reads spectra, and whose decoder is Vocos with a source of harmonics."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_sizes
from xcodec.models.spectral import SpectralFields
from xcodec.models.xcodec2.configuration import TRANSFORMER_FIELDS, Xcodec2Config

__all__ = ["HarmonicXcodec2Config"]

VOCOS_FIELDS = ("decoder_hidden_size", "decoder_intermediate_size", "decoder_num_layers")


class HarmonicXcodec2Config(SpectralFields, Xcodec2Config):
    """Configuration of `HarmonicXcodec2Model`; the fields are those of `SpectralFields` and of `Xcodec2Config`.

    Of the latter `encoder_hidden_size` is the width of the acoustic encoder's blocks and `hidden_size` that of its
    latents, and `downsampling_ratios` have the samples of a code as their product. What describes the transformer of
    X-Codec2's decoder means nothing here.

    Args:
        decoder_hidden_size: width of the decoder.
        decoder_intermediate_size: width inside its blocks.
        decoder_num_layers: its blocks.
        **kwargs: the other fields.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec2"
    decoder_fields = (
        *VOCOS_FIELDS,
        "filters_per_code",
        "filter_hidden_size",
        "decoder_hop_length",
        "output_sampling_rate",
    )

    def __init__(
        self,
        decoder_hidden_size: int = 512,
        decoder_intermediate_size: int = 1536,
        decoder_num_layers: int = 6,
        **kwargs: Any,
    ) -> None:
        self.decoder_hidden_size = decoder_hidden_size
        self.decoder_intermediate_size = decoder_intermediate_size
        self.decoder_num_layers = decoder_num_layers
        super().__init__(**kwargs)

    @property
    def decoder_width(self) -> int:
        """Numbers of a step in the decoder's blocks."""
        return self.decoder_hidden_size

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        fields = {name: value for name, value in super().architecture().items() if name not in TRANSFORMER_FIELDS}
        return fields | {name: getattr(self, name) for name in VOCOS_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """The fields that mean something, for a file."""
        fields: dict[str, Any] = super().to_dict()
        return {name: value for name, value in fields.items() if name not in TRANSFORMER_FIELDS}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        repeated = super().num_repeated() | {"decoder_num_layers": self.decoder_num_layers}
        return {name: number for name, number in repeated.items() if name not in TRANSFORMER_FIELDS}

    def _check(self) -> None:
        check_sizes(self, *VOCOS_FIELDS)
        super()._check()
        if self.upsampling_ratios or self.latent_pooling != 1:
            raise InputError(
                f"upsampling_ratios={self.upsampling_ratios}, latent_pooling={self.latent_pooling}; expected no "
                "upsampler and no pooled latents"
            )
