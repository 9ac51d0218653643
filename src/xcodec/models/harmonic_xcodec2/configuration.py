"""What describes an X-Codec2 whose decoder has a source of harmonics."""

import math
from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_numbers, check_sizes
from xcodec.models.xcodec2.configuration import Xcodec2Config

__all__ = ["HarmonicXcodec2Config"]

HARMONIC_ARCHITECTURE = (
    "filters_per_code",
    "filter_hidden_size",
    "num_pitch_bins",
    "lowest_pitch",
    "highest_pitch",
    "decoder_hop_length",
)


class HarmonicXcodec2Config(Xcodec2Config):
    """Configuration of `HarmonicXcodec2Model`; the defaults are X-Codec2's size.

    The fields are those of `Xcodec2Config`, but for its upsampler's.

    Args:
        filters_per_code: how many times a code the filters of the harmonics and of the noise change. The samples that a
            code becomes are a multiple of it.
        filter_hidden_size: width of what filters are made of.
        num_pitch_bins: bins of the predicted fundamental frequency.
        lowest_pitch: fundamental frequency in Hz of the first bin.
        highest_pitch: of the last bin.
        **kwargs: the fields of `Xcodec2Config`, and further ones of `PreTrainedConfig`.

    Raises:
        InputError: where sizes do not fit together.
    """

    model_type = "harmonic_xcodec2"
    codes_of = Xcodec2Config.model_type
    decoder_fields = (*Xcodec2Config.decoder_fields, *HARMONIC_ARCHITECTURE)
    renewed_part = "acoustic_decoder.head."
    renewed_fields = ("upsampling_ratios", "upsampling_kernel_sizes")

    def __init__(
        self,
        filters_per_code: int = 4,
        filter_hidden_size: int = 192,
        num_pitch_bins: int = 64,
        lowest_pitch: float = 55.0,
        highest_pitch: float = 480.0,
        **kwargs: Any,
    ) -> None:
        self.filters_per_code = filters_per_code
        self.filter_hidden_size = filter_hidden_size
        self.num_pitch_bins = num_pitch_bins
        self.lowest_pitch = lowest_pitch
        self.highest_pitch = highest_pitch
        super().__init__(**kwargs)

    def architecture(self) -> dict[str, Any]:
        """The fields that decide codes or audio."""
        return super().architecture() | {name: getattr(self, name) for name in HARMONIC_ARCHITECTURE}

    def _check(self) -> None:
        check_sizes(self, "filters_per_code", "filter_hidden_size")
        check_sizes(self, "num_pitch_bins", at_least=2)
        check_numbers(self, "lowest_pitch", "highest_pitch")
        super()._check()
        if not 0 < self.lowest_pitch < self.highest_pitch < math.inf:
            raise InputError(
                f"expected a frequency in Hz between 0 and highest_pitch={self.highest_pitch}",
                argument="lowest_pitch",
                value=self.lowest_pitch,
            )
        if self.upsampling_ratios:
            raise InputError(
                "a harmonic decoder has no upsampler; filters_per_code tells how often its filters change",
                argument="upsampling_ratios",
                value=self.upsampling_ratios,
            )
        if self.output_hop_length % self.filters_per_code or self.output_hop_length // self.filters_per_code % 2:
            raise InputError(
                f"expected an even number of samples for each of a code's filters; a code has {self.output_hop_length}",
                argument="filters_per_code",
                value=self.filters_per_code,
            )
