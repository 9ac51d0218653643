"""What describes an X-Codec that reads spectra, and whose decoder has a source of harmonics."""

from typing import Any

from xcodec.models.spectral import SpectralFields
from xcodec.models.xcodec_vocos.configuration import XcodecVocosConfig

__all__ = ["HarmonicXcodecConfig"]


class HarmonicXcodecConfig(SpectralFields, XcodecVocosConfig):
    """Configuration of `HarmonicXcodecModel`; the fields are those of `SpectralFields` and of `XcodecVocosConfig`.

    Of the acoustic model's fields `hidden_size` is the width of its latents, `encoder_hidden_size` that of the
    encoder's blocks, and `downsampling_ratios` have the samples of a code as their product; the others mean nothing.

    Args:
        decoder_hop_length: samples that a code becomes; 320 is the rate that is encoded.
        **kwargs: the other fields.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec"
    codes_of = ""  # of its own: the other X-Codecs read samples
    # Which pitches there are decides what the encoder reads, too.
    decoder_fields = (*XcodecVocosConfig.decoder_fields, "filters_per_code", "filter_hidden_size")

    def __init__(self, decoder_hop_length: int = 320, **kwargs: Any) -> None:
        super().__init__(decoder_hop_length=decoder_hop_length, **kwargs)
