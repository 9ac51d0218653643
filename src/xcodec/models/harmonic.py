"""What codecs with a source of harmonics have in common: fields of a configuration, and the head these describe."""

import math
from typing import Any

from xcodec.errors import InputError
from xcodec.models.configuration import check_numbers, check_sizes
from xcodec.modules.harmonic_head import HarmonicHead

__all__ = ["HarmonicFields"]

HARMONIC_ARCHITECTURE = (
    "filters_per_code",
    "filter_hidden_size",
    "num_pitch_bins",
    "lowest_pitch",
    "highest_pitch",
    "decoder_hop_length",
)


class HarmonicFields:
    """The part of a configuration that describes a harmonic head; it comes before the codec's own.

    Args:
        filters_per_code: how many times a code the filters of the harmonics and of the noise change. The samples that a
            code becomes are a multiple of it.
        filter_hidden_size: width of what filters are made of.
        num_pitch_bins: bins of the predicted fundamental frequency.
        lowest_pitch: fundamental frequency in Hz of the first bin.
        highest_pitch: of the last bin.
        **kwargs: the fields of the codec's configuration.

    Raises:
        InputError: where sizes do not fit together.
    """

    output_hop_length: int
    output_sampling_rate: int
    decoder_lookahead: int | None

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
        fields: dict[str, Any] = super().architecture()  # type: ignore[misc]
        return fields | {name: getattr(self, name) for name in HARMONIC_ARCHITECTURE}

    def harmonic_head(self, hidden_size: int) -> HarmonicHead:
        """Make the head, for decoder states of this width."""
        return HarmonicHead(
            hidden_size,
            self.output_hop_length,
            self.filters_per_code,
            self.filter_hidden_size,
            self.output_sampling_rate,
            self.num_pitch_bins,
            self.lowest_pitch,
            self.highest_pitch,
            **({} if self.decoder_lookahead is None else {"lookahead": 0}),
        )

    def _check(self) -> None:
        check_sizes(self, "filters_per_code", "filter_hidden_size")
        check_sizes(self, "num_pitch_bins", at_least=2)
        check_numbers(self, "lowest_pitch", "highest_pitch")
        super()._check()  # type: ignore[misc]
        if not 0 < self.lowest_pitch < self.highest_pitch < math.inf:
            raise InputError(
                f"expected a frequency in Hz between 0 and highest_pitch={self.highest_pitch}",
                argument="lowest_pitch",
                value=self.lowest_pitch,
            )
        if self.output_hop_length % self.filters_per_code or self.output_hop_length // self.filters_per_code % 2:
            raise InputError(
                f"expected an even number of samples for each of a code's filters; a code has {self.output_hop_length}",
                argument="filters_per_code",
                value=self.filters_per_code,
            )
