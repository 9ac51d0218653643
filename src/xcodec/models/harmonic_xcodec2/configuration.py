"""What describes an X-Codec2 that reads spectra, and whose decoder is Vocos with a source of harmonics."""

from typing import Any

from xcodec.errors import InputError
from xcodec.models.spectral import SpectralFields
from xcodec.models.vocos import VOCOS_FIELDS, VocosFields
from xcodec.models.xcodec2.configuration import TRANSFORMER_FIELDS, Xcodec2Config

__all__ = ["HarmonicXcodec2Config"]


class HarmonicXcodec2Config(SpectralFields, VocosFields, Xcodec2Config):
    """Configuration of `HarmonicXcodec2Model`.

    The fields are those of `SpectralFields`, `VocosFields` and `Xcodec2Config`. Of these `encoder_hidden_size` is
    the width of the acoustic encoder's blocks and `hidden_size` that of its latents, and `downsampling_ratios` have
    the samples of a code as their product. What describes the transformer of X-Codec2's decoder means nothing here.

    Args:
        decoder_num_layers: blocks of the decoder.
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

    def __init__(self, decoder_num_layers: int = 6, **kwargs: Any) -> None:
        super().__init__(decoder_num_layers=decoder_num_layers, **kwargs)

    @property
    def decoder_width(self) -> int:
        """Numbers of a step in the decoder's blocks."""
        return self.decoder_hidden_size

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return {name: value for name, value in super().architecture().items() if name not in TRANSFORMER_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """The fields that mean something, for a file."""
        fields: dict[str, Any] = super().to_dict()
        return {name: value for name, value in fields.items() if name not in TRANSFORMER_FIELDS}

    def num_repeated(self) -> dict[str, int]:
        """How many times the model has what a mere number in the configuration repeats, by that number's name."""
        return {name: number for name, number in super().num_repeated().items() if name not in TRANSFORMER_FIELDS}

    def _check(self) -> None:
        super()._check()
        if self.upsampling_ratios or self.latent_pooling != 1:
            raise InputError(
                f"upsampling_ratios={self.upsampling_ratios}, latent_pooling={self.latent_pooling}; expected no "
                "upsampler and no pooled latents"
            )
